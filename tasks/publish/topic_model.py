"""Publish: the artifacts of a finished run -> its folder, and what the Prefect UI shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.execution.reporting import report
from topicflow.tasks.publish.announce import announce
from topicflow.tasks.publish.topic_folder import publish_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(
    store: ArtifactStore, config: TopicModelConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and leaving tables and a link in the UI.

    A run that failed its gates is told; `latest` stays where it was.
    """
    record = publish_run(store, config, stages, run)
    folder = run.folder(Path(config.runtime.runs)).resolve()
    report("the run's tables", lambda: leave_artifacts(record, folder))
    announce(record, config.gates)
    return record


def leave_artifacts(record: RunRecord, folder: Path) -> None:
    """Leave the topics, the metrics, the config and a link to the report in the Prefect UI, inside a task run."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
    from prefect.runtime import task_run

    if not task_run.id:
        return
    topics = pl.read_parquet(folder / "topics.parquet", columns=["topic", "size", "name", "keywords"]).head(
        200
    )
    rows = topics.with_columns(pl.col("keywords").list.join(", ")).to_dicts()
    name = "".join(c if c.isalnum() else "-" for c in record["name"].lower()).strip("-")
    create_table_artifact(
        rows, key=f"{name}-topics", description=f"Topics of {record['name']}/{record['run_id']}"
    )
    metrics = [{"metric": key, "value": value} for key, value in record["metrics"].items()]
    create_table_artifact(metrics, key=f"{name}-metrics", description="Quality of the topics")
    create_link_artifact(
        (folder / "report.html").as_uri(), link_text=f"Report of {record['run_id']}", key=f"{name}-report"
    )
    create_markdown_artifact(
        f"```toml\n{record['config']}\n```", key=f"{name}-config", description="Resolved config"
    )
