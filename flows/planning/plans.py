"""Plans: a flow's name -> the function that plans it, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topicflow.flows.planning.steps import Step


PLANS: Mapping[str, tuple[str, str]] = {
    "topic_model": ("plan", "plan_topic_model"),
    "deduplicate": ("side_plans", "plan_deduplicate"),
    "build_index": ("side_plans", "plan_index"),
    "sweep": ("sweep_plan", "plan_sweep"),
    "update_topics": ("update_plan", "plan_update"),
}
"""The module and the function of each flow that has a plan.

The recipes of the other flows depend on results of earlier stages (drift, a comparison, an adapter).
"""


def plan_of(flow: str) -> Callable[[Any], list[Step]]:
    """Return the function that plans a flow; the configs of all flows take a fifth of a second to import."""
    module, function = PLANS[flow]
    found: Callable[[Any], list[Step]] = getattr(
        import_module(f"topicflow.flows.planning.{module}"), function
    )
    return found
