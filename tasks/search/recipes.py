"""Recipe of an index.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.core.words.segmenters import optional_version, word_identity
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"index": 3}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def index(config: IndexConfig, inputs: Mapping[str, str], space: str, seed: int) -> Recipe:
    """Return the recipe of an index; `inputs` are documents, embeddings, and optionally topics and the last index.

    `space` is the space of the vectors: the encoder's key, or the digest of precomputed vectors. A topic model's run
    is identified by its artifacts, not by its name.
    """
    recipe = Recipe(
        stage="index",
        kind="indexes",
        version=VERSIONS["index"],
        config=fields_of(config, leave_out={"topics"} if config.lemmas else {"topics", "lemmas"}),
        inputs=dict(inputs),
        identity=library_versions("numpy", "numba", "scipy", "usearch"),
        seed=seed,
    )
    words = identity_of_words(config) if config.lexical else {}
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, **words, "space": space}})


def identity_of_words(config: IndexConfig) -> dict[str, str]:
    """Return what decides the words of an index: the segmenters, and the dictionaries of base forms if it has them."""
    return word_identity() | ({"simplemma": optional_version("simplemma")} if config.lemmas else {})
