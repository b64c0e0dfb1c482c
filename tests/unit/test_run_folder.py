"""Folder of a run: the common files, `latest`, and what a publisher may complete or write itself."""

import json
from pathlib import Path

import pytest

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.publish.folder import write_run_folder
from topicflow.tasks.runs.records import RunId


@pytest.fixture
def config(tmp_path: Path) -> BuildIndexConfig:
    return BuildIndexConfig(load={"path": "a.csv"}, name="idx", runtime={"runs": str(tmp_path / "runs")})


def written(config: BuildIndexConfig, record: dict[str, object], **files: str) -> Path:
    """Return the folder of a run after its publisher wrote `files` and a figure into its record."""
    run = RunId.new(config.name)
    record |= {"state": "completed", "metrics": {"recall": 0.5}, "config": "name = 1\n", "remarks": []}
    with write_run_folder(config, run, record) as folder:
        record["n_documents"] = 9
        for name, text in files.items():
            (folder / f"{name}.json").write_text(text)
    return run.folder(Path(config.runtime.runs))


def test_every_run_has_its_metrics_record_and_config(config: BuildIndexConfig) -> None:
    folder = written(config, {})
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "metrics.json", "run.json"]
    assert json.loads((folder / "metrics.json").read_text()) == {"recall": 0.5}
    assert json.loads((folder / "run.json").read_text())["n_documents"] == 9
    assert (folder / "config.toml").read_text() == "name = 1\n"
    assert (folder.parent / "latest").resolve() == folder


def test_a_publisher_may_write_more_metrics_than_the_record_has(config: BuildIndexConfig) -> None:
    folder = written(config, {}, metrics='{"histogram": []}')
    assert json.loads((folder / "metrics.json").read_text()) == {"histogram": []}


def test_latest_stays_if_a_gate_holds_the_run_back(config: BuildIndexConfig) -> None:
    first = written(config, {})
    held = written(config, {"published": False})
    assert held.is_dir()
    assert (first.parent / "latest").resolve() == first


def test_a_publisher_that_fails_leaves_no_folder(config: BuildIndexConfig) -> None:
    def fail() -> None:
        with write_run_folder(config, RunId.new(config.name), {}) as folder:
            (folder / "half.json").write_text("{}")
            raise ValueError("of a test")

    with pytest.raises(ValueError, match="of a test"):
        fail()
    assert list(Path(config.runtime.runs).rglob("*.json")) == []
    assert not (Path(config.runtime.runs) / "idx" / "latest").exists()
