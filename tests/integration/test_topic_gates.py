"""`topicflow run` with gates against a Prefect server: what is printed and listed, `latest`, the event, the webhook."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Outcome, PrefectServer, write_corpus
from tests.fakes import Corpus
from tests.integration.test_update_flow import events_of
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import start

Command = Callable[..., Outcome]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """The URL of a receiver of messages, and the messages that it got."""
    got: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", got
    server.shutdown()
    server.server_close()


def test_a_run_that_fails_its_gates_is_kept_and_reported_and_latest_stays(
    served: Command, tmp_path: Path, corpus: Corpus, prefect_server: PrefectServer,
    webhook: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = write_corpus(tmp_path, corpus)
    config.write_text(config.read_text().replace('"trial"', '"gated"'))
    monkeypatch.setenv("TOPICS_HOOK", webhook[0])
    first = served("run", config, "--json").record
    assert "published" not in first
    assert "gate" not in [stage["stage"] for stage in first["stages"]]

    changes = ("cluster.n_clusters=4", "gates.max_topics_change=0.25", "gates.webhook_env=TOPICS_HOOK")
    held = served("run", config, *(word for change in changes for word in ("--set", change)))
    line = "max_topics_change = 0.25: n_topics 4 after 3 is 0.333"
    assert held.code == 0
    assert held.out.splitlines()[-1] == f"not published: {line}"
    delivered = "gate: the message to the webhook was delivered"
    assert held.errors == [f"gate: {line}; the run is kept and not published", delivered]
    (kept,) = (path for path in (tmp_path / "runs/gated").glob("2*") if path.name != first["run_id"])
    assert (tmp_path / "runs/gated/latest").resolve().name == first["run_id"]
    (event,) = events_of(prefect_server, kept.name)
    (told,) = webhook[1]
    assert event["payload"] == told
    assert (told["flow"], told["run_id"], told["failed"]) == ("topic_model", kept.name, [line])
    assert (told["n_documents"], "n_new" in told) == (132, False)
    flow_run = prefect_server.newest_flow_run("gated")
    assert told["link"] == f"{prefect_server.address}/runs/flow-run/{flow_run['id']}"
    assert told["text"] == f"topicflow: gated on {told['host']} is not published: {line}. {told['link']}"
    state = flow_run["state"]
    assert (state["type"], state["name"], state["message"]) == ("COMPLETED", "Held", f"not published: {line}")
    asked = {"artifacts": {"key": {"any_": ["gated-held"]}}}
    (shown,) = prefect_server.ask("artifacts/filter", asked)
    assert "n\\_topics 4 after 3 is 0.333" in shown["data"]
    assert "secret-token" not in "".join(
        path.read_text() for path in kept.glob("*.*") if path.suffix != ".parquet"
    )
    listed = " ".join(served("runs", "--runs", tmp_path / "runs").out.split())
    assert "held:" in listed
    assert served("show", kept, "--runs", tmp_path / "runs").out.splitlines()[-1] == held.out.splitlines()[-1]

    again = served("run", config, *(word for change in changes for word in ("--set", change)))
    assert again.errors == [f"gate: {line}; the run is kept and not published"]
    assert len(webhook[1]) == 1  # nothing changed: nobody is told twice

    hook = "gates.webhook_env=TOPICS_HOOK"
    passed = served("run", config, "--set", "gates.max_topics_change=0.25", "--set", hook, "--json").record
    assert passed["published"]
    assert prefect_server.newest_flow_run("gated")["state"]["name"] == "Completed"
    assert [stage["stage"] for stage in passed["stages"] if stage["state"] == "computed"] == ["gate"]
    assert [each["event"] for each in webhook[1]] == ["topicflow.run.rejected", "topicflow.run.accepted"]
    assert "published again" in webhook[1][1]["text"]
    assert (tmp_path / "runs/gated/latest").resolve().name == passed["run_id"]
    flow_run = prefect_server.newest_flow_run("gated")
    states = {
        run["name"].rpartition("-")[0]: run["state"]["name"] for run in prefect_server.task_runs(flow_run, 12)
    }
    assert (states["report"], states["gate"], states["publish"]) == ("Cached", "Completed", "Completed")


@pytest.mark.slow
def test_without_a_server_a_run_that_a_gate_holds_back_also_starts_one(
    served: Command, tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event needs a server; a run that passes its gates starts none if everything is cached."""
    config, started = write_corpus(tmp_path, corpus), list[TopicModelConfig]()
    for bound in (3, 3, 2):  # the second is asked with the figures of the first before it
        assert served("run", config, "--set", f"gates.max_topics={bound}").code == 0
    monkeypatch.setattr(start, "server_is_configured", lambda: False)
    monkeypatch.setattr(start, "start_flow", lambda config, *_: started.append(config) or {})
    passes, fails = (load_config(config, [f"gates.max_topics={bound}"]) for bound in (3, 2))
    told = load_config(config, ["gates.max_topics=3", "gates.webhook_env=HOOK"])
    assert start.start_topic_model(told) == {}  # the receiver hears that a run is published again
    assert start.start_topic_model(passes)["published"]
    assert start.start_topic_model(fails) == {}
    assert started == [told, fails]
