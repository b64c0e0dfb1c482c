"""Search index: an index artifact opened for questions: by meaning, by words, by both; documents added and removed.

index = SearchIndex.open("runs/search/latest")
hits = index.search("spin waves", k=10, where="label = 'physics' and created >= '2012-01-01'")
index.similar(hits[0].doc_id)
index.add([{"doc_id": "n1", "text": "…"}]); index.remove(["n1"])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.hnsw import SPARE, Graph
from topicflow.tasks.core.vectors.nearest import Found, Parts, RowArray, exact_nearest, rank_candidates
from topicflow.tasks.core.vectors.postings import Postings, bm25_scores, fuse_ranks
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.search.filters.parser import parse_filter
from topicflow.tasks.search.grow import Base, grow
from topicflow.tasks.search.index_files import WORD_PATTERN, IndexFiles
from topicflow.tasks.search.locate import locate_index
from topicflow.tasks.search.queries import QueryEncoder, check_vector, open_queries
from topicflow.tasks.store.artifact_store import ArtifactStore

Mode = Literal["auto", "dense", "bm25", "hybrid"]

EXACT_KEPT = 20_000
"""Documents that a filter leaves up to which all of them are compared: nothing can be lost, in some milliseconds."""

OVERSAMPLING = 1.5
"""Candidates asked for, beyond what a filter is expected to take away; who still finds too few is compared with all."""

DEPTH = 200
"""Least places of each ranking that hybrid search fuses."""

RERANKED = 100
"""Best places that a cross-encoder reads."""

FUSION_K, DENSE_WEIGHT = 10.0, 0.5
"""Of reciprocal rank fusion: best of 72 choices on every second query of cranfield (tests/benchmarks/retrieval.py)."""


@dataclass(frozen=True)
class Hit:
    """One document found.

    Attributes
    ----------
    doc_id, text : str
        The document.
    score : float
        What the ranking went by: cosine, BM25, fused ranks, or the reranker's score.
    similarity : float or None
        Cosine to the query; None where it has no vector.
    topic : int or None
        Of the run that the index names, -1 for none; None where it names none.
    topic_name : str or None
        The topic's name.
    fields : dict
        The input's own columns.
    """

    doc_id: str
    text: str
    score: float
    similarity: float | None
    topic: int | None = None
    topic_name: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicHit:
    """One topic found: its number, name, keywords and size, and the cosine of its centroid to the query."""

    topic: int
    name: str
    keywords: list[str]
    size: int
    score: float


class SearchIndex:
    """An index, opened.

    Parameters
    ----------
    files : IndexFiles
        The index.
    record : RunRecord, optional
        The run that names it, which `add` and `remove` follow with a new one.

    Notes
    -----
    Opening maps files and reads none: milliseconds at a million documents. An index that is open stays what it was,
    whatever is added by others. Questions may come from several threads.
    """

    def __init__(self, files: IndexFiles, record: RunRecord | None = None) -> None:
        self.files, self.record = files, record
        self.vectors: Parts = files.vectors()
        self._removed: NDArray[np.bool_] = np.asarray(files.array("removed"))
        self.truncated = False
        """Whether the last query was longer than the encoder reads."""

    @classmethod
    def open(cls, path: Path | str) -> SearchIndex:
        """Return the index of a run's folder (`runs/<name>/latest`), or of an artifact's folder in a store.

        Raises
        ------
        ConfigError
            When there is no index.
        ArtifactError
            When it is damaged or of a newer version.
        """
        store, key, record = locate_index(Path(path))
        return cls(IndexFiles.open(store, key), record)

    def __len__(self) -> int:
        return int(self.files.meta["n_documents"])

    @property
    def store(self) -> ArtifactStore:
        """Where the index lies."""
        return self.files.store

    # --- questions ---

    def search(
        self,
        query: str | NDArray[np.floating],
        k: int = 10,
        where: str | None = None,
        mode: Mode = "auto",
        rerank: str | None = None,
    ) -> list[Hit]:
        """Return the documents that answer a query best, best first: `k`, or as many as there are.

        Parameters
        ----------
        query : str or ndarray of shape (dim,)
            Text, or a vector of the index's space.
        k : int
            How many.
        where : str, optional
            A condition on the columns, as SQL writes it: see `tasks.search.filters`.
        mode : str
            `dense` ranks by cosine, `bm25` by words, `hybrid` fuses both; `auto` is hybrid where there are words and
            the query is text.
        rerank : str, optional
            A cross-encoder (folder or hub name) that reads the best with the query and ranks them anew.

        Raises
        ------
        ConfigError
            When the query is empty or of another space, `k` is less than 1, or `where` cannot be read.
        """
        if k < 1:
            msg = f"search: k={k}, expected 1 or more"
            raise ConfigError(msg)
        text = self._checked(query) if isinstance(query, str) else None
        ranked_by = self._mode(mode, text)
        vector = None
        if ranked_by != "bm25":
            vector = (
                self.encode(text) if text is not None else check_vector(np.asarray(query), self.vectors.dim)
            )
        kept = self.filtered(where)
        depth = max(k, DEPTH) if ranked_by == "hybrid" or rerank else k
        rankings = []
        if vector is not None:
            found, similarities = self.nearest(vector[None], depth, kept)
            rankings.append((found[0], similarities[0].astype(np.float64)))
        if ranked_by != "dense" and text is not None:
            rankings.append(self._by_words(text, depth, kept))
        if ranked_by == "hybrid":
            weights = [2 * DENSE_WEIGHT, 2 * (1 - DENSE_WEIGHT)]
            rows, scores = fuse_ranks([rows for rows, _ in rankings], weights, FUSION_K)
        else:
            rows, scores = rankings[0]
        if rerank is not None and text is not None:
            rows, scores = self._reranked(rerank, text, rows[:RERANKED])
        return self.hits(rows[:k], scores[:k], vector)

    def similar(self, doc_id: str, k: int = 10, where: str | None = None) -> list[Hit]:
        """Return the documents most like a document, itself left out.

        Raises
        ------
        ConfigError
            When the index has no such document.
        """
        row = self.row_of(doc_id)
        vector = self.vectors.gather(np.array([row]))
        rows, similarities = self.nearest(vector, k + 1, self.filtered(where))
        others = (rows[0] != row) & (rows[0] >= 0)
        return self.hits(rows[0][others][:k], similarities[0][others][:k].astype(np.float64), vector[0])

    def topics(self, query: str | NDArray[np.floating], k: int = 10) -> list[TopicHit]:
        """Return the topics whose documents' mean is nearest to a query.

        Raises
        ------
        ConfigError
            When the index names no topic model's run.
        """
        if self.files.meta["topics"] is None:
            msg = "search: the index knows no topics; set index.topics to a topic model's run and index again"
            raise ConfigError(msg)
        vector = self.encode(self._checked(query)) if isinstance(query, str) else query
        cosines = np.asarray(self.files.array("topic_vectors")) @ check_vector(
            np.asarray(vector), self.vectors.dim
        )
        table = self._topics
        scored = table.with_columns(score=pl.Series(cosines[table["topic"].to_numpy()])).top_k(k, by="score")
        columns = ("topic", "name", "keywords", "size", "score")
        return [TopicHit(*row) for row in scored.select(columns).iter_rows()]

    def nearest(self, vectors: NDArray[np.float32], k: int, kept: NDArray[np.bool_] | None = None) -> Found:
        """Return rows (m, k) and cosines of the nearest documents of unit vectors (m, dim), -1 where there are fewer.

        Parameters
        ----------
        vectors : ndarray of shape (m, dim), float32
            Unit vectors.
        k : int
            How many; at most as many as there are documents.
        kept : ndarray of shape (n,), bool, optional
            Documents that may be found, as `filtered` gives them; all that are not removed if None.

        Notes
        -----
        Few kept documents are all compared. Of more the graph is asked for as many as should hold `k` kept ones, and a
        query that still has too few is compared with all kept: a filter costs time and never results.
        """
        alive = ~self._removed if kept is None else kept
        n_kept = int(alive.sum())
        k = max(1, min(k, n_kept))
        if self.graph is None or n_kept <= EXACT_KEPT:
            rows = None if n_kept == len(alive) else np.flatnonzero(alive)
            return exact_nearest(self.vectors, vectors, k, rows)
        ef = int(self.files.meta["ef"])
        if n_kept == len(alive):
            return self.graph.search(self.vectors, vectors, k, ef)
        count = min(len(alive), int(np.ceil(OVERSAMPLING * (k + SPARE) * len(alive) / n_kept)))
        candidates = self.graph.candidates(vectors, count, max(ef, count))
        candidates[(candidates >= 0) & ~alive[candidates]] = -1
        rows, similarities = rank_candidates(self.vectors, vectors, candidates, k)
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):
            rows[short], similarities[short] = exact_nearest(
                self.vectors, vectors[short], k, np.flatnonzero(alive)
            )
        return rows, similarities

    def filtered(self, where: str | None) -> NDArray[np.bool_] | None:
        """Return which documents (n,) a condition keeps, none of them removed; None where there is no condition."""
        if where is None:
            return None
        schema = self.documents.schema
        expression, _ = parse_filter(where, schema)
        kept = self.documents.lazy().select(expression.fill_null(value=False).alias("kept")).collect()["kept"]
        return np.asarray(kept.to_numpy() & ~self._removed)

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector (dim,) of a query; `truncated` says whether it was longer than the encoder reads."""
        vectors, too_long = self.queries.encode([text])
        self.truncated = bool(too_long[0])
        found: NDArray[np.float32] = vectors[0]
        return found

    def row_of(self, doc_id: str) -> int:
        """Return the row of a document; raise ConfigError where there is none."""
        found = np.flatnonzero((self.documents["doc_id"] == doc_id).to_numpy() & ~self._removed)
        if not len(found):
            first = self.documents["doc_id"].filter(pl.Series(~self._removed)).head(1).to_list()
            hint = f"; ids are like {first[0]!r}" if first else ""
            msg = f"index: no document {doc_id!r}{hint}"
            raise ConfigError(msg)
        return int(found[0])

    def hits(
        self, rows: RowArray, scores: NDArray[np.float64], vector: NDArray[np.float32] | None
    ) -> list[Hit]:
        """Return the documents of rows with what is known of them; rows below 0 are left out."""
        rows, scores = rows[rows >= 0], scores[rows >= 0]
        cosines = (self.vectors.gather(rows) @ vector).tolist() if vector is not None else [None] * len(rows)
        labels = [None] * len(rows) if self._labels is None else self._labels[rows].tolist()
        names = dict(self._topics.select("topic", "name").iter_rows()) if self._labels is not None else {}
        found = []
        table = self.documents[rows].iter_rows(named=True)
        for own, score, cosine, label in zip(table, scores.tolist(), cosines, labels, strict=True):
            doc_id, text = own.pop("doc_id"), own.pop("text")
            found.append(Hit(doc_id, text, score, cosine, label, names.get(label), own))
        return found

    # --- updates ---

    def add(
        self,
        documents: Sequence[Mapping[str, Any]] | pl.DataFrame,
        vectors: NDArray[np.floating] | None = None,
    ) -> None:
        """Add documents, each with a `text`, perhaps a `doc_id`, and the index's other columns.

        What has the id of a document that is there takes its place. The new generation is written beside the old
        and then named by a new run; this object goes over to it, others that are open keep the old.

        Parameters
        ----------
        documents : sequence of mappings, or pl.DataFrame
            The documents.
        vectors : ndarray of shape (n, dim), optional
            Their vectors, where they are precomputed; else they are embedded.

        Raises
        ------
        ConfigError
            When a text is missing, an id repeats, or a column's values do not fit.
        ArtifactError
            When the index was changed by another meanwhile.
        """
        self._become(SearchIndex(*grow(self._base(), documents, vectors, ())))

    def remove(self, doc_ids: Iterable[str]) -> None:
        """Remove documents, in a new generation as `add` does; raise ConfigError where one is not there."""
        rows = [self.row_of(doc_id) for doc_id in doc_ids]
        self._become(SearchIndex(*grow(self._base(), None, None, rows)))

    def _base(self) -> Base:
        return Base(self.files, self.documents, lambda: self.queries, self.record)

    def _become(self, other: SearchIndex) -> None:
        queries = self.__dict__.get("queries")
        self.__dict__.clear()
        self.__dict__.update(other.__dict__)
        if queries is not None:
            self.__dict__["queries"] = queries

    # --- what is opened when it is asked for ---

    @cached_property
    def documents(self) -> pl.DataFrame:
        """The documents of all generations, removed ones among them: doc_id, text, own columns."""
        return self.files.documents()

    @cached_property
    def queries(self) -> QueryEncoder:
        """What encodes queries."""
        return open_queries(self.store, self.files.meta)

    @cached_property
    def graph(self) -> Graph | None:
        """The HNSW graph; None where every query is compared with all."""
        meta = self.files.meta
        if meta["method"] != "hnsw":
            return None
        path = self.files.path("graph.usearch")
        try:
            graph = Graph(
                self.vectors.dim, meta["codes"], meta["scale"], meta["M"], meta["ef_construction"]
            ).read(path)
            if len(graph) != len(self.vectors):
                raise ValueError(f"it has {len(graph):,} nodes, the index {len(self.vectors):,} documents")  # noqa: TRY301
        except ValueError as error:
            msg = (
                f"index: {path} cannot be read ({error}); `topicflow index CONFIG --set index.updates=rebuild` makes "
                "it anew"
            )
            raise ArtifactError(msg) from None
        return graph

    @cached_property
    def _postings(self) -> tuple[list[Postings], list[pl.DataFrame], float]:
        parts, words = self.files.postings()
        lengths = np.concatenate([part.lengths for part in parts])[~self._removed]
        return parts, words, float(lengths.mean()) if len(lengths) else 0.0

    @cached_property
    def _labels(self) -> NDArray[np.int32] | None:
        return None if self.files.meta["topics"] is None else np.asarray(self.files.array("topics"))

    @cached_property
    def _topics(self) -> pl.DataFrame:
        return pl.read_parquet(self.files.path("topics.parquet"))

    # --- steps ---

    def _checked(self, text: str) -> str:
        if not text.strip():
            msg = "search: the query is empty; give some words"
            raise ConfigError(msg)
        return text

    def _mode(self, mode: Mode, text: str | None) -> str:
        if mode == "auto":
            return "hybrid" if self.files.meta["lexical"] and text is not None else "dense"
        if mode in {"bm25", "hybrid"} and (text is None or not self.files.meta["lexical"]):
            why = (
                "a vector has no words" if text is None else "the index keeps no words (index.lexical=false)"
            )
            msg = f"search: mode {mode!r} needs words and {why}; use 'dense'"
            raise ConfigError(msg)
        return mode

    def _by_words(
        self, text: str, k: int, kept: NDArray[np.bool_] | None
    ) -> tuple[RowArray, NDArray[np.float64]]:
        """Return the rows with a word of the query, best BM25 first, and their scores."""
        parts, tables, mean_length = self._postings
        words = list(dict.fromkeys(re.findall(WORD_PATTERN, text.lower())))
        asked = pl.DataFrame({"word": words}, schema={"word": pl.String})
        places = [
            asked.join(
                table.filter(pl.col("word").is_in(words)), on="word", how="left", maintain_order="left"
            )["place"]
            .fill_null(-1)
            .to_numpy()
            for table in tables
        ]
        scores = bm25_scores(parts, places, len(self), mean_length, self._removed)
        scores[self._removed if kept is None else ~kept] = 0.0
        found = np.flatnonzero(scores)
        if len(found) > k:  # all that tie with the last are looked at, so that ties go by row
            least = np.partition(scores[found], len(found) - k)[len(found) - k]
            found = found[scores[found] >= least]
        order = np.lexsort((found, -scores[found]))[:k]
        return found[order], scores[found[order]].astype(np.float64)

    def _reranked(self, model: str, text: str, rows: RowArray) -> tuple[RowArray, NDArray[np.float64]]:
        from topicflow.tasks.search.rerank import rerank_scores

        rows = rows[rows >= 0]
        scores = rerank_scores(model, text, self.documents["text"][rows].to_list())
        order = np.lexsort((rows, -scores))
        return rows[order], scores[order]
