"""The Prefect UI in a real browser: a run with its stages and artifacts, and the form that starts one."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PrefectServer, clean_environment, run_apart, serving, write_corpus
from tests.fakes import Corpus
from topicflow.configs.read import load_config

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
ElementClickInterceptedException = pytest.importorskip("selenium.common").ElementClickInterceptedException
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

OUTPUT = Path(__file__).parents[1] / "output"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1400,1800",
)  # fmt: skip


IN_MEMORY = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"
"""A database that Prefect opens one connection to, so that transactions wait for each other.

On a file the server's own services write beside it: in a minute of two runs at work it answered every fifth POST of the
form with 503, "database is locked". Prefect's clients ask again; the page in the browser says "Oops" instead.
"""


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server of these tests' own, on a database in memory."""
    home = tmp_path_factory.mktemp("prefect-in-memory") / "home"
    with serving(home, PREFECT_API_DATABASE_CONNECTION_URL=IN_MEMORY) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def read(browser: Any, address: str, wanted: list[str], screenshot: str) -> str:
    """Return the text of a page when all of `wanted` is on it, and keep a picture of it."""
    browser.get(address)
    return wait_for(browser, wanted, screenshot)


def wait_for(browser: Any, wanted: list[str], screenshot: str, gone: str = "nothing at all") -> str:
    """Wait until the page contains the wanted texts."""
    text = ""
    for _ in range(60):
        time.sleep(0.5)
        text = browser.find_element("tag name", "body").text
        if all(words.lower() in text.lower() for words in wanted) and gone not in text:
            break
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / f"prefect-{screenshot}.png"))
    missing = [words for words in wanted if words.lower() not in text.lower()]
    assert (missing, gone in text) == ([], False), text
    return text


def open_tab(browser: Any, name: str) -> None:
    browser.find_element("xpath", f"//li[normalize-space()='{name}']").click()


@pytest.mark.slow
def test_a_run_with_its_stages_and_artifacts(
    browser: Any,
    prefect_server: PrefectServer,
    tmp_path: Path,
    corpus: Corpus,
) -> None:
    config = write_corpus(tmp_path, corpus)
    config.write_text(config.read_text().replace('"trial"', '"watched"'))
    for _ in range(2):
        assert run_apart("run", config, cwd=tmp_path, **prefect_server.environment).code == 0
    run = prefect_server.newest_flow_run("watched")
    page = f"{prefect_server.address}/runs/flow-run/{run['id']}"
    shown = read(browser, page, ["watched", "Completed", "topic_model", "cluster    cached"], "run")
    assert "Failed" not in shown
    open_tab(browser, "Task Runs")
    wait_for(
        browser, ["Cached", "neighbors", "publish"], "stages", gone="found in the store"
    )  # the log's words
    open_tab(browser, "Artifacts")
    wait_for(browser, ["watched-topics", "watched-metrics", "watched-config", "watched-report"], "artifacts")
    (topics,) = prefect_server.ask(
        "artifacts/filter", {"artifacts": {"key": {"any_": ["watched-topics"]}}, "limit": 1}
    )
    read(
        browser,
        f"{prefect_server.address}/artifacts/artifact/{topics['id']}",
        ["keywords", "coffee"],
        "topics",
    )


@pytest.mark.slow
def test_the_form_that_starts_a_run(browser: Any, prefect_server: PrefectServer, deployment: str) -> None:
    page = f"{prefect_server.address}/deployments/deployment/{deployment}/run"
    schema = prefect_server.ask(f"deployments/{deployment}")["parameter_openapi_schema"]
    sections = schema["definitions"]["TopicModelConfig"]["properties"]
    tabs = [
        "graph", "hdbscan", "kmeans", "diffusion", "parallel_umap", "umap", "pca", "sentence-transformers", "static",
        "precomputed",
    ]  # fmt: skip
    described = ["Smallest topic, in documents; or auto", "[2 to 10000000]", "Where the documents come from"]
    shown = read(browser, page, ["Config file on the server", "The TOML file"], "form-file")
    assert "File\n" in shown  # the one field of the tab that is needed: no (Optional)
    browser.find_element("xpath", "//button[normalize-space()='topic_model']").click()
    shown = wait_for(browser, [*sections, *tabs, *described], "form")
    for definition in schema["definitions"].values():  # those of other tabs are not on the page
        for field in definition["properties"].values():
            variants = field.get("anyOf", [{}])
            said = [field.get("description") or "$ref" in field] + [
                bool(v.get("description")) for v in variants
            ]
            assert said[0] or all(said[1:]), field
    assert "[1 to" in shown
    assert "exact\ndescent\npynndescent" in shown


# --- a person runs it ---------------------------------------------------------------------------------------

HDBSCAN = """
[embed]
method = "precomputed"
column = "vector"
[map]
n_epochs = 5
[cluster]
min_cluster_size = 5
"""


@pytest.fixture
def prefilled(prefect_server: PrefectServer, deployment: str, corpus: Corpus, tmp_path: Path) -> Any:
    """A deployment like the one of topic_model, with a config as its default parameters, and the config's file."""
    config = write_corpus(tmp_path, corpus)
    places = f'[runtime]\nstore = "{tmp_path / "store"}"\nruns = "{tmp_path / "runs"}"\n'
    config.write_text(
        f'name = "formed"\n[load]\npath = "{tmp_path / "documents.parquet"}"\n{HDBSCAN}{places}'
    )
    theirs = prefect_server.ask(f"deployments/{deployment}")
    copied = (
        "flow_id", "entrypoint", "pull_steps", "parameter_openapi_schema", "work_pool_name", "work_queue_name",
        "enforce_parameter_schema",
    )  # fmt: skip
    values = load_config(config).model_dump(mode="json", exclude_none=True)
    made = {name: theirs[name] for name in copied}
    return config, prefect_server.ask(
        "deployments/", {**made, "name": "formed", "parameters": {"config": values}}
    )


