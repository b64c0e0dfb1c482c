"""Gate: the metrics of a run and of the last published run -> whether it may be published, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from topicflow.configs.sections.gates import GatesConfig
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.publish import recipes
from topicflow.tasks.store.artifact_store import ArtifactRef

Metrics = Mapping[str, float | int | None]

FIXED = {
    "max_outlier_share": "outlier_share",
    "min_stability": "stability",
    "min_npmi": "npmi",
    "min_diversity": "diversity",
    "min_topics": "n_topics",
    "max_topics": "n_topics",
}
RELATIVE = {
    "max_outlier_rise": ("outlier_share", 1.0),
    "max_npmi_fall": ("npmi", -1.0),
    "max_diversity_fall": ("diversity", -1.0),
}
"""Gates with fixed bounds, and gates relative to the last published run: the figure, and the sign of a bad change."""


def check_gates(metrics: Metrics, before: Metrics | None, config: GatesConfig) -> list[dict[str, Any]]:
    """Return the gates that are set, each with its figure, its bound and whether the run passed.

    Parameters
    ----------
    metrics : mapping
        The run's figures by name; a figure that is not defined passes no gate.
    before : mapping or None
        The figures of the last published run; None if there is none, then only fixed bounds are checked.
    config : GatesConfig
        Bounds, inclusive.
    """
    checks = []
    for gate, name in FIXED.items():
        if (bound := getattr(config, gate)) is not None:
            checks.append(_check(gate, name, metrics.get(name), float(bound), gate.startswith("min")))
    if before is None:
        return checks
    for gate, (name, sign) in RELATIVE.items():
        now, then = metrics.get(name), before.get(name)
        if (bound := getattr(config, gate)) is not None and then is not None:
            change = None if now is None else round(sign * (now - then), 9)
            checks.append(_check(gate, f"{name} against {then:.3f} before", change, float(bound)))
    if config.max_topics_change is not None:
        now, then = int(metrics.get("n_topics") or 0), int(before.get("n_topics") or 0)
        change = abs(now - then) / max(1, then)
        checks.append(
            _check("max_topics_change", f"n_topics {now} after {then}", change, config.max_topics_change)
        )
    return checks


def _check(
    gate: str, figure: str, value: float | None, bound: float, at_least: bool = False
) -> dict[str, Any]:
    passed = value is not None and (value >= bound if at_least else value <= bound)
    return {"gate": gate, "figure": figure, "value": value, "bound": bound, "passed": passed}


def failed_gates(checks: list[dict[str, Any]]) -> list[str]:
    """Return one line for each gate that a run did not pass."""
    return [
        f"{check['gate']} = {check['bound']:g}: {check['figure']} is " + _shown(check["value"])
        for check in checks
        if not check["passed"]
    ]


def _shown(value: float | None) -> str:
    if value is None:
        return "not defined"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


@stage("gate")
def gate(context: Context, measured: ArtifactRef, before: Metrics | None, config: GatesConfig) -> ArtifactRef:
    """Return the verdict's artifact; `rows` is the number of checked gates.

    Parameters
    ----------
    context : Context
        The store has the figures and gets the verdict.
    measured : ArtifactRef
        The artifact with the run's `metrics`.
    before : mapping or None
        The figures of the last published run of the series, None before the first.
    config : GatesConfig
        Bounds, inclusive.
    """
    store = context.store
    recipe = recipes.gate(config, {measured.stage: measured.key}, before)
    if found := store.find(recipe):
        _say(store.meta(found)["failed"])
        return found
    with store.writing(recipe) as writer:
        checks = check_gates(store.json(measured, "metrics"), before, config)
        failed = failed_gates(checks)
        writer.save_json("verdict", {"checks": checks, "failed": failed})
        writer.rows = len(checks)
        writer.meta = {"failed": failed}
    _say(failed)
    return store.committed(recipe, writer)


def _say(failed: Sequence[str]) -> None:
    for line in failed:
        LOG.warning("gate: %s; the run is kept and not published", line)
