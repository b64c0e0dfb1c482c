"""Plans: a flow's name -> the function that plans it, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topicflow.flows.planning.steps import Step


def _when_asked(module: str, function: str) -> Callable[[Any], list[Step]]:
    """Return a function of a module here that is imported by its first call: all configs take a fifth of a second."""

    def plan(config: Any) -> list[Step]:  # noqa: ANN401  (the config of a flow)
        found: list[Step] = getattr(import_module(f"topicflow.flows.planning.{module}"), function)(config)
        return found

    return plan


PLANS: Mapping[str, Callable[[Any], list[Step]]] = {
    "topic_model": _when_asked("plan", "plan_topic_model"),
    "deduplicate": _when_asked("side_plans", "plan_deduplicate"),
    "build_index": _when_asked("side_plans", "plan_index"),
    "sweep": _when_asked("sweep_plan", "plan_sweep"),
    "update_topics": _when_asked("update_plan", "plan_update"),
}
"""The other flows have no plan: their recipes depend on results of earlier stages (drift, a comparison, an adapter)."""