@pytest.fixture
def worker(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[None]:
    """A worker of the pool."""
    start = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "topicflow"]
    environment = clean_environment(**prefect_server.environment, PREFECT_WORKER_QUERY_SECONDS="1")
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(
            start, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    yield
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


def type_into(browser: Any, label: str, value: int) -> None:
    """Enter a value into a number field of the form, found by its label, as a person does."""
    field = browser.find_element(
        "xpath",
        f"//span[starts-with(normalize-space(), '{label}')]"
        "/ancestor::div[contains(concat(' ', @class, ' '), ' schema-form-property ')][1]//input[@type='number']",
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(str(value))


def submit(browser: Any) -> Any:
    button = browser.find_element("xpath", "//button[@type='submit']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    for _ in range(60):  # the page's message about the last attempt covers it: a person closes that
        for said in browser.find_elements("xpath", "//button[normalize-space()='Close']"):
            browser.execute_script("arguments[0].click()", said)
        with contextlib.suppress(ElementClickInterceptedException):
            return button.click()
        time.sleep(0.5)
    raise AssertionError("the button stays covered")


@pytest.mark.slow
def test_a_person_changes_a_value_runs_and_reads(
    browser: Any, prefect_server: PrefectServer, prefilled: Any, worker: None, tmp_path: Path
) -> None:
    config, deployment = prefilled
    assert run_apart("run", config, cwd=tmp_path, **prefect_server.environment).code == 0
    page = f"{prefect_server.address}/deployments/deployment/{deployment['id']}/run"
    read(browser, page, ["Min Cluster Size", "Submit"], "form-prefilled")
    type_into(browser, "Min Cluster Size", 1)
    submit(browser)
    wait_for(
        browser, ["'config.cluster.min_cluster_size'", "1 is less than the minimum of 2"], "form-refused"
    )
    before = prefect_server.newest_flow_run("formed")
    type_into(browser, "Min Cluster Size", 8)
    submit(browser)
    wait_for(browser, ["formed"], "form-submitted", gone="Submit")
    asked = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    (run,) = prefect_server.ask("flow_runs/filter", asked)
    for _ in range(600):
        run = prefect_server.ask(f"flow_runs/{run['id']}")
        if run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"}:
            break
        time.sleep(0.2)
    assert run["state"]["name"] == "Completed", (tmp_path / "worker.log").read_text()
    assert run["id"] != before["id"]
    assert run["parameters"]["config"]["cluster"]["min_cluster_size"] == 8

    read(
        browser,
        f"{prefect_server.address}/runs/flow-run/{run['id']}",
        ["Completed", "topic_model"],
        "formed-run",
    )
    open_tab(browser, "Task Runs")
    wait_for(browser, ["Cached", "Completed", "cluster", "publish"], "formed-stages")
    states = {
        task["name"].rsplit("-", 1)[0]: task["state"]["name"] for task in prefect_server.task_runs(run, 11)
    }
    cached = [name for name, state in states.items() if state == "Cached"]
    assert sorted(cached) == sorted(["load", "embed", "neighbors", "reduce", "map", "count"])
    left = prefect_server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    by_key = {artifact["key"]: artifact for artifact in left}
    artifact = f"{prefect_server.address}/artifacts/artifact/"
    read(browser, f"{artifact}{by_key['formed-topics']['id']}", ["keywords", "coffee"], "formed-topics")
    head = ["topics in 132 documents", "outlier_share", "coffee", "The whole report with its map is a file"]
    read(browser, f"{artifact}{by_key['formed-report']['id']}", head, "formed-report")
    report = Path(str(by_key["formed-report"]["data"]).splitlines()[-2])
    assert report.is_relative_to(tmp_path / "runs/formed")
    read(browser, report.as_uri(), ["formed", "topics"], "formed-report-itself")


@pytest.mark.slow
def test_a_person_names_a_config_file_and_sees_why_the_run_is_held(
    browser: Any, prefect_server: PrefectServer, prefilled: Any, worker: None, tmp_path: Path
) -> None:
    config, deployment = prefilled
    config.write_text(config.read_text() + "[gates]\nmax_topics = 1\n")
    prefect_server.ask(f"deployments/{deployment['id']}", {"parameters": {}}, "PATCH")
    page = f"{prefect_server.address}/deployments/deployment/{deployment['id']}/run"
    read(browser, page, ["Config file on the server", "Submit"], "form-of-a-file")
    field = browser.find_element("xpath", "//div[contains(@class, 'schema-form')]//textarea")
    field.send_keys(str(config))
    submit(browser)
    wait_for(browser, ["Upcoming"], "file-submitted", gone="Submit\n")
    asked = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    for _ in range(600):
        runs = prefect_server.ask("flow_runs/filter", asked)
        (run,) = [each for each in runs if each["parameters"]["config"].get("file") == str(config)]
        if run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"}:
            break
        time.sleep(0.2)
    assert (run["state"]["name"], run["name"]) == ("Held", "config"), (tmp_path / "worker.log").read_text()
    read(
        browser, f"{prefect_server.address}/runs/flow-run/{run['id']}",
        ["Held", "cluster    computed", "the run is kept and not published"], "held",
    )  # fmt: skip
    open_tab(browser, "Artifacts")
    wait_for(browser, ["formed-held", "Why this run is not published"], "held-artifacts")
