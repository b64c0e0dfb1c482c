"""The Prefect UI in a real browser: a run with its stages and artifacts, and the form that starts one."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PrefectServer, run_apart, write_corpus
from tests.fakes import Corpus

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

OUTPUT = Path(__file__).parents[1] / "output"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1400,1800",
)  # fmt: skip


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


def test_the_form_that_starts_a_run(browser: Any, prefect_server: PrefectServer, deployment: str) -> None:
    page = f"{prefect_server.address}/deployments/deployment/{deployment}/run"
    sections = ["load", "embed", "neighbors", "reduce", "cluster", "label", "report", "runtime"]
    tabs = [
        "hdbscan", "kmeans", "parallel_umap", "umap", "pca", "sentence-transformers", "static", "precomputed",
    ]  # fmt: skip
    described = ["Smallest topic, in documents.", "Where the documents come from"]
    read(browser, page, [*sections, *tabs, *described], "form")
