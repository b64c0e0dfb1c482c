"""Parts: a stage's work cut into numbered parts, each an artifact: a kill costs one, and workers share them.

What is there already is found and not made again. When the stage's own artifact is committed its parts go.
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
        What progress and task runs are called.
    make : callable
        Finds or makes a part by its number: a function of a module, or a `functools.partial` of one.
    n_parts : int
    runtime : RuntimeConfig
        As `workers.started` yields it.
    unit : str
        What a part is called in progress.
    """
    refs = []
    with track(stage, n_parts, unit=unit) as progress:
        for ref in map_chunks(f"{stage}-{unit}", make, range(n_parts), runtime):
            refs.append(ref)
            progress.advance(1)
    return refs


def discard_all(store: ArtifactStore, refs: Iterable[ArtifactRef]) -> None:
    """Let go of parts."""
    for ref in refs:
        store.discard(ref.kind, ref.key)
