"""Clean the store: runs beyond the retention policy, then artifacts that no kept run refers to, as one Prefect flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from topicflow.configs.flows.serving import RetentionConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.running.frame import placed
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.retention import clean
from topicflow.tasks.store.artifact_store import open_store


@flow(name="clean_store", persist_result=False)
def clean_store(config: RetentionConfig) -> dict[str, Any]:
    """Return how many runs and artifacts were removed, and the artifacts' bytes.

    Parameters
    ----------
    config : RetentionConfig
        Which runs are kept, and of which store.

    Raises
    ------
    ConfigError
        When a path is relative, and this process works in a folder that is deleted.
    PipelineError
        When the store cannot be read.
    """
    config = placed(config)
    cleaned = clean(
        open_store(RuntimeConfig(store=config.store)), [Path(runs) for runs in config.runs], config
    )
    n_bytes = sum(artifact.bytes for artifact in cleaned.artifacts)
    verb = "would remove" if config.dry_run else "removed"
    LOG.info(
        "%s %d runs and %d artifacts, %d bytes", verb, len(cleaned.runs), len(cleaned.artifacts), n_bytes
    )
    return {"n_runs": len(cleaned.runs), "n_artifacts": len(cleaned.artifacts), "bytes": n_bytes}
