"""Ranking: an open index and a question -> its documents ranked by meaning, by words, or by both, to any depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.graphs.hnsw import SPARE
from topicflow.tasks.core.vectors.bm25 import Bm25
from topicflow.tasks.core.vectors.nearest import Found, Parts, RowArray, exact_nearest, rank_candidates
from topicflow.tasks.core.vectors.postings import fuse_ranks
from topicflow.tasks.core.words.cutting import ASKED, INDEXED
from topicflow.tasks.search.arguments import Fusion, Page
from topicflow.tasks.search.open_index import OpenIndex
from topicflow.tasks.search.scoring import feedback, hypothetical
from topicflow.tasks.search.scoring.feedback import moved_vector, moved_words

EXACT_KEPT = 20_000
"""If a filter keeps at most this many documents, all are compared: an exact result in a few milliseconds."""

OVERSAMPLING = 1.5
"""Factor for the candidates of a filtered search, beyond the expected share that the filter removes; a query that still
finds too few is compared with all documents."""

SORTED = 2000
"""From this depth on all documents are compared and sorted: a graph would visit a large part of them."""

DEPTH = 200
"""Places of each ranking that hybrid search fuses, for any number of results."""

RERANKED = 100
"""Best places that a cross-encoder reads."""

GROUPED = 4
"""Documents ranked for each group at first, and the factor for the next attempt if there are too few groups."""

Ranked = tuple[RowArray, NDArray[np.float64]]
"""Rows, best first, and their scores."""

Ranker = Callable[[int], Ranked]
"""Returns the given number of best documents, or all if there are fewer."""


@dataclass(frozen=True)
class Question:
    """A search: weighted words, a vector or both, among the documents that are kept (all if None)."""

    words: Mapping[str, float] | None
    vector: NDArray[np.float32] | None
    kept: NDArray[np.bool_] | None
    fusion: Fusion = field(default_factory=Fusion)
    bm25: Bm25 = field(default_factory=Bm25)


@dataclass(frozen=True)
class Ranking:
    """A ranking, and the rankings that it is made of, by their names."""

    best: Ranker
    parts: Mapping[str, Ranker]


def ranking_of(index: OpenIndex, question: Question) -> Ranking:
    """Return the ranking for a question: by meaning, by words, or by both if it has words and a vector."""
    parts: dict[str, Ranker] = {}
    if (vector := question.vector) is not None:
        parts["dense"] = partial(by_meaning, index, vector, kept=question.kept)
    if (words := question.words) is not None:
        parts["bm25"] = partial(by_words, index, words, kept=question.kept, bm25=question.bm25)
    best = (
        by_both(parts["dense"], parts["bm25"], question.fusion)
        if len(parts) == 2
        else next(iter(parts.values()))
    )
    return Ranking(best, parts)


def with_feedback(index: OpenIndex, question: Question) -> Question:
    """Return a question that is moved towards the best documents for it, of those that are kept."""
    rows = ranking_of(index, question).best(feedback.DOCUMENTS)[0]
    if not len(rows):
        return question
    vector, words = question.vector, question.words
    if vector is not None:
        vector = moved_vector(vector, index.vectors.gather(rows))
    if words is not None:
        texts = index.documents["text"][rows].to_list()
        said = [index.words_of(text, INDEXED) for text in texts]
        words = moved_words(words, said, index.words.rarity)
    return replace(question, vector=vector, words=words)


def with_hypothetical(index: OpenIndex, question: Question, passage: str) -> Question:
    """Return a question that is moved towards a passage which might answer it."""
    vector, words = question.vector, question.words
    if vector is not None:
        vector = hypothetical.mixed_vector(vector, index.queries.encode_documents([passage])[0])
    if words is not None:
        said = index.words_of(passage, INDEXED)
        words = hypothetical.mixed_words(words, said, index.words.rarity)
    return replace(question, vector=vector, words=words)


def by_meaning(
    index: OpenIndex, vector: NDArray[np.float32], depth: int, kept: NDArray[np.bool_] | None
) -> Ranked:
    """Return the rows nearest to a unit vector (dim,), and their cosines."""
    found, similarities = nearest(index, vector[None], depth, kept)
    there = found[0] >= 0
    return found[0][there], similarities[0][there].astype(np.float64)


def by_words(
    index: OpenIndex,
    words: Mapping[str, float],
    depth: int,
    kept: NDArray[np.bool_] | None,
    bm25: Bm25 | None = None,
) -> Ranked:
    """Return the rows that contain one of the words, which have weights, best BM25 first, and their scores."""
    rows, scores = index.words.best(words, depth, kept, bm25 or Bm25())
    return rows, scores.astype(np.float64)


def query_words(index: OpenIndex, text: str) -> dict[str, float]:
    """Return the words of a query; the weight of each is the number of its occurrences, as in Lucene."""
    return {word: float(count) for word, count in Counter(index.words_of(text, ASKED)).items()}


def by_both(by_meaning: Ranker, by_words: Ranker, fusion: Fusion) -> Ranker:
    """Return a ranker that fuses two rankings.

    Notes
    -----
    The best `DEPTH` of both are fused by their ranks. Documents after these in both rankings follow, in order of
    their better place. So the order of the first documents does not depend on the number of results.
    """
    rankers, weights = (by_meaning, by_words), (2 * fusion.dense_weight, 2 * (1 - fusion.dense_weight))
    rows, scores = fuse_ranks([ranker(DEPTH)[0] for ranker in rankers], weights, fusion.k)

    def rank(depth: int) -> Ranked:
        if depth <= len(rows):
            return rows[:depth], scores[:depth]
        deeper = [
            _beyond(ranker(depth)[0], rows, weight, fusion.k)
            for ranker, weight in zip(rankers, weights, strict=True)
        ]
        others, places, theirs = (np.concatenate(each) for each in zip(*deeper, strict=True))
        order = np.lexsort((others, places, -theirs))  # a ranking without a weight has only its places
        first = np.sort(np.unique(others[order], return_index=True)[1])  # a document's better place
        others, theirs = others[order][first], np.minimum(theirs[order][first], scores.min(initial=np.inf))
        return np.append(rows, others)[:depth], np.append(scores, theirs)[:depth]

    return rank


def _beyond(
    ranking: RowArray, head: RowArray, weight: float, fusion_k: float
) -> tuple[RowArray, NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of a ranking that are not in the head, their places, and the weights of these."""
    there = np.flatnonzero(~np.isin(ranking, head))
    places = np.maximum(there, DEPTH)
    return ranking[there], places, weight / (fusion_k + 1 + places)


