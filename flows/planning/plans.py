"""Plans: a flow's name -> the function that plans it, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topicflow.flows.planning.steps import Step

_PLACES: Mapping[str, tuple[str, str]] = {
    "topic_model": ("plan", "plan_topic_model"),
    "deduplicate": ("side_plans", "plan_deduplicate"),
    "build_index": ("side_plans", "plan_index"),
    "sweep": ("sweep_plan", "plan_sweep"),
    "update_topics": ("update_plan", "plan_update"),
}
"""The other flows have no plan: their recipes depend on results of earlier stages (drift, a comparison, an adapter)."""


class _Plans(Mapping[str, "Callable[[Any], list[Step]]"]):
    """The functions by the names of their flows; the configs of all flows take a fifth of a second."""

    def __getitem__(self, name: str) -> Callable[[Any], list[Step]]:
        module, function = _PLACES[name]
        found: Callable[[Any], list[Step]] = getattr(
            import_module(f"topicflow.flows.planning.{module}"), function
        )
        return found

    def __contains__(self, name: object) -> bool:
        return name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


PLANS: Mapping[str, Callable[[Any], list[Step]]] = _Plans()
"""The flows of `plan --flow`."""
