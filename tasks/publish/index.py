"""Publish an index: the artifacts of a finished run of `build_index` -> its folder, and its figures in Prefect."""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, write_run_folder
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.search.freshness import source_files
from topicflow.tasks.search.run_folder import index_figures
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@stage("publish")
def publish_index(
    store: ArtifactStore, config: BuildIndexConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing it in Prefect; `stages` are load, embed, index."""
    meta, described = store.meta(stages["index"]), describe_run(store, config, stages, run)
    figures = index_figures(meta)
    record = {
        **described,
        **figures,
        "metrics": described["metrics"] | figures["metrics"],
        "source_files": source_files(config.load),
        "topics": meta["topics"],
    }
    with write_run_folder(config, run, record):
        pass  # an index is read from the store
    show_run(record, config, "Recall and latency of the index")
    return record
