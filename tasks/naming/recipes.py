"""Recipes of names: topics -> the recipe of their names; a question to a model -> the recipe of its answer.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topicflow.configs.sections.names import HOW_NAMES_ARE_ASKED, NamesConfig
from topicflow.tasks.chats.answer_recipe import answer_recipe
from topicflow.tasks.naming.wanted import EVERY, Wanted
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import fields_of

VERSIONS: Mapping[str, int] = {"name": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""

ALSO = ("max_words",)
"""Fields of the section that decide which answers can be used."""


def name(config: NamesConfig, topics: str, tree: str | None = None, wanted: Wanted = EVERY) -> Recipe:
    """Return the recipe of the names of topics, and of the groups of their tree if there is one.

    Parameters
    ----------
    config : NamesConfig
        The model, and what it is told.
    topics : str
        Key of the topics, which stand for their documents and vectors.
    tree : str, optional
        Key of the tree of these topics.
    wanted : Wanted
        The topics and groups to be named, and the names that others keep.
    """
    identity = {} if wanted.topics is None else {"wanted": _digest(list(wanted.topics))}
    if wanted.taken:
        identity["taken"] = _digest(sorted(wanted.taken.items()))
    if wanted.groups is not None:
        identity["wanted_groups"] = _digest(list(wanted.groups))
    if wanted.taken_by_groups:
        identity["taken_by_groups"] = _digest(sorted(wanted.taken_by_groups.items()))
    return Recipe(
        stage="name",
        kind="names",
        version=VERSIONS["name"],
        config=fields_of(config, leave_out=HOW_NAMES_ARE_ASKED),
        inputs={"topics": topics} | ({} if tree is None else {"tree": tree}),
        identity=identity,
    )


def unfinished(recipe: Recipe, answers: Sequence[str]) -> Recipe:
    """Return the recipe of names of which some are not asked yet, by the keys of the answers that there are."""
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, "answers": _digest(sorted(answers))}})


def answer(
    config: NamesConfig, messages: Sequence[Mapping[str, str]], schema: Mapping[str, object]
) -> Recipe:
    """Return the recipe of the answer to a question: the whole prompt, the model and its options decide it."""
    return answer_recipe("name", config, messages, schema, ALSO)


def _digest(value: object) -> str:
    return digest(canonical_json(value))
