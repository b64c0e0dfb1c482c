"""Recipes of embeddings: texts and encoder -> recipe.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.embed import (
    HOW_ASKED,
    ApiEmbed,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of

VERSIONS: Mapping[str, int] = {"embed": 2}
"""Increase a stage's number when equal inputs and config must give a different artifact."""

APPLIED = "2"
"""Change this when an adapter must move equal vectors otherwise."""


def embed(
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed | ImagesEmbed,
    texts: str,
    encoder: str,
    adapter: str | None = None,
) -> Recipe:
    """Return the recipe of the embeddings of the texts with digest `texts` by the encoder with key `encoder`.

    An adapter is identified by its artifact's key, not by its name in the config.

    For precomputed vectors `texts` is the documents' key and `encoder` the digest of the vectors, which replaces their
    path. Versions of torch and similar libraries are left out: a stored vector of a text stays valid.
    """
    left_out = {"path", "root", "allow_outside_root", "adapter"}
    if isinstance(config, ApiEmbed):
        left_out |= HOW_ASKED
    if isinstance(config, SentenceTransformersEmbed):
        left_out |= {"task", "dim"}  # the encoder's key has the prompt and the dimensions
    return Recipe(
        stage="embed",
        kind="embeddings",
        version=VERSIONS["embed"],
        config=fields_of(config, leave_out=left_out),
        inputs={"texts": texts},
        identity={"encoder": encoder}
        if adapter is None
        else {"encoder": encoder, "adapter": adapter, "applied": APPLIED},
    )
