"""The metrics of the last runs, read back by Prometheus's own parser."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from topicflow.tasks.runs.prometheus import GAUGES, METRICS_FILE, write_metrics
from topicflow.tasks.runs.records import RunId, run_folder, write_json
from topicflow.tasks.store import resources

STAGE = {
    "stage": "embed",
    "state": "computed",
    "seconds": 2.5,
    "rows": 40,
    "peak_rss_bytes": 1000,
    "peak_gpu_bytes": 0,
}


def leave(runs: Path, run_id: str, name: str = "topics", **changes: Any) -> None:
    record = {
        "run_id": run_id, "name": name, "flow": "topic_model", "state": "completed", "seconds": 10.0,
        "created": f"2026-01-{run_id[:2]}T00:00:00+00:00", "n_documents": 40, "n_topics": 3,
        "metrics": {"outlier_share": 0.25}, "stages": [STAGE, {**STAGE, "stage": "label", "state": "cached"}],
        **changes,
    }  # fmt: skip
    folder = runs / name / run_id
    folder.mkdir(parents=True)
    write_json(folder / "run.json", record)


def measured(runs: Path, **labels: str) -> dict[str, float]:
    """Return the value of every metric that has these labels, by its name without prefix."""
    families = text_string_to_metric_families(write_metrics(runs).read_text())
    return {
        sample.name.removeprefix("topicflow_"): sample.value
        for family in families
        for sample in family.samples
        if labels.items() <= sample.labels.items() and ("stage" in labels or "stage" not in sample.labels)
    }


def test_the_last_run_of_each_name(tmp_path: Path) -> None:
    leave(tmp_path, "01", n_topics=2)
    leave(tmp_path, "02")
    leave(tmp_path, "01", "other", n_topics=9)
    found = measured(tmp_path, name="topics", flow="topic_model")
    assert found == {
        "run_success": 1.0, "run_timestamp_seconds": 1767312010.0, "run_seconds": 10.0, "run_documents": 40.0,
        "run_topics": 3.0, "run_outlier_share": 0.25, "run_stages": 2.0, "run_cache_hits": 1.0,
        "run_last_success_timestamp_seconds": 1767312010.0,
    }  # fmt: skip
    assert measured(tmp_path, name="other")["run_topics"] == 9.0
    assert measured(tmp_path, name="topics", stage="embed") == {
        "stage_seconds": 2.5, "stage_rows": 40.0, "stage_cached": 0.0, "stage_peak_memory_bytes": 1000.0,
    }  # fmt: skip
    assert measured(tmp_path, name="topics", stage="label")["stage_cached"] == 1.0


def test_a_failed_and_a_held_run_leave_the_last_success_where_it_was(tmp_path: Path) -> None:
    leave(tmp_path, "01")
    leave(tmp_path, "02", published=False)
    found = measured(tmp_path, name="topics")
    assert (found["run_success"], found["run_published"]) == (1.0, 0.0)
    assert found["run_last_success_timestamp_seconds"] == 1767225610.0
    folder = tmp_path / "topics" / "03"
    folder.mkdir()
    failed = {"run_id": "03", "name": "topics", "state": "failed", "created": "2026-01-03T00:00:00+00:00"}
    (folder / "run.json").write_text(json.dumps(failed))
    found = measured(tmp_path, name="topics")
    assert (found["run_success"], found["run_last_success_timestamp_seconds"]) == (0.0, 1767225610.0)
    assert "run_topics" not in found


def test_a_name_that_was_never_published_has_no_success_since_1970(tmp_path: Path) -> None:
    leave(tmp_path, "01", state="failed")
    leave(tmp_path, "02", published=False)
    assert measured(tmp_path, name="topics")["run_last_success_timestamp_seconds"] == 0.0
    leave(tmp_path, "03")
    assert measured(tmp_path, name="topics")["run_last_success_timestamp_seconds"] == 1767398410.0


def test_the_alerts_of_the_page_ask_for_metrics_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    alerts = re.findall(r"alert: (\w+)\n  expr: .*?topicflow_(\w+)", page)
    assert dict(alerts) == {
        "NoTopicsForTwoNights": "run_last_success_timestamp_seconds", "TopicsHeld": "run_published"
    }  # fmt: skip
    assert {metric for _, metric in alerts} <= GAUGES.keys()


def test_a_gpu_is_measured_if_one_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: True, reset_peak_memory_stats=lambda: None, max_memory_allocated=lambda: 123
    )
    monkeypatch.setitem(resources.sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with resources.measured() as usage:
        pass
    assert usage.peak_gpu_bytes == 123
    leave(tmp_path, "01", stages=[{**STAGE, "peak_gpu_bytes": 123}])
    found = measured(tmp_path, stage="embed")
    assert (found["stage_peak_gpu_memory_bytes"], found["stage_gpu_seconds"]) == (123.0, 2.5)


def test_every_metric_is_described_and_the_file_is_written_with_each_run(tmp_path: Path) -> None:
    leave(tmp_path, "01", published=True, stages=[{**STAGE, "peak_gpu_bytes": 5}])
    leave(tmp_path, "02")
    (tmp_path / "topics" / "02" / "run.json").write_text("")
    families = {
        family.name: family for family in text_string_to_metric_families(write_metrics(tmp_path).read_text())
    }
    assert set(families) == {f"topicflow_{name}" for name in GAUGES}
    assert all(family.type == "gauge" and family.documentation for family in families.values())
    (tmp_path / METRICS_FILE).unlink()
    with run_folder(tmp_path, RunId.new("next")) as folder:
        (folder / "run.json").write_text("{}")
    assert [path.name for path in tmp_path.glob("metrics*")] == [METRICS_FILE]


def test_records_that_cannot_be_read_are_counted_and_staging_is_none(tmp_path: Path) -> None:
    leave(tmp_path, "01")
    for name, content in (("02", "{"), (".03.staging", "{}"), ("04", "[]")):
        (tmp_path / "topics" / name).mkdir()
        (tmp_path / "topics" / name / "run.json").write_text(content)
    found = measured(tmp_path, name="topics")
    assert (found["run_topics"], found["run_records_unreadable"]) == (3.0, 2.0)
    leave(tmp_path, "05")
    assert "run_records_unreadable" not in measured(tmp_path, name="topics")  # a newer run is there
