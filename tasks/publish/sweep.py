"""Publish a sweep: the artifacts of a finished run of `sweep` -> its folder, and a table in the Prefect UI.

RUNS/<name>/<run id>/    sweep.parquet sweep.html metrics.json run.json config.toml run.log
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.tasks.publish.folder import show_run, show_table, write_run_folder
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

SHOWN_SETTINGS = 200
"""Rows of the table in the Prefect UI."""


def publish_sweep_run(
    store: ArtifactStore, config: SweepConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder."""
    described, table = describe_run(store, config, stages, run), timed_table(store, stages["sweep"])
    skipped = store.json(stages["sweep"], "skipped")
    record = {
        **described,
        "n_documents": stages["embed"].rows,
        "metrics": described["metrics"] | {"n_settings": table.height, "n_skipped": len(skipped)},
        "skipped": skipped,
    }
    with write_run_folder(config, run, record) as folder:
        table.write_parquet(folder / "sweep.parquet")
    return record


def timed_table(store: ArtifactStore, sweep: ArtifactRef) -> pl.DataFrame:
    """Return the table of a sweep with the seconds that the stages of each setting took, also those it shares."""
    made = store.json(sweep, "stages")
    kinds = {(ref["kind"], ref["key"]) for stages in made.values() for ref in stages.values()}
    seconds = {each: float(store.manifest(*each)["seconds"]) for each in sorted(kinds)}
    table = store.table(sweep, "settings").collect()
    took = [
        sum(seconds[ref["kind"], ref["key"]] for ref in made[str(number)].values())
        for number in table["setting"]
    ]
    return table.with_columns(pl.Series("seconds", took, dtype=pl.Float64).round(2))


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_sweep(
    store: ArtifactStore, config: SweepConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing the table in the UI."""
    record = publish_sweep_run(store, config, stages, run)
    rows = timed_table(store, stages["sweep"]).head(SHOWN_SETTINGS).to_dicts()
    show_run(
        record,
        config,
        "The sweep",
        lambda name: show_table(f"{name}-settings", rows, f"Settings of {run.run_id}"),
    )
    return record
