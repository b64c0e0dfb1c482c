"""Explain: the documents of a page -> the same with their places in each ranking, or with the sentence that matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.nearest import RowArray
from topicflow.tasks.search.arguments import Page
from topicflow.tasks.search.open_index import OpenIndex
from topicflow.tasks.search.ranking import DEPTH, GROUPED, Ranking, query_words
from topicflow.tasks.search.results import Hit, Place
from topicflow.tasks.search.scoring.highlights import highlights_of


def with_ranks(hits: Sequence[Hit], rows: RowArray, ranking: Ranking, page: Page) -> list[Hit]:
    """Return documents with their places in the rankings that gave them.

    Notes
    -----
    Each ranking is read to at least `DEPTH` places, and deeper if the page is deeper; a document that is not among
    them has no place in that ranking.
    """
    depth = max(DEPTH, GROUPED * (page.offset + page.k))
    ranks: list[dict[str, Place]] = [{} for _ in hits]
    for name, ranker in ranking.parts.items():
        found, scores = ranker(depth)
        places = dict(zip(found.tolist(), enumerate(scores.tolist(), start=1), strict=True))
        for row, known in zip(rows.tolist(), ranks, strict=True):
            if row in places:
                known[name] = Place(*places[row])
    return [replace(hit, ranks=known) for hit, known in zip(hits, ranks, strict=True)]


def with_highlights(
    index: OpenIndex, hits: Sequence[Hit], text: str, vector: NDArray[np.float32] | None
) -> list[Hit]:
    """Return documents with the sentence that matches a query best.

    Notes
    -----
    The words of the query choose the sentence, in milliseconds. The encoder reads the sentences of the documents that
    have no telling word of the query, if the query has a vector: some tenths of a second for an abstract.
    """
    words = list(query_words(index, text))
    rarity = index.words.rarity(words) if index.files.meta["lexical"] else np.ones(len(words))
    wanted = dict(zip(words, rarity.tolist(), strict=True))
    score = None if vector is None else partial(_cosines, index, vector)
    shown = highlights_of([hit.text for hit in hits], wanted, score, index.base_form or str)
    return [replace(hit, highlight=highlight) for hit, highlight in zip(hits, shown, strict=True)]


def _cosines(
    index: OpenIndex, vector: NDArray[np.float32], sentences: Sequence[str]
) -> NDArray[np.floating[Any]]:
    """Return the cosines of sentences to a query's vector, (n_sentences,)."""
    found: NDArray[np.float32] = index.queries.encode_documents(sentences) @ vector
    return found