def reranked(index: OpenIndex, ranking: Ranking, model: str, text: str) -> Ranking:
    """Return a ranking of the best `RERANKED` documents by a cross-encoder, and of no others."""
    from topicflow.tasks.search.scoring.rerank import rerank_scores

    rows = ranking.best(RERANKED)[0]
    scores = rerank_scores(model, text, index.documents["text"][rows].to_list())
    order = np.lexsort((rows, -scores))
    fused = {"hybrid": ranking.best} if len(ranking.parts) > 1 else {}
    return Ranking(lambda depth: (rows[order][:depth], scores[order][:depth]), {**ranking.parts, **fused})


def without(ranker: Ranker, row: int) -> Ranker:
    """Return a ranker of all documents except one."""

    def rank(depth: int) -> Ranked:
        rows, scores = ranker(depth + 1)
        others = rows != row
        return rows[others][:depth], scores[others][:depth]

    return rank


def page_of(index: OpenIndex, ranker: Ranker, page: Page) -> Ranked:
    """Return the rows of a page of a ranking, and their scores."""
    wanted = page.offset + page.k
    values = None if page.group_by is None else index.values_of(page.group_by)
    depth = wanted if values is None else GROUPED * wanted
    while True:
        rows, scores = ranker(depth)
        is_all = len(rows) < depth
        if page.min_score is not None:
            good = scores >= page.min_score
            is_all, rows, scores = is_all or not good.all(), rows[good], scores[good]
        if values is not None:
            found = values(rows)
            best = (found.is_first_distinct() | found.is_null()).to_numpy()  # each null is its own group
            rows, scores = rows[best], scores[best]
        if is_all or len(rows) >= wanted:
            return rows[page.offset : wanted], scores[page.offset : wanted]
        depth *= GROUPED


# --- by meaning ---


def nearest(
    index: OpenIndex, vectors: NDArray[np.float32], k: int, kept: NDArray[np.bool_] | None = None
) -> Found:
    """Return rows (m, k) and cosines of the nearest documents of unit vectors (m, dim), -1 if there are fewer.

    Parameters
    ----------
    index : OpenIndex
        The index.
    vectors : ndarray of shape (m, dim), float32
        Unit vectors.
    k : int
        Number of results; at most the number of documents.
    kept : ndarray of shape (n,), bool, optional
        Documents that may be found, from `filtered`; all that are not removed if None.

    Notes
    -----
    A few kept documents are all compared. For more, the graph is searched for the number of documents that should
    include `k` kept ones, and a query with too few is compared with all kept documents: a filter takes time but loses
    no results.
    """
    alive = ~index.removed if kept is None else kept
    n_kept = int(alive.sum())
    k = max(1, min(k, n_kept))
    rows = None if n_kept == len(alive) else np.flatnonzero(alive)
    if k > SORTED:
        return _all_sorted(index.vectors, vectors, k, rows)
    if index.graph is None or n_kept <= EXACT_KEPT:
        return exact_nearest(index.vectors, vectors, k, rows)
    ef = int(index.files.meta["ef"])
    if rows is None:
        return index.graph.search(index.vectors, vectors, k, ef)
    count = min(len(alive), int(np.ceil(OVERSAMPLING * (k + SPARE) * len(alive) / n_kept)))
    candidates = index.graph.candidates(vectors, count, max(ef, count))
    candidates[(candidates >= 0) & ~alive[candidates]] = -1
    found, similarities = rank_candidates(index.vectors, vectors, candidates, k)
    short = np.flatnonzero((found < 0).any(axis=1))
    if len(short):
        found[short], similarities[short] = exact_nearest(index.vectors, vectors[short], k, rows)
    return found, similarities


def _all_sorted(parts: Parts, vectors: NDArray[np.float32], k: int, rows: RowArray | None) -> Found:
    """Return the result of `exact_nearest` by sorting all products: O(n log n) per query for any `k`."""
    n = len(parts) if rows is None else len(rows)
    found, similarities = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), np.float32)
    products = np.empty(n, np.float32)
    for number, vector in enumerate(vectors):
        for start, block in parts.blocks(rows):
            products[start : start + len(block)] = block @ vector
        order = np.argsort(-products, kind="stable")[:k]
        found[number] = order if rows is None else rows[order]
        similarities[number] = products[order]
    return found, similarities
