"""Publish a topic model: the artifacts of a finished run -> its folder, and what the Prefect UI shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, show_table
from topicflow.tasks.publish.page_text import report_text
from topicflow.tasks.publish.topic_folder import publish_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

SHOWN_TOPICS = 200
"""Rows of the topics table in the Prefect UI."""


@stage("publish")
def publish(
    store: ArtifactStore, config: TopicModelConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing it in Prefect.

    A run that failed its gates is announced; `latest` stays where it was.
    """
    record = publish_run(store, config, stages, run)
    show_topics(record, config, run)
    return record


def show_topics(record: RunRecord, config: FlowConfig, run: RunId) -> None:
    """Show the topics, the metrics, the config and the report's text in the Prefect UI; announce a rejection."""
    folder = run.folder(Path(config.runtime.runs)).resolve()

    def show_more(name: str) -> None:
        from prefect.artifacts import create_markdown_artifact

        columns = ["topic", "size", "name", "keywords"]
        topics = pl.read_parquet(folder / "topics.parquet", columns=columns).head(SHOWN_TOPICS)
        rows = topics.with_columns(pl.col("keywords").list.join(", ")).to_dicts()
        show_table(f"{name}-topics", rows, f"Topics of {run.name}/{run.run_id}")
        create_markdown_artifact(
            report_text(record, rows, folder), key=f"{name}-report", description=f"Report of {run.run_id}"
        )

    show_run(record, config, "Quality of the topics", show_more)
