"""Context: what every stage of a run is given besides its inputs and its config."""

from __future__ import annotations

from dataclasses import dataclass, field

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.store.artifact_store import ArtifactStore


@dataclass(frozen=True)
class Context:
    """The store, the seed and the runtime of a run."""

    store: ArtifactStore
    """Where artifacts are found and saved."""
    seed: int = 0
    """The seed of everything random; it is part of the keys of the stages that use it."""
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    """Threads, devices and workers; they decide no result."""
