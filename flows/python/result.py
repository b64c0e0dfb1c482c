"""Result: what a run left, as Python objects: tables, vectors, figures, the BERTopic model."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.results.tables import read_table, table_names
from topicflow.tasks.runs.history import RunRecord, called, flow_of, is_published

if TYPE_CHECKING:
    from bertopic import BERTopic
    from plotly.graph_objects import Figure

    from topicflow.tasks.search.index import SearchIndex

SHOWN_TOPICS = 10
"""Rows of topics that a notebook shows for a run."""


class Run:
    """A finished run. Tables are read when they are first asked for, and kept.

    Attributes
    ----------
    record : dict
        The values of run.json, and `folder`.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    @property
    def id(self) -> str:
        """The run's id, such as `20261128-171515-ffdc3551`."""
        return str(self.record["run_id"])

    @property
    def name(self) -> str:
        """The name of the run's series."""
        return str(self.record["name"])

    @property
    def flow(self) -> str:
        """The run's flow: topic_model, update_topics, deduplicate, build_index, train_classifier or sweep."""
        return flow_of(self.record)

    @property
    def state(self) -> str:
        """`completed`; `unchanged` if an update found no new documents and this is the last run."""
        return str(self.record["state"])

    @property
    def is_published(self) -> bool:
        """Whether no gate held the run back."""
        return self.state == "unchanged" or is_published(self.record)

    @property
    def folder(self) -> Path:
        """The run's folder, with report.html, the tables and the model."""
        return Path(self.record["folder"])

    @property
    def report(self) -> Path:
        """The path of the report, a page that needs no network."""
        return self.folder / "report.html"

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures of the run by name; None for a figure that is not defined."""
        return dict(self.record.get("metrics", {}))

    @property
    def remarks(self) -> list[str]:
        """What a person should know before reading the topics, a sentence each."""
        return list(self.record.get("remarks", []))

    @property
    def stages(self) -> pl.DataFrame:
        """One row a stage: stage String, state String (computed or cached), seconds Float64, rows Int64, key String."""
        names = ("stage", "state", "seconds", "rows", "key")
        kinds = (pl.String, pl.String, pl.Float64, pl.Int64, pl.String)
        rows = [[each[name] for name in names] for each in self.record.get("stages", ())]
        return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")

    @property
    def tables(self) -> list[str]:
        """The names of the run's tables, for `table`."""
        return table_names(self.record)

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of the run; raise ConfigError, which lists the tables that there are, for another name."""
        return read_table(self.record, name).collect()

    @cached_property
    def documents(self) -> pl.DataFrame:
        """One row a document, in the order of the input.

        doc_id String, topic Int32 (-1 for none), topic_name String, probability Float32, outlier_score Float32,
        reassigned Boolean, stability Float32 (graph clusters only), x and y Float32, text String, and the input's own
        columns. Near-duplicates: doc_id, kept Boolean, kept_id, similarity, … instead.
        """
        return self.table("documents")

    @cached_property
    def topics(self) -> pl.DataFrame:
        """One row a topic, largest first.

        topic Int32, size UInt32, name String, keywords List(String), weights List(Float64), representative
        List(String) (ids of documents), stability Float32 (graph clusters only).
        """
        return self.table("topics")

    @cached_property
    def tree(self) -> pl.DataFrame:
        """One row a node of the tree of topics, each group followed by what is inside it; needs a section [tree].

        node String, parent String, layer Int32, parent_layer Int32, topic Int32, topics List(Int32), size UInt32,
        name String, keywords List(String), weights List(Float32), distance Float32; with a section [names] also
        named_by and name_note String.
        """
        return self.table("topics_tree")

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The unit vectors (n_documents, dim) float32, in the order of `documents`; read-only, from the store.

        A run that split its documents into passages has a vector for each passage.
        """
        from topicflow.tasks.results.vectors import embeddings_of

        return embeddings_of(self.record)

    def map(self, max_points: int = 50_000) -> Figure:
        """Return the map of the documents as a plotly figure, with at most `max_points` points."""
        from topicflow.tasks.results.figures import map_figure

        return map_figure(self.record, max_points)

    def barchart(self, topics: Sequence[int] | None = None, n_topics: int = 8, n_words: int = 6) -> Figure:
        """Return bars of the keywords' weights of some topics, the largest if None, as a plotly figure."""
        from topicflow.tasks.results.figures import words_figure

        return words_figure(self.record, topics, n_topics, n_words)

    def over_time(self, topics: Sequence[int] | None = None, n_topics: int = 8) -> Figure:
        """Return the documents of some topics in each step of time, the largest topics if None, as a plotly figure.

        Raises
        ------
        DataError
            If the run read no times.
        """
        from topicflow.tasks.results.figures import time_figure

        return time_figure(self.record, topics, n_topics)

    def assign(self, texts: Sequence[str] | NDArray[Any], device: str = "auto") -> pl.DataFrame:
        """Return the topic of new texts, as an update would assign them; the run does not change.

        Parameters
        ----------
        texts : sequence of str, or ndarray of shape (n, dim)
            New texts, or vectors in the space of the run's embeddings.
        device : str
            Device of the encoder.

        Returns
        -------
        pl.DataFrame
            n rows: topic Int32 (-1 for none), topic_name String, probability Float32, x and y Float32 on the map.

        Raises
        ------
        ConfigError
            If the run has no encoder for texts, or this machine has another one of that name.
        """
        from topicflow.tasks.results.assign import assign_texts, assign_vectors

        if isinstance(texts, np.ndarray) and texts.ndim == 2:
            return assign_vectors(self.record, texts)
        return assign_texts(self.record, [texts] if isinstance(texts, str) else list(texts), device)

    def bertopic(self) -> BERTopic:
        """Return the run's BERTopic model, with its representative documents."""
        from topicflow.tasks.results.bertopic_model import load_bertopic

        return load_bertopic(self.record)

    def search_index(self) -> SearchIndex:
        """Return the index that a run of `index` made."""
        from topicflow.tasks.search.index import SearchIndex

        return SearchIndex.open(self.folder)

    @property
    def recommended(self) -> dict[str, Any]:
        """The sections that a sweep recommends; `tf.run(source, **swept.recommended)` uses them."""
        found = self.record.get("recommendation", {})
        if not found.get("chosen"):
            msg = (
                f"{called(self.record)}: {found.get('sentence', f'a run of {self.flow} recommends nothing')}"
            )
            raise ConfigError(msg)
        return dict(found["chosen"]["sections"])

    def __repr__(self) -> str:
        return f"<Run {called(self.record)}: {self._said()}>"

    def _said(self) -> str:
        """Return the run in a few words."""
        counts = [
            f"{self.record[key]:,} {what}" for key, what in (("n_topics", "topics"), ("n_documents", "documents"))
            if self.record.get(key) is not None
        ]  # fmt: skip
        trial = bool(self.record.get("tried"))
        held = [] if self.is_published else ["a trial with --set" if trial else "held back by its gates"]
        return ", ".join([self.flow, self.state, *counts, *held])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the run in a line, its largest topics, where its report is."""
        parts = [f"<p><b>{html.escape(called(self.record))}</b>: {html.escape(self._said())}</p>"]
        if "topics" in self.tables and "name" in self.topics.columns:
            shown = self.topics.head(SHOWN_TOPICS)
            rows = "".join(
                f"<tr><td>{row['topic']}</td><td>{row['size']:,}</td><td style='text-align:left'>"
                f"{html.escape(row['name'])}</td><td style='text-align:left'>"
                f"{html.escape(', '.join(row['keywords'] or ()))}</td></tr>"
                for row in shown.iter_rows(named=True)
            )
            head = "".join(f"<th>{each}</th>" for each in ("topic", "size", "name", "keywords"))
            more = self.topics.height - shown.height
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
            parts += [f"<p>… and {more:,} more topics</p>"] if more > 0 else []
        parts += [f"<p>note: {html.escape(remark)}</p>" for remark in self.remarks]
        if self.report.exists():
            parts.append(f"<p>report: <code>{html.escape(str(self.report))}</code></p>")
        return "\n".join(parts)
