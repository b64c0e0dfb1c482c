"""Stages: the steps of a topic model in order, by its config."""

from __future__ import annotations

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.shaping import SeededTopics, ZeroShotTopics
from topicflow.tasks.duplicates.recipes import searches
from topicflow.tasks.edits.wanted import edits_of, without_renames
from topicflow.tasks.topics.final import EDIT, GIVEN, LABEL_EDITED, PULL, RENAME, SEEDS
from topicflow.tasks.topics.recipes import UNSEEDED, is_chosen

STAGES = ("load", "embed", "neighbors", "reduce", "map", "cluster", "count", "label", "evaluate", "report")
"""The steps of a topic model, in order; `map` is the reduce stage in two dimensions."""


def stages_of_edits(config: TopicSections) -> list[str]:
    """Return the stages that a person's edits add after `label`.

    Raises
    ------
    ConfigError
        If the file of edits is wrong.
    """
    edits = edits_of(config)
    shaping = without_renames(edits)
    renames = [RENAME] if len(shaping) < len(edits) else []
    return [*((EDIT, LABEL_EDITED) if shaping else ()), *renames]


def stages_of(config: TopicModelConfig) -> tuple[str, ...]:
    """Return the steps of a topic model; with `deduplicate` the later steps use only kept documents.

    Raises
    ------
    ConfigError
        If the file of edits is wrong.
    """
    section = config.deduplicate
    found = () if section is None else (*searches(section), "deduplicate", "keep")
    made = ["load", *found, *STAGES[1:], *(() if config.gates is None else ("gate",))]
    if isinstance(config.topics, ZeroShotTopics):
        made.insert(made.index("cluster") + 1, GIVEN)
    if isinstance(config.topics, SeededTopics):
        unseeded = UNSEEDED.values() if is_chosen(config.cluster) else ()
        made[made.index("neighbors") : made.index("neighbors")] = [PULL, *unseeded]
    made[made.index("label") + 1 : made.index("label") + 1] = stages_of_edits(config)
    if config.tree is not None:
        made.insert(made.index("evaluate"), "tree")
    if config.names is not None:
        made.insert(made.index("evaluate"), "name")
    sliced = {"periods": config.periods, "groups": config.groups, "shares": config.shares}
    at = made.index("report")
    made[at:at] = [stage for stage, section in sliced.items() if section is not None]
    if isinstance(config.topics, SeededTopics):
        made.insert(made.index("report"), SEEDS)
    return tuple(made)
