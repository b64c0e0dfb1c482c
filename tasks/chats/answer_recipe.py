"""Answer recipe: the prompt, the model and its options -> the recipe of an answer that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topicflow.configs.fields.chat import BudgetedChat
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest

KIND = "answers"

ANSWER_VERSION = 1
"""Version of what is kept of an answer. A greater number asks every question of everybody again."""

ASKED_WITH = ("model", "temperature", "answer_tokens", "reasoning_effort", "tries")
"""Fields of a section that decide an answer beside the prompt."""


def answer_recipe(
    stage: str,
    config: BudgetedChat,
    messages: Sequence[Mapping[str, str]],
    schema: Mapping[str, object],
    also: Sequence[str] = (),
) -> Recipe:
    """Return the recipe of the answer to a question of a stage: the whole prompt, the model and its options decide it.

    `also` are further fields of the section that decide which answers can be used.
    """
    fields = {name: getattr(config, name) for name in (*ASKED_WITH, *also)}
    prompt = digest(canonical_json([list(messages), dict(schema)]))
    return Recipe(stage, KIND, ANSWER_VERSION, fields, identity={"prompt": prompt})
