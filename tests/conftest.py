"""Fixtures for all tests; no test uses the network."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library of the hub is imported
os.environ["HF_HUB_CACHE"] = f"{tempfile.gettempdir()}/topicflow-tests-have-no-hub-cache"
os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # each process that a test starts would compile our modules again

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import Outcome, PrefectServer, serving
from tests.fakes import Corpus, planted_corpus, tiny_model
from tests.record_stage_code import recipe_modules
from topicflow.flows.running.modules import SAFE_PATH
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.store.artifact_store import ArtifactStore

gc.disable()  # until all tests are collected, which makes millions of objects that stay: a quarter of the time


FIRST = (
    "e2e/test_bad_input.py",
    "integration/test_report_browser.py",
    "e2e/test_classify.py",
    "integration/test_report_tree_browser.py",
)
"""Files that begin, in turn for two workers: one compiles the kernels while the other looks at pages."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of some files first, the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among what was imported."""
    import hypothesis  # noqa: F401  (it looks for what refers to the random numbers of trio)

    gc.freeze()
    gc.enable()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore(tmp_path / "store")


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Three planted topics of 40 documents each and 12 documents without a topic."""
    return planted_corpus()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sentence-transformers model of two layers and 32 dimensions."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """One Prefect server for all tests of this process, with its UI.

    Two processes that use one server wait a minute for each other when its SQLite file is locked.
    """
    with serving(tmp_path_factory.mktemp("prefect") / "home") as server:
        yield server


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command line in this process."""
    from topicflow.flows.commands import cli

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["topicflow", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        with (
            pytest.MonkeyPatch.context() as environment
        ):  # what the command sets for its child processes ends with it
            environment.setenv(SAFE_PATH, "")
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def topicflow(monkeypatch: pytest.MonkeyPatch, run_here: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """The command line in this process without Prefect: stages are plain calls, as in a run that continues another."""
    monkeypatch.setattr("topicflow.flows.running.start.server_is_configured", lambda: False)
    monkeypatch.setattr("topicflow.flows.running.start.needs_no_server", lambda _config: True)
    return run_here


@pytest.fixture
def served(
    prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch, run_here: Callable[..., Outcome]
) -> Iterator[Callable[..., Outcome]]:
    """The command line in this process, against the server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    with temporary_settings({PREFECT_API_URL: prefect_server.url}):
        yield run_here


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """Do not wait until files are on the disk: no test ends with a power cut, and each run has a hundred files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture(autouse=True)
def _no_encoder_from_another_test() -> Iterator[None]:
    """Forget the encoder of this process: tests load other models, and broken ones, with the same name."""
    load_encoder.cache_clear()
    yield
    load_encoder.cache_clear()


@pytest.fixture
def bump(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give stages another version during a test."""

    def bumped(*stages: str, to: int = 99) -> None:
        for stage in stages:
            (module,) = (each for each in recipe_modules() if stage in each.VERSIONS)
            monkeypatch.setattr(module, "VERSIONS", {**module.VERSIONS, stage: to})

    return bumped
