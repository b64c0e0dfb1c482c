"""Folder of a run: what every flow writes and shows in the same way; each publisher adds its own files and tables.

| every run has | from |
|---|---|
| metrics.json run.json config.toml, `latest` | `write_run_folder` |
| the metrics and the config in the Prefect UI; why its gates hold a run back | `show_run` |

Imports no Prefect: if every stage is a hit, the command line writes the folder itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.tasks.execution.prefect_runs import task_run_id
from topicflow.tasks.execution.reporting import report
from topicflow.tasks.publish.announce import announce
from topicflow.tasks.publish.page_text import held_text
from topicflow.tasks.publish.remarks import say_remarks
from topicflow.tasks.runs.history import is_held, is_published
from topicflow.tasks.runs.records import RunId, RunRecord, point_latest, run_folder, write_record


@contextlib.contextmanager
def write_run_folder(config: FlowConfig, run: RunId, record: RunRecord) -> Iterator[Path]:
    """Yield the folder of a run for a publisher's own files; then write the common ones and move `latest`.

    The folder appears under its name in one step, when everything is written. `latest` stays if a gate holds the run
    back.

    Parameters
    ----------
    config : FlowConfig
        The resolved config; `runtime.runs` is the parent folder.
    run : RunId
        Name, number and start of the run.
    record : dict
        The record, with `metrics` and `config`; the block may complete it. It is written after the block. A block that
        writes its own metrics.json keeps it.

    Raises
    ------
    ArtifactError
        When the folder cannot be written.
    """
    runs = Path(config.runtime.runs)
    if run.tried and is_published(record):  # what a gate holds back is no trial
        record.update(published=False, tried=list(run.tried))
    with run_folder(runs, run) as folder:
        yield folder
        write_record(folder, record)
    say_remarks(record)
    if is_published(record):
        point_latest(runs / run.name, run.run_id)


def show_run(
    record: RunRecord, config: FlowConfig, about: str, show_more: Callable[[str], None] | None = None
) -> None:
    """Show a published run in the Prefect UI: its metrics and its config; announce a run that its gates hold back.

    Parameters
    ----------
    record : dict
        The run's record.
    config : FlowConfig
        The resolved config; its section `gates`, if any, says whom to inform.
    about : str
        What the metrics are, for people.
    show_more : callable, optional
        Creates the publisher's own tables and links; it gets the beginning of their keys.
    """
    if task_run_id():  # artifacts belong to a task run
        report("the run's tables", lambda: _leave_artifacts(record, about, show_more))
    announce(record, getattr(config, "gates", None), Path(config.runtime.runs))


def _leave_artifacts(record: RunRecord, about: str, show_more: Callable[[str], None] | None) -> None:
    from prefect.artifacts import create_markdown_artifact

    name = "".join(c if c.isalnum() else "-" for c in record["name"].lower()).strip("-")
    show_table(f"{name}-metrics", [_row(*metric) for metric in record["metrics"].items()], about)
    if is_held(record):
        create_markdown_artifact(
            held_text(record), key=f"{name}-held", description="Why this run is not published"
        )
    if show_more is not None:
        show_more(name)
    create_markdown_artifact(
        f"```toml\n{record['config']}\n```", key=f"{name}-config", description="Resolved config"
    )


def _row(metric: str, value: Any) -> dict[str, Any]:  # noqa: ANN401  (a number, a text or None)
    return {"metric": metric, "value": value}


def show_table(key: str, rows: list[dict[str, Any]], about: str) -> None:
    """Create a table in the Prefect UI."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(rows, key=key, description=about)
