"""Recipe of the stage `gate`.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.gates import GatesConfig
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import fields_of

VERSIONS: Mapping[str, int] = {"gate": 1}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def gate(config: GatesConfig, measured: Mapping[str, str], before: Mapping[str, Any] | None) -> Recipe:
    """Return the recipe of a run's verdict; it does not depend on the webhook.

    `measured` maps the stage that made the figures to their key; `before` are the figures of the last published run.
    """
    fields = fields_of(config, leave_out={"webhook_env", "webhook_block"})
    last = "" if before is None else digest(canonical_json(dict(before)))
    return Recipe("gate", "verdicts", VERSIONS["gate"], fields, {**measured, "before": last})
