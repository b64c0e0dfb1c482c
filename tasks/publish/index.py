"""Publish an index: the artifacts of a finished run of `build_index` -> its folder, and its figures in Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.execution.reporting import report
from topicflow.tasks.publish.remarks import say_remarks
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.search.freshness import source_files
from topicflow.tasks.search.run_folder import index_figures, write_run
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_index(
    store: ArtifactStore, config: BuildIndexConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the record of a run after writing its folder and pointing `latest` at it.

    Parameters
    ----------
    store : ArtifactStore
        Where the artifacts are.
    config : BuildIndexConfig
        The resolved config.
    stages : mapping of str to ArtifactRef
        load, embed, index.
    run : RunId
        Name, number and start of the run.

    Raises
    ------
    ArtifactError
        When the folder cannot be written.
    """
    meta, described = store.meta(stages["index"]), describe_run(store, config, stages, run)
    figures = index_figures(meta)
    record = {
        **described,
        **figures,
        "metrics": described["metrics"] | figures["metrics"],
        "source_files": source_files(config.load),
        "topics": meta["topics"],
    }
    write_run(Path(config.runtime.runs), run, record)
    say_remarks(record)
    report("the run's tables", lambda: _leave_artifacts(record))
    return record


def _leave_artifacts(record: RunRecord) -> None:
    """Leave the figures and the config in the Prefect UI, inside a task run."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact
    from prefect.runtime import task_run

    if not task_run.id:
        return
    name = "".join(c if c.isalnum() else "-" for c in record["name"].lower()).strip("-")
    figures = [{"metric": key, "value": value} for key, value in record["metrics"].items()]
    create_table_artifact(figures, key=f"{name}-metrics", description="Recall and latency of the index")
    create_markdown_artifact(
        f"```toml\n{record['config']}\n```", key=f"{name}-config", description="Resolved config"
    )
