"""Example set: the artifacts of examples and embeddings -> examples with vectors or texts, for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import (
    ApiEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.learning.residual import FloatArray
from topicflow.tasks.encoding.adapters import apply_adapter, find_adapter
from topicflow.tasks.encoding.embed import embed_texts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tuning.examples import Numbers, Roles

TextEmbed = SentenceTransformersEmbed | StaticEmbed | ApiEmbed
AnyEmbed = TextEmbed | PrecomputedEmbed


@dataclass(frozen=True)
class ExampleSet:
    """The examples' arrays, described in `tasks.tuning.examples`, and the vectors of their items.

    `vectors` is (n_items, dim) float32. Synthetic examples have the row of each item's document in `rows_of_items`, and
    the vectors of all documents in `corpus`.
    """

    vectors: FloatArray
    roles: Roles
    classes: Numbers
    links: Numbers | None = None
    link_roles: Roles | None = None
    similar: NDArray[np.bool_] | None = None
    scores: NDArray[np.float64] | None = None
    rows_of_items: Numbers | None = None
    corpus: FloatArray | None = None

    def rows(self, role: int) -> Numbers:
        """Return the items with a role."""
        return np.flatnonzero(self.roles == role)

    def of(self, role: int) -> tuple[FloatArray, Numbers]:
        """Return the vectors and classes of the items with a role."""
        rows = self.rows(role)
        return np.asarray(self.vectors[rows]), self.classes[rows]

    def way_of_pairs(self, role: int) -> str:
        """Return the kind of a role's pairs: `graded` (scores), `contrastive` (similar or not), `ranking` (similar)."""
        if self.scores is not None:
            return "graded"
        return "ranking" if self.linked(role)[1].all() else "contrastive"

    def scored(self, role: int) -> tuple[Numbers, NDArray[np.float64]]:
        """Return the pairs with a role (n, 2) and their scores (n,)."""
        assert self.links is not None
        assert self.link_roles is not None
        assert self.scores is not None
        rows = np.flatnonzero(self.link_roles == role)
        return self.links[rows], self.scores[rows]

    def linked(self, role: int) -> tuple[Numbers, NDArray[np.bool_]]:
        """Return the links with a role (n, m), and which are similar (n,); if they are not pairs, all are."""
        assert self.links is not None
        assert self.link_roles is not None
        rows = np.flatnonzero(self.link_roles == role)
        pairs = self.similar is not None and len(self.similar)
        return self.links[rows], self.similar[rows] if pairs else np.ones(len(rows), bool)  # type: ignore[index]


def read_examples(
    store: ArtifactStore,
    chosen: ArtifactRef,
    embeddings: ArtifactRef,
    config: AnyEmbed,
    runtime: RuntimeConfig,
) -> ExampleSet:
    """Return the examples with their items' vectors: those of documents, or of texts, which are embedded if new.

    Raises
    ------
    ConfigError
        If texts must be embedded and the vectors are precomputed.
    """
    rows, kind = np.asarray(store.array(chosen, "rows")), store.meta(chosen)["kind"]
    if kind == "synthetic":
        return _synthetic(store, chosen, embeddings, config, runtime)
    if store.meta(chosen).get("by_text"):
        if isinstance(config, PrecomputedEmbed):
            msg = "examples: pairs of texts need an encoder; embed.method='precomputed' has none: use ids of documents"
            raise ConfigError(msg)
        texts = store.table(chosen, "texts").collect()["text"]
        vectors = embed_texts(store, texts, config, runtime)
    else:
        vectors = store.array(embeddings, "embeddings")
        if kind != "classes":  # for classes, the items are the documents in their order
            vectors = vectors[rows]
    links = _links(store, chosen)
    return ExampleSet(
        vectors, np.asarray(store.array(chosen, "roles")), np.asarray(store.array(chosen, "classes")), **links
    )


def _synthetic(
    store: ArtifactStore,
    chosen: ArtifactRef,
    embeddings: ArtifactRef,
    config: AnyEmbed,
    runtime: RuntimeConfig,
) -> ExampleSet:
    """Return questions, with their vectors as queries, and documents, which have vectors already."""
    assert isinstance(config, TextEmbed)
    rows, corpus = np.asarray(store.array(chosen, "rows")), store.array(embeddings, "embeddings")
    texts = store.table(chosen, "texts").collect()["text"]
    vectors = np.empty((len(rows), corpus.shape[1]), np.float32)
    vectors[rows >= 0] = corpus[rows[rows >= 0]]
    vectors[rows < 0] = query_vectors(store, texts.filter(pl.Series(rows < 0)), config, runtime)
    roles, classes = np.asarray(store.array(chosen, "roles")), np.asarray(store.array(chosen, "classes"))
    return ExampleSet(vectors, roles, classes, **_links(store, chosen), rows_of_items=rows, corpus=corpus)


def query_vectors(
    store: ArtifactStore, texts: pl.Series, config: TextEmbed, runtime: RuntimeConfig
) -> FloatArray:
    """Return unit vectors (n, dim) of queries: with the model's prompt for queries, moved by the documents' adapter.

    They are kept as those of documents are, so that a question is embedded once.
    """
    plain = config.model_copy(update={"adapter": None})
    if isinstance(plain, SentenceTransformersEmbed) and plain.task is not None:
        plain = plain.model_copy(update={"task": "query"})
    vectors = embed_texts(store, texts, plain, runtime)
    if config.adapter is None:
        return vectors
    adapter = find_adapter(store, config, find_encoder(config, runtime.device, store).key, runtime)
    return apply_adapter(store, adapter, vectors)


def read_roles(store: ArtifactStore, chosen: ArtifactRef) -> ExampleSet:
    """Return the examples without vectors, which full tuning does not need."""
    rows = store.array(chosen, "rows")
    links = _links(store, chosen)
    roles, classes = np.asarray(store.array(chosen, "roles")), np.asarray(store.array(chosen, "classes"))
    return ExampleSet(np.empty((len(rows), 0), np.float32), roles, classes, **links)


def _links(store: ArtifactStore, chosen: ArtifactRef) -> dict[str, Any]:
    """Return the arrays of pairs or triplets by name; none for classes."""
    about = store.meta(chosen)
    if about["kind"] == "classes":
        return {}
    names = ("links", "link_roles", "similar", *(("scores",) if about.get("graded") else ()))
    return {name: np.asarray(store.array(chosen, name)) for name in names}


def read_texts(store: ArtifactStore, documents: ArtifactRef, chosen: ArtifactRef) -> pl.Series:
    """Return the texts of the examples' items."""
    if store.meta(chosen).get("by_text"):
        return store.table(chosen, "texts").collect()["text"]
    texts = store.table(documents, "documents").select("text").collect()["text"]
    return texts.gather(np.asarray(store.array(chosen, "rows")))
