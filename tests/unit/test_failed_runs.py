"""Runs that fail at the documents leave a record with the reason; refusals and mistyped configs leave nothing."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from topicflow.configs.flows.names import FLOWS
from topicflow.flows.commands.every_command import app
from topicflow.flows.commands.run_and_show import run_flow
from topicflow.flows.running.direct import directly
from topicflow.flows.running.start import _flow
from topicflow.tasks.errors import ConfigError, DataError, PipelineError
from topicflow.tasks.runs.history import list_runs

TEXTS = "id,text\n1,cats and dogs\n2,tea and milk\n3,red and blue\n"


def start(flow: str, folder: Path, content: str | bytes, **sections: Any) -> None:
    """Run a flow on a file with this content, as its command does; its stages are plain calls."""
    path = folder / sections.pop("file", "documents.csv")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    load = {"path": str(path), "text_column": "text", **sections.pop("load", {})}
    runtime = {"store": str(folder / "store"), "runs": str(folder / "runs")}
    values = {"name": "reviews", "load": load, "runtime": runtime, **sections}
    values["embed"] = {"method": "precomputed", "column": "vector"}

    def plain(config: Any, log: Any) -> dict[str, Any]:
        with directly():
            record: dict[str, Any] = _flow(flow, log).fn(config)
            return record

    run_flow(FLOWS[flow].model_validate(values), plain)


@pytest.mark.parametrize("flow", ["topic_model", "update_topics"])
@pytest.mark.parametrize(
    ("content", "sections", "reason"),
    [
        (TEXTS, {"load": {"text_column": "txet"}}, "no column 'txet'.*did you mean 'text'"),
        (TEXTS, {"load": {"id_column": "number"}}, "no column 'number'"),
        ("id,text\n", {}, "no documents: 0 rows"),
        ("id,text\n1,\n2, \n", {}, "no documents: 2 rows, 2 without text"),
        (b"PAR1 and nothing else", {"file": "documents.parquet"}, "documents.parquet"),
        ("id,text\n1,a\n1,b\n", {"load": {"id_column": "id"}}, "repeats an id"),
    ],
)
def test_a_failure_at_the_documents_has_a_record(
    tmp_path: Path, flow: str, content: str | bytes, sections: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PipelineError, match=reason) as raised:
        start(flow, tmp_path, content, **sections)
    assert not isinstance(raised.value, ConfigError)
    (record,) = list_runs(tmp_path / "runs")
    assert (record["state"], record["error"]) == ("failed", str(raised.value))
    assert (Path(record["folder"]) / "run.log").is_file()


def test_a_backfill_of_an_input_without_dates_has_a_record(tmp_path: Path) -> None:
    """It once left nothing: the periods were looked for before any run began."""
    (tmp_path / "documents.csv").write_text("id,text,day\n1,cats and dogs,\n")
    config = tmp_path / "reviews.toml"
    config.write_text(
        'name = "reviews"\n[load]\npath = "documents.csv"\ntext_column = "text"\n[new_documents]\nwatermark = "day"\n'
    )
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, ["update", str(config), "--backfill", "2", *places])
    assert isinstance(done.exception, DataError)
    (record,) = list_runs(tmp_path / "runs")
    assert record["error"].endswith("(new_documents.watermark) has no date, so there are no periods")
    config.write_text(config.read_text() + 'until = "2024-01-01"\n')
    refused = CliRunner().invoke(app, ["update", str(config), "--backfill", "2", *places])
    assert isinstance(refused.exception, ConfigError)
    assert len(list_runs(tmp_path / "runs")) == 1
