"""Topics of a corpus, every night: every stage kept, nothing computed twice, quality measured.

The folders `configs`, `deployments`, `flows` and `tasks` of the repository are this package's; links beside this file
put them into it. What users import is here, and is loaded when it is first used:

    import topicflow

    index = topicflow.SearchIndex.open("runs/search/latest")
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topicflow.tasks.search.index import SearchIndex

__all__ = ["SearchIndex", "__version__"]

_PLACES = {"SearchIndex": "topicflow.tasks.search.index"}
"""Where each public name lives; importing this package imports none of them."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  (a module's attribute has any type)
    """Return a public name, loading what it needs; raise AttributeError for any other."""
    if name == "__version__":
        return version("topicflow")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__]
