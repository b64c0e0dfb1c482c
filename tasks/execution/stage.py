"""Stage: a function that returns an artifact, called directly or run by Prefect as a task.

Importing Prefect takes two seconds, and a run that continues an earlier one does without it (`flows.running.direct`).
A stage therefore becomes a task when Prefect first runs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from topicflow.tasks.store.artifact_store import ArtifactRef

if TYPE_CHECKING:
    from prefect import Task

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


class Stage(Generic[Inputs, Result]):
    """A stage: its function `fn`, its name, and the Prefect task that it is.

    Parameters
    ----------
    fn : callable
        Returns an ArtifactRef, or the record of a run. One from the store has `cached` set.
    name : str
        The name in the log, in Prefect and of the artifact.
    options : mapping
        Further options of `prefect.task`, such as retries.
    """

    def __init__(self, fn: Callable[Inputs, Result], name: str, options: dict[str, Any]) -> None:
        self.fn = fn
        self.name = name
        self._options = options
        self.__doc__ = fn.__doc__

    @functools.cached_property
    def task(self) -> Task[Inputs, Result]:
        """The stage as a Prefect task. The state of a task that found its artifact is named `Cached`."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Completed

        @functools.wraps(self.fn)
        def run(*inputs: Inputs.args, **named: Inputs.kwargs) -> Any:  # noqa: ANN401  (Prefect takes a state, too)
            made = self.fn(*inputs, **named)
            if isinstance(made, ArtifactRef) and made.cached:
                return Completed(name="Cached", message="found in the store", data=made)
            return made

        made: Task[Inputs, Result] = task(
            name=self.name, cache_policy=NO_CACHE, persist_result=False, **self._options
        )(run)
        return made

    def named(self, name: str) -> Stage[Inputs, Result]:
        """Return the same stage under another name."""
        return Stage(self.fn, name, self._options)


def stage(
    name: str,
    **options: Any,  # noqa: ANN401  (those of Prefect)
) -> Callable[[Callable[Inputs, Result]], Stage[Inputs, Result]]:
    """Return a decorator that makes a function the stage of this name."""

    def made(fn: Callable[Inputs, Result]) -> Stage[Inputs, Result]:
        return Stage(fn, name, options)

    return made
