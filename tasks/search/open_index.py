"""Open index: the files of one generation -> its documents, words, graph and topics, each opened at its first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.bm25 import Lexicon, WordSearch
from topicflow.tasks.core.vectors.nearest import Parts, RowArray
from topicflow.tasks.core.words.cutting import Rule
from topicflow.tasks.core.words.inflections import BaseForm
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.search.filters.operands import Operand
from topicflow.tasks.search.filters.parser import parse_filter, parse_operand
from topicflow.tasks.search.index_checks import damaged
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.queries import QueryEncoder, open_queries
from topicflow.tasks.search.recipes import identity_of_words
from topicflow.tasks.search.results import Hit
from topicflow.tasks.search.scoring.passage_writer import PassageWriter

T = TypeVar("T")


class once(cached_property[T]):  # noqa: N801  (used like `property`)
    """A property that only one thread computes, once; other threads wait for it."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        """Return the value, or the property itself on the class."""
        if instance is None:
            return self
        with instance.lock:
            return super().__get__(instance, owner)


class OpenIndex:
    """One generation of an index; it never changes, and several threads may use it.

    Parameters
    ----------
    files : IndexFiles
        The files of the index.
    record : RunRecord, optional
        The run that names the index.
    """

    def __init__(self, files: IndexFiles, record: RunRecord | None = None) -> None:
        self.files, self.record = files.check(), record
        self.lock = threading.RLock()
        self.vectors: Parts = files.vectors()
        self.removed: NDArray[np.bool_] = files.removed()

    def with_queries_of(self, other: OpenIndex) -> OpenIndex:
        """Return this generation with the loaded encoder of another generation of the same index, if it has one."""
        if "queries" in other.__dict__:
            self.__dict__["queries"] = other.__dict__["queries"]
        if "passages" in other.__dict__:
            self.__dict__["passages"] = other.__dict__["passages"]
        return self

    def __len__(self) -> int:
        return int(self.files.meta["n_documents"])

    # --- opened at the first use ---

    @once
    def documents(self) -> pl.DataFrame:
        """The documents of all generations, including removed ones: doc_id, text, own columns."""
        return self.files.documents()

    @once
    def table(self) -> pl.DataFrame:
        """The documents with `topic` and `topic_name`, if the index has topics and no columns with these names."""
        if self.labels is None:
            return self.documents
        names = self.topic_table.select(pl.col("topic").cast(pl.Int32), topic_name="name")
        known = pl.DataFrame({"topic": self.labels}).join(
            names, on="topic", how="left", maintain_order="left"
        )
        return self.documents.with_columns(
            known[name] for name in known.columns if name not in self.documents.columns
        )

    @once
    def queries(self) -> QueryEncoder:
        """The encoder of queries."""
        return open_queries(self.files.store, self.files.meta)

    @once
    def passages(self) -> PassageWriter:
        """The language model that writes hypothetical passages; raises ConfigError if the index names none."""
        return PassageWriter.of(self.record)

    @once
    def graph(self) -> Graph | None:
        """The HNSW graph; None if every query is compared with all documents."""
        meta = self.files.meta
        if meta["method"] != "hnsw":
            return None
        path = self.files.graph()
        try:
            graph = Graph(
                self.vectors.dim, meta["codes"], meta["scale"], meta["M"], meta["ef_construction"]
            ).read(path)
        except ValueError as error:
            raise damaged(path, str(error)) from None
        if len(graph) != len(self.vectors):
            raise damaged(path, f"it has {len(graph):,} nodes, the index {len(self.vectors):,} documents")
        return graph

    @once
    def words(self) -> WordSearch:
        """The words of all parts."""
        parts, words = self.files.postings()
        now = identity_of_words(self.config)
        if (cut_by := self.files.meta.get("words")) != now:
            LOG.warning(
                "index: its texts were cut into words by %s, queries are cut by %s, so that some words are not found; "
                "run `topicflow index CONFIG` again",
                cut_by or "an earlier version",
                now,
            )
        return WordSearch(parts, [Lexicon(table["word"]) for table in words], self.removed)

    @property
    def config(self) -> IndexConfig:
        """The section `index` that the index was built with."""
        return IndexConfig.model_validate(self.files.meta["config"])

    @once
    def base_form(self) -> BaseForm | None:
        """The function to the base form of a word; None if each form is a word."""
        if not self.config.lemmas:
            return None
        from topicflow.tasks.topics.tokenization import base_form

        return base_form(self.config.lemmas, "index.lemmas")

    def words_of(self, text: str, rule: Rule) -> list[str]:
        """Return the words of a text, in their order, as they stand in the postings."""
        words = rule.cut([text]).words()
        return words if self.base_form is None else [self.base_form(word) for word in words]

    @once
    def labels(self) -> NDArray[np.int32] | None:
        """The topic of each document; None if the index has no topics."""
        return None if self.files.meta["topics"] is None else self.files.topics()[0]

    @once
    def centroids(self) -> NDArray[np.float32]:
        """The topics' unit vectors (n_topics, dim)."""
        return self.files.topics()[1]

    @once
    def topic_table(self) -> pl.DataFrame:
        """The table of topics: topic, size, name, keywords."""
        return self.files.topic_table()

    @once
    def topic_names(self) -> dict[int, str]:
        """The topics' names."""
        return {} if self.labels is None else dict(self.topic_table.select("topic", "name").iter_rows())

    # --- documents and rows ---

    def row_of(self, doc_id: object) -> int:
        """Return the row of a document; raise ConfigError if there is none."""
        if not isinstance(doc_id, str):
            msg = f"index: expected a document's id, a text, found {type(doc_id).__name__} {doc_id!r}"
            raise ConfigError(msg)
        found = np.flatnonzero((self.documents["doc_id"] == doc_id).to_numpy() & ~self.removed)
        if not len(found):
            first = self.documents["doc_id"].filter(pl.Series(~self.removed)).head(1).to_list()
            hint = f"; ids are like {first[0]!r}" if first else ""
            msg = f"index: no document {doc_id!r}{hint}"
            raise ConfigError(msg)
        return int(found[0])

    def filtered(self, where: str | None, ids: Sequence[str] | None = None) -> NDArray[np.bool_] | None:
        """Return which documents (n,) a condition and ids keep, without removed ones; None if both are None."""
        if where is None and ids is None:
            return None
        kept = ~self.removed
        if ids is not None:
            wanted = pl.Series(ids, dtype=pl.String).implode()
            kept &= self.documents["doc_id"].is_in(wanted).fill_null(value=False).to_numpy()
        if where is not None:
            expression, _ = parse_filter(where, self.table.schema)
            found = self.table.lazy().select(kept=expression.fill_null(value=False)).collect()["kept"]
            kept &= found.to_numpy()
        return kept

    def values_of(self, column: str) -> Callable[[RowArray], pl.Series]:
        """Return a function that gives the values of a column, or of an operand of a filter, for some rows.

        Raises
        ------
        ConfigError
            If there is no such column, or it contains lists.
        """
        schema = self.table.schema
        operand = (
            Operand.of(pl.col(column), schema[column])
            if column in schema
            else parse_operand(column, schema, "group_by")
        )
        if operand.inner is not None:
            msg = f"search: group_by={column!r} is {operand.dtype}; expected a column of single values"
            raise ConfigError(msg)
        return lambda rows: self.table[rows].select(operand.expr.alias("value"))["value"]

    def hits(
        self, rows: RowArray, scores: NDArray[np.float64], vector: NDArray[np.float32] | None
    ) -> list[Hit]:
        """Return the documents of rows with their columns, scores and topics; rows below 0 are left out."""
        rows, scores = rows[rows >= 0], scores[rows >= 0]
        cosines = [None] * len(rows)
        if vector is not None:  # row by row, so that the last bit of a cosine does not depend on other rows
            cosines = np.einsum("nd,d->n", self.vectors.gather(rows), vector).tolist()
        labels = [None] * len(rows) if self.labels is None else self.labels[rows].tolist()
        found = []
        table = self.documents[rows].iter_rows(named=True)
        for own, score, cosine, label in zip(table, scores.tolist(), cosines, labels, strict=True):
            doc_id, text = own.pop("doc_id"), own.pop("text")
            found.append(Hit(doc_id, text, score, cosine, label, self.topic_names.get(label), own))
        return found
