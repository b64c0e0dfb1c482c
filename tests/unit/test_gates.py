"""Gates, names and the webhook by hand: limits are inclusive, and an undefined figure passes no gate."""

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.fakes import save
from topicflow.configs.sections.gates import GatesConfig
from topicflow.tasks.edits.names_file import read_names
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish import announce
from topicflow.tasks.publish.gate import check_gates, failed_gates, gate
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates.topic_names import GivenNames, name_topics
from topicflow.tasks.updates.topic_state import Name

METRICS = {"outlier_share": 0.4, "npmi": 0.1, "diversity": 0.8, "n_topics": 12}


@pytest.mark.parametrize(
    ("gates", "before", "failed"),
    [
        ({}, None, []),
        ({"max_outlier_share": 0.4, "min_npmi": 0.1, "min_diversity": 0.8}, None, []),
        ({"min_topics": 12, "max_topics": 12}, None, []),
        ({"max_outlier_share": 0.39}, None, ["max_outlier_share = 0.39: outlier_share is 0.400"]),
        ({"min_topics": 13, "max_topics": 40}, None, ["min_topics = 13: n_topics is 12"]),
        ({"max_outlier_rise": 0.1, "max_topics_change": 0.2}, None, []),
        ({"max_outlier_rise": 0.1}, {"outlier_share": 0.3}, []),
        ({"max_outlier_rise": 0.09}, {"outlier_share": 0.3},
         ["max_outlier_rise = 0.09: outlier_share against 0.300 before is 0.100"]),
        ({"max_npmi_fall": 0.05}, {"npmi": 0.2}, ["max_npmi_fall = 0.05: npmi against 0.200 before is 0.100"]),
        ({"max_npmi_fall": 0.05}, {"npmi": 0.0}, []),
        ({"max_diversity_fall": 0.1}, {"diversity": None}, []),
        ({"max_topics_change": 0.2}, {"n_topics": 10}, []),
        ({"max_topics_change": 0.19}, {"n_topics": 10}, ["max_topics_change = 0.19: n_topics 12 after 10 is 0.200"]),
    ],
)  # fmt: skip
def test_gates_by_hand(gates: dict[str, float], before: dict[str, float] | None, failed: list[str]) -> None:
    checks = check_gates(METRICS, before, GatesConfig(**gates))
    assert failed_gates(checks) == failed


def test_a_figure_that_is_not_defined_passes_no_gate() -> None:
    checks = check_gates({"npmi": None}, {"npmi": 0.1}, GatesConfig(min_npmi=-1.0, max_npmi_fall=2.0))
    assert failed_gates(checks) == [
        "min_npmi = -1: npmi is not defined",
        "max_npmi_fall = 2: npmi against 0.100 before is not defined",
    ]


def test_bounds_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="min_topics=5 must not exceed max_topics=4"):
        GatesConfig(min_topics=5, max_topics=4)
    with pytest.raises(ValueError, match="either webhook_env or webhook_block"):
        GatesConfig(webhook_env="A", webhook_block="b")


# --- the task ---


def verdict(
    store: ArtifactStore, measured: ArtifactRef, before: dict[str, float] | None, **gates: float
) -> ArtifactRef:
    found = gate.fn(Context(store), measured, before, GatesConfig(**gates))
    ref: ArtifactRef = found
    return ref


def test_a_verdict_is_kept_until_bounds_or_figures_change(store: ArtifactStore) -> None:
    measured = save(store, "metrics", {"metrics": METRICS})
    first = verdict(store, measured, None, max_topics=11)
    assert (first.rows, store.meta(first)) == (1, {"failed": ["max_topics = 11: n_topics is 12"]})
    assert verdict(store, measured, None, max_topics=11).cached
    assert not verdict(store, measured, None, max_topics=12).cached
    assert not verdict(store, measured, {"n_topics": 12}, max_topics=11).cached
    later = verdict(store, measured, {"n_topics": 6}, max_topics_change=0.5)
    assert store.meta(later)["failed"] == ["max_topics_change = 0.5: n_topics 12 after 6 is 1.000"]


# --- the webhook ---


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a receiver that answers 404."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token"
    server.shutdown()
    server.server_close()


def test_a_failed_delivery_is_logged_without_the_url(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce.time, "sleep", lambda _s: None)
    assert announce.post(refusing, {}) == "it answered 404"
    assert (
        announce.post("http://127.0.0.1:1/secret-token", {})
        == "it cannot be reached (ConnectionRefusedError)"
    )
    assert announce.post("file:///etc/passwd", {}) == "its URL is neither http nor https"


def test_a_variable_that_is_not_set_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TOPICS_HOOK", raising=False)
    monkeypatch.setattr(logging.getLogger("topicflow"), "propagate", True)
    assert announce.webhook_url(GatesConfig(webhook_env="TOPICS_HOOK")) is None
    assert "the environment variable TOPICS_HOOK (gates.webhook_env) is not set" in caplog.text
    monkeypatch.setenv("TOPICS_HOOK", "http://x")
    assert announce.webhook_url(GatesConfig(webhook_env="TOPICS_HOOK")) == "http://x"
    assert announce.webhook_url(GatesConfig()) is None


# --- names ---


def test_a_given_name_survives_and_can_be_given_back() -> None:
    first = name_topics([0, 1], ["a", "b"], {}, GivenNames({1: "Mine"}))
    assert first == {0: Name("a"), 1: Name("Mine", "person")}
    later = name_topics([1, 2], ["b2", "a"], first, GivenNames())  # 0 died; the name a is not used again
    assert later == {0: Name("a"), 1: Name("Mine", "person"), 2: Name("a (2)")}
    assert name_topics([1, 2], ["b2", "a"], later, GivenNames({1: ""}))[1] == Name("b2")


def test_names_are_read_from_the_series_folder(tmp_path: Path) -> None:
    assert read_names(tmp_path) == {}
    (tmp_path / "topic_names.toml").write_text('[names]\n17 = " Immigration "\n')
    assert read_names(tmp_path) == {17: "Immigration"}
    for text, said in [
        ('[names]\nx = "a"', "found 'x'"), ("names = 3", r"found no table \[names\]"), ("[names]\n1 = 2", "found '1'"),
        ("[names", "cannot be read as a TOML file"),
    ]:  # fmt: skip
        (tmp_path / "topic_names.toml").write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_names(tmp_path)
