"""States: the state that a task returns to Prefect if it found its artifact instead of computing it."""

from __future__ import annotations

from typing import Any

from prefect.states import Completed

from topicflow.tasks.store.artifact_store import ArtifactRef


def cached(found: ArtifactRef) -> ArtifactRef:
    """Return a finished state named `Cached` with the artifact, so that the UI shows that nothing was computed.

    Prefect uses a returned state as the task's own state and gives callers its data; `stage.fn` returns the state
    itself.
    """
    state: Any = Completed(name="Cached", message="found in the store", data=found)
    return state  # type: ignore[no-any-return]


def taken(returned: Any) -> ArtifactRef:  # noqa: ANN401  (a reference, or Prefect's state of a hit)
    """Return the artifact of a stage that is called directly."""
    ref: ArtifactRef = returned if isinstance(returned, ArtifactRef) else returned.data
    return ref
