"""Whole texts: documents with the same vector of the beginning of long texts -> which have the same text to the end.

An encoder reads a limited number of tokens: two texts with the same beginning have the same vector, with any ending.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.deduplicate import WordMatchConfig
from topicflow.tasks.core.duplicates.leaders import leaders
from topicflow.tasks.core.duplicates.minhash import shingled
from topicflow.tasks.core.duplicates.pairs import Pairs, union
from topicflow.tasks.encoding.embed import cut_texts, text_parts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

RowArray = NDArray[np.int32]

SAME_TO_THE_END = float(WordMatchConfig.model_fields["jaccard_threshold"].default)
"""Minimum share of common phrases of two duplicates with one vector, if the config sets no other."""

PART_ROWS = 16_384
"""Texts read at a time."""


def cut_marks(store: ArtifactStore, embeddings: Sequence[ArtifactRef]) -> NDArray[np.bool_]:
    """Return which documents of several corpora, one after the other, have a vector of only their beginning."""
    return np.concatenate([cut_texts(store, ref) for ref in embeddings])


def apart_by_whole_texts(
    store: ArtifactStore,
    corpora: Sequence[ArtifactRef],
    equal: RowArray,
    cut: NDArray[np.bool_],
    first: RowArray,
    threshold: float,
    width: int,
) -> RowArray:
    """Return for each document the first one with its vector and, if texts were cut, with the same words to the end.

    Parameters
    ----------
    store : ArtifactStore
    corpora : sequence of ArtifactRef
        The documents, one corpus after the other.
    equal, first : ndarray of shape (n,), int32
        The first document with the same text, and with the same vector.
    cut : ndarray of shape (n,), bool
        Whether a document's vector represents only its beginning.
    threshold : float
        Minimum share of common phrases of two whole texts that are duplicates.
    width : int
        Number of words in a phrase.

    Notes
    -----
    Only reads the texts of documents that share a vector but have different texts.
    """
    in_doubt = np.zeros(len(first), bool)
    in_doubt[first[cut]] = True  # groups with a cut text
    distinct = np.flatnonzero(in_doubt[first] & (equal == np.arange(len(equal))))
    several = np.bincount(first[distinct], minlength=len(first)) > 1
    distinct = distinct[several[first[distinct]]]
    if not len(distinct):
        return first
    sets, ranges = _shingles(store, corpora, distinct, width)
    led = leaders(sets, ranges, first[distinct], threshold)
    own = np.arange(len(first), dtype=np.int32)
    own[distinct] = distinct[led]
    return np.where(several[first], own[equal], first).astype(np.int32)


def with_copied_pairs(pairs: Pairs, before: RowArray, after: RowArray) -> Pairs:
    """Return the pairs; those of a document that represented others by its vector are copied to new representatives.

    These have the same vector, and so the same pairs; two representatives of one vector are not a pair.
    """
    rows = np.flatnonzero((after == np.arange(len(after))) & (before != after))
    if not len(rows):
        return pairs
    by_old: dict[int, list[int]] = {}
    for row in rows.tolist():
        by_old.setdefault(int(before[row]), []).append(row)
    parts = [pairs]
    for side in (0, 1):
        for at in np.flatnonzero(np.isin(pairs.rows[:, side], list(by_old))).tolist():
            new = np.array(by_old[int(pairs.rows[at, side])], np.int32)
            other = np.full(len(new), pairs.rows[at, 1 - side], np.int32)
            copied = np.sort(np.stack([new, other], axis=1), axis=1)
            parts.append(Pairs(copied, np.full(len(new), pairs.similarities[at], np.float32)))
    rows_, similarities = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "similarities")
    )
    return union([Pairs(rows_, similarities)])


def _shingles(
    store: ArtifactStore, corpora: Sequence[ArtifactRef], rows: NDArray[np.intp], width: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the phrases of the texts of ascending rows, and the range of each text's phrases."""
    parts, sizes, start = [], [np.zeros(1, np.int64)], 0
    for corpus in corpora:
        for texts in text_parts(store, corpus, PART_ROWS):
            here = rows[(rows >= start) & (rows < start + len(texts))] - start
            if len(here):
                sets, ranges = shingled(texts.gather(pl.Series(here)).to_list(), width)
                parts.append(sets)
                sizes.append(np.diff(ranges))
            start += len(texts)
    return np.concatenate(parts), np.cumsum(np.concatenate(sizes))
