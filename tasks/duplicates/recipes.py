"""Recipes of near-duplicates: documents, vectors and thresholds -> recipes.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    GroupingConfig,
    VectorMatchConfig,
    WordMatchConfig,
)
from topicflow.tasks.core.words.segmenters import word_identity
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import library_versions

VERSIONS: Mapping[str, int] = {"similar_vectors": 1, "similar_texts": 2, "deduplicate": 3}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def searches(config: AnyDeduplicate) -> tuple[str, ...]:
    """Return the steps that find similar pairs; `embed_all` is the embed stage for documents with their duplicates."""
    by_vectors = () if config.method == "minhash" else ("embed_all", "similar_vectors")
    return by_vectors if config.method == "embedding" else (*by_vectors, "similar_texts")


def vector_signatures(n_bits: int, embeddings: str, seed: int) -> Recipe:
    """Return the recipe of the sides of random hyperplanes for vectors; they are integers, so no library matters."""
    return Recipe(
        "similar_vectors",
        "signatures",
        VERSIONS["similar_vectors"],
        {"n_bits": n_bits},
        {"embeddings": embeddings},
        seed=seed,
    )


def similar_vectors(config: VectorMatchConfig, embeddings: str, base: str | None, seed: int) -> Recipe:
    """Return the recipe of the pairs of similar vectors, some of them from the embeddings `base`.

    The threshold is not part of it: it selects from the pairs.
    """
    fields = config.model_dump(mode="json", include=set(VectorMatchConfig.model_fields) - {"threshold"})
    inputs = {"embeddings": embeddings} | ({"against": base} if base else {})
    return Recipe(
        "similar_vectors",
        "pairs",
        VERSIONS["similar_vectors"],
        fields,
        inputs,
        library_versions("numpy"),
        seed,
    )


def text_shingles(shingle_words: int, n_hashes: int, texts: str, seed: int) -> Recipe:
    """Return the recipe of the shingles of texts and their MinHash signatures."""
    config = {"shingle_words": shingle_words, "n_hashes": n_hashes}
    return Recipe(
        "similar_texts",
        "shingles",
        VERSIONS["similar_texts"],
        config,
        {"texts": texts},
        word_identity(),
        seed,
    )


def similar_texts(config: WordMatchConfig, texts: str, base: str | None, seed: int) -> Recipe:
    """Return the recipe of the pairs of texts with common shingles; the threshold is not part of it."""
    fields = config.model_dump(mode="json", include=set(WordMatchConfig.model_fields) - {"jaccard_threshold"})
    inputs = {"texts": texts} | ({"against": base} if base else {})
    return Recipe("similar_texts", "pairs", VERSIONS["similar_texts"], fields, inputs, word_identity(), seed)


def deduplicate(
    config: AnyDeduplicate, documents: str, pairs: Mapping[str, str], base: str | None = None
) -> Recipe:
    """Return the recipe of the groups of duplicates and of the kept documents; `pairs` are by search step."""
    thresholds = {name for name in ("threshold", "jaccard_threshold") if name in type(config).model_fields}
    fields = config.model_dump(mode="json", include=set(GroupingConfig.model_fields) | thresholds)
    inputs = {"documents": documents, **pairs} | ({"against": base} if base else {})
    return Recipe("deduplicate", "duplicates", VERSIONS["deduplicate"], fields, inputs)


def keep(documents: str, duplicates: str) -> Recipe:
    """Return the recipe of the documents that are kept."""
    inputs = {"documents": documents, "duplicates": duplicates}
    return Recipe("deduplicate", "documents", VERSIONS["deduplicate"], inputs=inputs)
