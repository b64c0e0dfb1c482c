"""Parts: a stage's work in numbered parts, each an artifact; a killed run loses one part, and workers share them.

Existing parts are found and not computed again. When the stage's own artifact is committed, its parts are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.workers import map_chunks
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def made_parts(
    stage: str, make: Callable[[int], ArtifactRef], n_parts: int, runtime: RuntimeConfig, unit: str = "parts"
) -> list[ArtifactRef]:
    """Return the artifacts of all parts in order, made here or on workers.

    Parameters
    ----------
    stage : str
        Name in progress and task runs.
    make : callable
        Finds or makes a part by its number: a function of a module, or a `functools.partial` of one.
    n_parts : int
    runtime : RuntimeConfig
        The settings that `workers.started` yields.
    unit : str
        Name of a part in progress.
    """
    refs = []
    with track(stage, n_parts, unit=unit) as progress:
        for ref in map_chunks(f"{stage}-{unit}", make, range(n_parts), runtime):
            refs.append(ref)
            progress.advance(1)
    return refs


def discard_all(store: ArtifactStore, refs: Iterable[ArtifactRef]) -> None:
    """Delete parts from the store."""
    for ref in refs:
        store.discard(ref.kind, ref.key)
