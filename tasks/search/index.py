"""Search index: an open index; search by meaning, by words, or by both; add and remove documents.

index = SearchIndex.open("runs/search/latest")
hits = index.search("spin waves", k=10, where="label = 'physics' and created >= '2012-01-01'")
index.similar(hits[0].doc_id)
index.add([{"doc_id": "n1", "text": "…"}]); index.remove(["n1"])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.nearest import Found, Parts, RowArray
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.search import ranking
from topicflow.tasks.search.arguments import (
    MODES,
    Expand,
    Fusion,
    Mode,
    Page,
    bm25_of,
    expand_of,
    list_of_ids,
    mode_of,
    one_query,
    optional_text,
    whole_number,
)
from topicflow.tasks.search.explain import with_highlights, with_ranks
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.locate import locate_index
from topicflow.tasks.search.open_index import OpenIndex
from topicflow.tasks.search.queries import QueryEncoder, check_vector
from topicflow.tasks.search.ranking import Question, query_words
from topicflow.tasks.search.results import Hit, Results, TopicHit
from topicflow.tasks.store.artifact_store import ArtifactStore

__all__ = ["MODES", "Hit", "Mode", "Results", "SearchIndex", "TopicHit"]


class SearchIndex:
    """An open index.

    Parameters
    ----------
    files : IndexFiles
        The index.
    record : RunRecord, optional
        The run that names the index; `add` and `remove` write a new run after it.
    queries : QueryEncoder, optional
        The encoder of queries, if it is loaded already; otherwise the first query loads it.

    Notes
    -----
    Opening checks the digests of the files that native code reads, and maps the arrays into memory. An open index
    does not change when another process adds documents. Several threads may search, also while one adds documents.
    """

    def __init__(
        self, files: IndexFiles, record: RunRecord | None = None, queries: QueryEncoder | None = None
    ) -> None:
        self._open = OpenIndex(files, record)
        if queries is not None:
            self._open.queries = queries

    @classmethod
    def open(cls, path: Path | str) -> SearchIndex:
        """Return the index of a run's folder (`runs/<name>/latest`), or of an artifact's folder in a store.

        Raises
        ------
        ConfigError
            If there is no index.
        ArtifactError
            If it is damaged or has a newer version.
        """
        store, key, record = locate_index(Path(path))
        return cls(IndexFiles.open(store, key), record)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def files(self) -> IndexFiles:
        """The files of the index."""
        return self._open.files

    @property
    def record(self) -> RunRecord | None:
        """The record of the run that names the index."""
        return self._open.record

    @property
    def store(self) -> ArtifactStore:
        """The store of the index."""
        return self.files.store

    @property
    def vectors(self) -> Parts:
        """The documents' unit vectors."""
        return self._open.vectors

    @property
    def rows(self) -> RowArray:
        """The rows of the documents that are not removed, ascending."""
        return np.flatnonzero(~self._open.removed)

    @property
    def documents(self) -> pl.DataFrame:
        """The documents of all generations, including removed ones: doc_id, text, own columns."""
        return self._open.documents

    @property
    def graph(self) -> Graph | None:
        """The HNSW graph; None if every query is compared with all documents."""
        return self._open.graph

    @property
    def queries(self) -> QueryEncoder:
        """The encoder of queries."""
        return self._open.queries

    # --- searching ---

    def search(
        self,
        query: str | NDArray[np.floating] | Sequence[float],
        k: int = 10,
        where: str | None = None,
        mode: Mode = "auto",
        rerank: str | None = None,
        *,
        ids: Iterable[str] | None = None,
        offset: int = 0,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: Expand = "none",
        dense_weight: float | None = None,
        fusion_k: float | None = None,
        k1: float | None = None,
        b: float | None = None,
        explain: bool = False,
        highlight: bool = False,
    ) -> Results[Hit]:
        """Return the best `k` documents for a query, or all if there are fewer, best first.

        Parameters
        ----------
        query : str or ndarray of shape (dim,)
            A text, or a vector of the index's space.
        k : int
            Maximum number of documents.
        where : str, optional
            A condition on the columns, and on `topic` and `topic_name`, in SQL syntax: see
            `tasks.search.filters.parser.parse_filter`.
        mode : str
            `dense` ranks by cosine, `bm25` by words, `hybrid` fuses both; `auto` is hybrid if the index has words and
            the query is a text.
        rerank : str, optional
            A cross-encoder (folder or hub name) that reads the best 100 documents with the query and ranks them
            again; no other documents are found then.
        ids : iterable of str, optional
            Documents that may be found; unknown ids are ignored.
        offset : int
            How many of the best documents to skip.
        min_score : float, optional
            Minimum score, inclusive; in the unit of the ranking.
        group_by : str, optional
            A column (`parent` for passages), field or function in the syntax of `where`: only the best document of
            each of its values is found, and every document without a value.
        expand : str
            `feedback` searches twice: the second query is moved towards the best five documents of the first, as a
            vector and as words. It finds more and costs a second search; the first result is right less often.
            `hypothetical` lets the language model of the index's section [hypothetical] write a passage that might
            answer the query, and mixes its vector and words with those of the query. If the model gives no passage, the
            query alone is searched, and `Results.note` says why.
        dense_weight : float, optional
            Weight of the ranking by meaning in hybrid search, from 0 to 1 (.5); the ranking by words has the rest.
        fusion_k : float, optional
            Added to each place before hybrid search joins the rankings (10); with larger values the first places count
            less.
        k1 : float, optional
            BM25: how much further occurrences of a word in a document count (1.5); 0 for not at all.
        b : float, optional
            BM25: how much long documents are held back, from 0, not at all, to 1, by their length (.75).
        explain : bool
            Say for each document which place and score it has in each ranking (`Hit.ranks`).
        highlight : bool
            Say for each document which sentence matches best, and where the words of the query stand in it
            (`Hit.highlight`); the query must be a text. In a document without its words the vector chooses.

        Raises
        ------
        ConfigError
            If the query is empty, not a query, or a vector of another space; if a number is not one or out of its
            range; if there is no such mode or expansion; if `where` or `group_by` cannot be parsed; if the index names
            no language model, or its address, model or key is wrong.
        """
        index, page = self._open, Page.of(k, offset, min_score, group_by)
        fusion, bm25 = Fusion.of(dense_weight, fusion_k), bm25_of(k1, b)
        asked = one_query(query, index.vectors.dim)
        text = asked if isinstance(asked, str) else None
        ranked_by = _mode(index, mode_of(mode), text)
        optional_text("rerank", rerank)
        expanded, note = expand_of(expand), ""
        reads = (("rerank", rerank is not None), ("highlight", highlight))
        for name, given in (*reads, ("expand 'hypothetical'", expanded == "hypothetical")):
            if given and text is None:
                msg = f"search: {name} reads texts and the query is a vector; leave it out"
                raise ConfigError(msg)
        vector, truncated = None, False
        if ranked_by != "bm25":
            vector, truncated = _vector(index, asked)
        kept = _kept(index, where, ids)
        words = query_words(index, text) if text is not None and ranked_by != "dense" else None
        question = Question(words, vector, kept, fusion, bm25)
        if expanded == "feedback":
            question = ranking.with_feedback(index, question)
        if expanded == "hypothetical" and text is not None:
            passage, note = index.passages.write(text)
            question = ranking.with_hypothetical(index, question, passage) if passage else question
        made = ranking.ranking_of(index, question)
        if rerank is not None and text is not None:
            made = ranking.reranked(index, made, rerank, text)
        rows, scores = ranking.page_of(index, made.best, page)
        hits = index.hits(rows, scores, vector)
        if explain:
            hits = with_ranks(hits, rows, made, page)
        if highlight and text is not None:
            hits = with_highlights(index, hits, text, vector)
        return Results(hits, truncated=truncated, note=note)

    def similar(
        self,
        doc_id: str,
        k: int = 10,
        where: str | None = None,
        *,
        ids: Iterable[str] | None = None,
        offset: int = 0,
        min_score: float | None = None,
        group_by: str | None = None,
    ) -> Results[Hit]:
        """Return the documents most similar to a document, without the document; for the parameters see `search`.

        Raises
        ------
        ConfigError
            If the index has no such document, or as in `search`.
        """
        index, page = self._open, Page.of(k, offset, min_score, group_by)
        row = index.row_of(doc_id)
        vector = index.vectors.gather(np.array([row]))[0]
        made = ranking.ranking_of(index, Question(None, vector, _kept(index, where, ids)))
        rows, scores = ranking.page_of(index, ranking.without(made.best, row), page)
        return Results(index.hits(rows, scores, vector))

    def topics(self, query: str | NDArray[np.floating] | Sequence[float], k: int = 10) -> Results[TopicHit]:
        """Return the topics whose centroid is nearest to a query.

        Raises
        ------
        ConfigError
            If the index has no topics, or as in `search`.
        """
        index, k = self._open, whole_number("k", k, 1)
        if index.files.meta["topics"] is None:
            msg = "search: the index has no topics; set index.topics to a topic model's run and index again"
            raise ConfigError(msg)
        vector, truncated = _vector(index, one_query(query, index.vectors.dim))
        cosines, table = index.centroids @ vector, index.topic_table
        scored = table.with_columns(score=pl.Series(cosines[table["topic"].to_numpy()]))
        best = scored.top_k(min(k, scored.height), by="score")
        columns = ("topic", "name", "keywords", "size", "score")
        return Results((TopicHit(*row) for row in best.select(columns).iter_rows()), truncated=truncated)

    # --- steps of a search, for other programs ---

    def nearest(self, vectors: NDArray[np.float32], k: int, kept: NDArray[np.bool_] | None = None) -> Found:
        """Return rows (m, k) and cosines of the documents nearest to unit vectors; see `ranking.nearest`."""
        return ranking.nearest(self._open, vectors, k, kept)

    def filtered(self, where: str | None, ids: Iterable[str] | None = None) -> NDArray[np.bool_] | None:
        """Return which documents (n,) a condition and ids keep, without removed ones; None if both are None."""
        return _kept(self._open, where, ids)

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector (dim,) of a query."""
        return _vector(self._open, text)[0]

    def row_of(self, doc_id: str) -> int:
        """Return the row of a document; raise ConfigError if there is none."""
        return self._open.row_of(doc_id)

    def hits(
        self, rows: RowArray, scores: NDArray[np.float64], vector: NDArray[np.float32] | None
    ) -> list[Hit]:
        """Return the documents of rows with their columns, scores and topics; rows below 0 are left out."""
        return self._open.hits(rows, scores, vector)

    # --- updates ---

    def add(
        self,
        documents: Sequence[Mapping[str, Any]] | pl.DataFrame,
        vectors: NDArray[np.floating] | None = None,
    ) -> None:
        """Add documents, each with a `text`, optionally a `doc_id`, and the index's other columns.

        A document with the id of an existing document replaces it; a document without an id gets one made from its
        text. The new generation is written beside the old one, and a new run names it. This object then uses the new
        generation; other open objects keep the old one.

        Parameters
        ----------
        documents : sequence of mappings, or pl.DataFrame
            The documents. Values must fit the types of the index's columns: dates and times may be texts
            (`"2012-01-31 12:00"`), numbers must not lose a digit.
        vectors : ndarray of shape (n, dim), optional
            Their vectors, if they are precomputed; otherwise they are computed.

        Raises
        ------
        ConfigError
            If a text is missing, an id repeats, or a column's values do not fit.
        ArtifactError
            If another process has changed the index meanwhile.
        """
        from topicflow.tasks.search.grow import grow  # it imports Prefect, which a search does not need

        self._become(*grow(self._open, documents, vectors, ()))

    def remove(self, doc_ids: Iterable[str]) -> None:
        """Remove documents in a new generation, as `add` does; without ids nothing changes.

        Raises
        ------
        ConfigError
            If `doc_ids` is not a list of ids, or one of them does not exist.
        ArtifactError
            If another process has changed the index meanwhile.
        """
        from topicflow.tasks.search.grow import grow

        rows = [self._open.row_of(doc_id) for doc_id in list_of_ids("remove", doc_ids)]
        if rows:
            self._become(*grow(self._open, None, None, rows))

    def _become(self, files: IndexFiles, record: RunRecord | None) -> None:
        """Change to another generation in one step, so that a search sees either the old one or the new one."""
        self._open = OpenIndex(files, record).with_queries_of(self._open)


def _vector(index: OpenIndex, query: str | NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Return the unit vector (dim,) of a query, and whether it was longer than the encoder reads."""
    if not isinstance(query, str):
        return check_vector(query, index.vectors.dim), False
    vectors, too_long = index.queries.encode([query])
    found: NDArray[np.float32] = vectors[0]
    return found, bool(too_long[0])


def _kept(index: OpenIndex, where: str | None, ids: Iterable[str] | None) -> NDArray[np.bool_] | None:
    return index.filtered(
        optional_text("where", where), None if ids is None else list_of_ids("search: ids", ids)
    )


def _mode(index: OpenIndex, mode: Mode, text: str | None) -> Mode:
    """Return the ranking of a search; raise ConfigError if it needs words and there are none."""
    has_words = bool(index.files.meta["lexical"])
    if mode == "auto":
        return "hybrid" if has_words and text is not None else "dense"
    if mode in {"bm25", "hybrid"} and (text is None or not has_words):
        why = "a vector has no words" if text is None else "the index has no words (index.lexical=false)"
        msg = f"search: mode {mode!r} needs words and {why}; use 'dense'"
        raise ConfigError(msg)
    return mode
