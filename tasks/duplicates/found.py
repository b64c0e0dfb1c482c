"""Found: artifacts of pairs -> what each method found, with its exact similarity for the pairs that were not stored."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.deduplicate import AnyDeduplicate
from topicflow.tasks.core.duplicates.crowds import Compare, Crowd, missing_pairs
from topicflow.tasks.core.duplicates.hashed_pairs import TwoCorpora
from topicflow.tasks.core.duplicates.pairs import Pairs, union
from topicflow.tasks.duplicates.similar_texts import open_sets
from topicflow.tasks.duplicates.similar_vectors import open_corpora
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

RowArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The result of one method.

    Attributes
    ----------
    method : str
        `embedding` or `minhash`.
    first : ndarray of shape (n_base + n,), int32
        The first document that each one equals.
    pairs : Pairs
        Pairs of firsts.
    threshold : float
        Minimum similarity of duplicates.
    max_partners : int
        Pairs of a document that were stored, at most.
    compare : Compare
        The exact similarity of a document to others.
    are_nearest : bool
        Whether the stored pairs of a document are its most similar ones of all: those of an exact search.
    """

    method: str
    first: RowArray
    pairs: Pairs
    threshold: float
    max_partners: int
    compare: Compare
    are_nearest: bool = False

    @property
    def crowd(self) -> Crowd:
        """The documents of which duplicates may be missing.

        A document of a crowd whose stored pairs are all less similar than duplicates has none that is missing: its most
        similar pairs were stored.
        """
        similar = self.pairs.at_least(self.threshold)
        crowd = Crowd.of(
            similar if self.are_nearest else self.pairs, self.max_partners, self.compare, self.threshold
        )
        return replace(crowd, rows=crowd.rows[np.isin(crowd.rows, similar.rows)])

    def told_apart(self, first: RowArray, pairs: Pairs) -> Found:
        """Return the result with another first document of some: no duplicates, although their vectors are equal."""
        return replace(self, first=first, pairs=pairs, compare=_apart(self.first, self.compare))


def read_found(store: ArtifactStore, name: str, ref: ArtifactRef, config: AnyDeduplicate) -> Found:
    """Return what the stage `name` found, `similar_vectors` or `similar_texts`."""
    pairs = Pairs(np.asarray(store.array(ref, "pairs")), np.asarray(store.array(ref, "similarities")))
    first = np.asarray(store.array(ref, "first"))
    if name == "similar_vectors":
        return Found(
            "embedding", first, pairs, config.threshold, config.max_partners,  # type: ignore[union-attr]
            by_vectors(vectors_of(store, ref)), are_nearest=store.meta(ref)["search"] == "exact",
        )  # fmt: skip
    compare = by_words(store, store.meta(ref)["beside"])
    return Found(
        "minhash", first, pairs, config.jaccard_threshold, config.jaccard_max_partners, compare  # type: ignore[union-attr]
    )  # fmt: skip


def compared(store: ArtifactStore, pairs: ArtifactRef) -> list[ArtifactRef]:
    """Return the embeddings in which pairs were searched: first those of [against], if there are any."""
    inputs = store.manifest(pairs.kind, pairs.key)["recipe"]["inputs"]
    keys = [inputs[name] for name in ("against", "embeddings") if name in inputs]
    rows = [store.manifest("embeddings", key)["rows"] for key in keys]
    return [ArtifactRef("embeddings", key, "embed", n) for key, n in zip(keys, rows, strict=True)]


def vectors_of(store: ArtifactStore, pairs: ArtifactRef) -> TwoCorpora:
    """Return the vectors in which pairs were searched."""
    *against, own = compared(store, pairs)
    return open_corpora(store, own, against[0] if against else None)


def by_vectors(corpora: TwoCorpora) -> Compare:
    """Return the function that compares documents by the cosine of their vectors."""

    def compare(row: int, others: RowArray) -> FloatArray:
        from topicflow.tasks.core.duplicates.pair_kernels import pair_similarities

        pairs = np.sort(np.stack([np.full(len(others), row, np.int32), others], axis=1), axis=1)
        similarities = np.empty(len(others), np.float32)
        pair_similarities(corpora.base, corpora.own, pairs, similarities)
        return similarities

    return compare


def by_words(store: ArtifactStore, corpora: Sequence[tuple[str, str]]) -> Compare:
    """Return the function that compares documents by their phrases; `corpora` are the artifacts of these."""
    opened = functools.cache(
        lambda: open_sets(store, tuple(ArtifactRef(*each, "similar_texts") for each in corpora))
    )  # two corpora are copied into one array, and only crowds need it

    def compare(row: int, others: RowArray) -> FloatArray:
        from topicflow.tasks.core.duplicates.shingle_kernels import set_similarities

        _, shingles, ranges = opened()
        similarities = np.empty(len(others), np.float32)
        set_similarities(shingles, ranges, row, others, similarities)
        return similarities

    return compare


def _apart(first: RowArray, compare: Compare) -> Compare:
    """Return the comparison in which documents with the same `first` are not similar."""

    def compare_others(row: int, others: RowArray) -> FloatArray:
        return np.where(first[others] == first[row], np.float32(0.0), compare(row, others))

    return compare_others


def with_crowds(
    methods: Sequence[Found], first: RowArray, similar: Pairs, order: RowArray, n_base: int
) -> list[Found]:
    """Return the results with the pairs of crowds that decide which documents are kept.

    Parameters
    ----------
    methods : sequence of Found
    first : ndarray of shape (n_base + n,), int32
        The first document that each one equals by any method.
    similar : Pairs
        Duplicates among the firsts by any method.
    order : ndarray of shape (n,), int32
        Documents in order of preference for keeping.
    n_base : int
        Number of documents of the corpus that is only compared with.
    """
    crowds = [found.crowd for found in methods]
    if not any(len(crowd.rows) for crowd in crowds):
        return list(methods)
    missing = missing_pairs(first, similar, order, n_base, crowds)
    return [
        replace(found, pairs=union([found.pairs, more])) for found, more in zip(methods, missing, strict=True)
    ]
