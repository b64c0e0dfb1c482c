"""Publish a sweep: the artifacts of a finished run of `sweep` -> its folder, and a table in the Prefect UI.

RUNS/<name>/<run id>/    sweep.parquet sweep.html metrics.json run.json config.toml run.log
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, show_table, write_run_folder
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.report.report_page import finish_report
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps.left_out import left_out
from topicflow.tasks.sweeps.page import scored_settings

SHOWN_SETTINGS = 200
"""Rows of the table in the Prefect UI."""


def publish_sweep_run(
    store: ArtifactStore, config: SweepConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder."""
    described, table = describe_run(store, config, stages, run), full_table(store, stages)
    skipped = store.json(stages["sweep"], "skipped")
    found = store.json(stages["confirm"], "recommendation")
    record = {
        **described,
        "n_documents": stages["embed"].rows,
        "metrics": described["metrics"] | _figures(table, skipped, found["chosen"]),
        "remarks": described["remarks"] + left_out(config),
        "recommendation": found,
        "skipped": skipped,
    }
    with write_run_folder(config, run, record) as folder:
        table.write_parquet(folder / "sweep.parquet")
        seconds = dict(zip(map(str, table["setting"]), table["seconds"], strict=True))
        shown = {"run_id": run.run_id, "created": record["created"], "setting_seconds": seconds}
        shown["left_out"] = left_out(config)
        text = store.whole(stages["page"], "sweep.html").read_text(encoding="utf-8")
        (folder / "sweep.html").write_text(finish_report(text, shown), encoding="utf-8")
    return record


def _figures(table: pl.DataFrame, skipped: list[Any], chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the metrics of a sweep: its size, the choice, and the figures of the chosen setting."""
    figures: dict[str, Any] = {"n_settings": table.height, "n_skipped": len(skipped)}
    if chosen is None:
        return figures
    figures |= {"recommended": chosen["setting"], "n_draws": chosen["n_draws"], "wins": chosen["wins"]}
    (row,) = table.filter(pl.col("setting") == chosen["setting"]).to_dicts()
    own = {name: value for name, value in row.items() if "." not in name and not isinstance(value, bool)}
    return figures | {name: value for name, value in own.items() if name not in {"setting", "seconds"}}


def full_table(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> pl.DataFrame:
    """Return the settings with their scores, and the seconds of their stages, also of those that they share."""
    made = store.json(stages["sweep"], "stages")
    kinds = {(ref["kind"], ref["key"]) for own in made.values() for ref in own.values()}
    seconds = {each: float(store.manifest(*each)["seconds"]) for each in sorted(kinds)}
    table = scored_settings(store, stages["sweep"], stages["confirm"])
    took = [
        sum(seconds[ref["kind"], ref["key"]] for ref in made[str(number)].values())
        for number in table["setting"]
    ]
    timed = pl.Series("seconds", took, dtype=pl.Float64).round(2)
    return table.insert_column(table.get_column_index("score"), timed)


@stage("publish")
def publish_sweep(
    store: ArtifactStore, config: SweepConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing the table in the UI."""
    record = publish_sweep_run(store, config, stages, run)
    rows = full_table(store, stages).head(SHOWN_SETTINGS).to_dicts()
    show_run(
        record,
        config,
        "The sweep",
        lambda name: show_table(f"{name}-settings", rows, f"Settings of {run.run_id}"),
    )
    return record
