"""Trials: a run with --set leaves `latest` where it is, unless it is told to publish."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from typer.testing import CliRunner

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.commands.every_command import app
from topicflow.flows.running import start
from topicflow.flows.running.current import current_run
from topicflow.flows.screen.runs import print_runs
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.publish import announce
from topicflow.tasks.publish.folder import show_run, write_run_folder
from topicflow.tasks.publish.page_text import report_text
from topicflow.tasks.runs.records import RunId
from topicflow.tasks.runs.resolve import latest_run, resolve


def leave_run(config: TopicModelConfig, _log: object = None, **_how: object) -> dict[str, Any]:
    """Write a folder as the publishers do."""
    with current_run(config) as current:
        run = current.run
    record = {"run_id": run.run_id, "name": run.name, "flow": "topic_model", "state": "completed", "seconds": 0.1,
              "created": run.started.isoformat(), "stages": [], "metrics": {}, "config": "", "n_topics": 3,
              "n_documents": 9, "published": True, "gates": {"failed": [], "checks": []}}  # fmt: skip
    with write_run_folder(config, run, record):
        pass
    return record


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(start, "start_topic_model", leave_run)
    monkeypatch.setattr("topicflow.flows.screen.runs._print_topics", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "reviews.toml"
    path.write_text('name = "reviews"\n[load]\npath = "reviews.csv"\ntext_column = "text"\n')
    return path


def run(config: Path, *words: str) -> tuple[str, str]:
    """Return the id of the new run, and what was printed."""
    done = CliRunner().invoke(app, ["run", str(config), *words])
    assert done.exit_code == 0, done.output
    newest = max(Path("runs").glob("*/2*"), key=lambda folder: folder.name)
    return newest.name, done.output


def latest() -> str:
    found = latest_run(Path("runs/reviews"))
    assert found is not None
    return str(found["run_id"])


def test_a_run_with_another_value_does_not_move_latest(config: Path) -> None:
    first, _ = run(config, "--set", "label.top_n_words=8")
    assert latest() == first  # the first run of a name is published
    tried, said = run(config, "--set", "label.top_n_words=9")
    assert latest() == first
    assert (
        "a trial with label.top_n_words=9: latest does not change; --publish makes it the latest run" in said
    )
    record = json.loads(Path(f"runs/reviews/{tried}/run.json").read_text())
    assert (record["published"], record["tried"]) == (False, ["label.top_n_words=9"])
    published, said = run(config, "--set", "label.top_n_words=9", "--publish")
    assert latest() == published
    assert "trial" not in said


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "runtime.n_threads=1"),
        ("--set", "gates.min_topics=2"),
        (),
    ],
)
def test_a_run_with_the_values_of_its_config_is_published(words: tuple[str, ...], config: Path) -> None:
    run(config)
    newest, _ = run(config, *words)
    assert latest() == newest


def test_a_run_with_a_name_of_its_own_is_no_trial(config: Path) -> None:
    run(config)
    own, _ = run(config, "--set", "name=other", "--set", "label.top_n_words=9")
    assert Path("runs/other/latest").resolve().name == own


def test_a_trial_is_named_everywhere(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = run(config)
    tried, _ = run(config, "--set", "seed=7")
    assert resolve(Path("runs"), "reviews")["run_id"] == first
    assert resolve(Path("runs"), tried)["run_id"] == tried
    print_runs([resolve(Path("runs"), tried)])
    assert "trial" in capsys.readouterr().out.split()
    with pytest.raises(ConfigError, match="no run nothing"):
        resolve(Path("runs"), "nothing")


def test_a_trial_is_not_announced_as_rejected(config: Path) -> None:
    run(config)
    tried, _ = run(config, "--set", "seed=7")
    sent = mock.Mock()
    with mock.patch.object(announce, "emit", sent):
        announce.announce(resolve(Path("runs"), tried), mock.Mock(), Path("runs"))
    sent.assert_not_called()


def test_a_server_does_not_show_a_trial_as_held(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, str] = {}
    monkeypatch.setattr("prefect.runtime.task_run", SimpleNamespace(id="1"))
    monkeypatch.setattr("prefect.artifacts.create_table_artifact", lambda *_, **__: None)
    monkeypatch.setattr(
        "prefect.artifacts.create_markdown_artifact", lambda text, key, description: shown.update({key: text})
    )
    record = {"run_id": "b", "name": "reviews", "state": "completed", "published": False, "tried": ["seed=7"],
              "metrics": {}, "config": "", "n_topics": 3, "n_documents": 9}  # fmt: skip
    show_run(record, load_config(config), "Quality")  # a run without gates has no reasons to show
    assert list(shown) == ["reviews-config"]
    assert report_text(record, [], Path("runs")).startswith("# 3 topics in 9 documents\n\n| topic |")


def test_what_a_gate_holds_back_is_no_trial(config: Path, tmp_path: Path) -> None:
    run_id = replace(RunId.new("reviews"), tried=("seed=7",))
    record = {"run_id": run_id.run_id, "name": "reviews", "state": "completed", "created": "2026-01-01T00:00:00+00:00",
              "published": False, "gates": {"failed": ["n_topics"]}, "metrics": {}, "config": ""}  # fmt: skip
    with write_run_folder(load_config(config), run_id, record):
        pass
    assert "tried" not in record
