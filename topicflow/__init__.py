"""Topics of a corpus, every night: every stage kept, nothing computed twice, quality measured.

The folders `configs`, `deployments`, `flows` and `tasks` of the repository are this package's; links beside this file
put them into it. What users import is here, and is loaded when it is first used:

    import topicflow as tf

    run = tf.run("reviews.csv")
    run.topics
    index = tf.SearchIndex.open("runs/search/latest")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topicflow.flows.python.calls import classify, dedup, index, open_run, run, sweep, update
    from topicflow.flows.python.recommending import recommend
    from topicflow.flows.python.result import Run
    from topicflow.tasks.errors import ArtifactError, ConfigError, DataError, PipelineError, StageError
    from topicflow.tasks.search.index import SearchIndex

__all__ = [
    "ArtifactError", "ConfigError", "DataError", "PipelineError", "Run", "SearchIndex", "StageError", "__version__",
    "classify", "dedup", "index", "open_run", "recommend", "run", "sweep", "update",
]  # fmt: skip

_PLACES = {
    "SearchIndex": "topicflow.tasks.search.index",
    "Run": "topicflow.flows.python.result",
    "recommend": "topicflow.flows.python.recommending",
    **dict.fromkeys(
        ("ArtifactError", "ConfigError", "DataError", "PipelineError", "StageError"), "topicflow.tasks.errors"
    ),
    **dict.fromkeys(
        ("classify", "dedup", "index", "open_run", "run", "sweep", "update"), "topicflow.flows.python.calls"
    ),
}
"""Where each public name lives; importing this package imports none of them."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  (a module's attribute has any type)
    """Return a public name, loading what it needs; raise AttributeError for any other."""
    if name == "__version__":
        from importlib.metadata import version

        return version("topicflow")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__]
