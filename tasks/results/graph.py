"""Graph: the record of a run of topic_model -> documents, topics and edges between near documents, as files.

documents.parquet   id, kind, label, doc_id, topic, …: the documents of the run
topics.parquet      id, kind, label, topic, name, …: its topics
edges.parquet       source, target, kind, weight: near documents with their cosine, documents with their topic
graph.graphml       the same in one file, for networkx and Gephi
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.results.flat import flat
from topicflow.tasks.results.graphml import write_graphml
from topicflow.tasks.results.tables import read_table
from topicflow.tasks.results.vectors import stage_of, store_of
from topicflow.tasks.runs.history import RunRecord, called
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

DOCUMENT, TOPIC = "document:", "topic:"
"""Beginnings of ids: a document and a topic may have the same id, and one graph has both."""

SHOWN_CHARACTERS = 80
"""Characters of a document's text in its label."""

FILES = ("documents.parquet", "topics.parquet", "edges.parquet", "graph.graphml")

IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class Graph:
    """The tables of a graph."""

    documents: pl.DataFrame
    topics: pl.DataFrame
    edges: pl.DataFrame

    def write(self, folder: Path, *, force: bool = False) -> list[Path]:
        """Write the files into a folder and return them.

        Raises
        ------
        ConfigError
            If a file exists and `force` is false.
        ArtifactError
            If a file cannot be written.
        """
        files = [folder / name for name in FILES]
        existing = [path for path in files if path.exists()]
        if existing and not force:
            msg = f"{existing[0]} exists already; --force writes over it, --output names another place"
            raise ConfigError(msg)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, table in zip(files, (self.documents, self.topics, self.edges), strict=False):
                table.write_parquet(path)
            nodes = [flat(table.lazy()).collect() for table in (self.documents, self.topics)]
            write_graphml(files[-1], nodes, [self.edges])
        except OSError as error:
            reason = (error.strerror or str(error).partition(" (os error")[0]).lower()
            msg = f"{folder} cannot be written ({reason}); choose another --output"
            raise ArtifactError(msg) from None
        return files


def graph_of(record: RunRecord, n_neighbors: int = 5) -> Graph:
    """Return the graph of a run of topic_model.

    Parameters
    ----------
    record : dict
        The run's record.
    n_neighbors : int
        Nearest neighbours of each document; an edge needs only one of its two ends to have the other among these.

    Raises
    ------
    ConfigError
        If the run has no neighbours, as a run of another flow.
    ArtifactError
        If its neighbours were deleted from the store.
    """
    store = store_of(record)
    ref = _neighbors(store, record)
    documents = read_table(record, "documents").collect()
    topics = read_table(record, "topics").collect()
    whole = _document_of_row(store, record, documents)
    near = _near_documents(store, ref, whole, n_neighbors)
    ids = documents["doc_id"]
    edges = pl.DataFrame(
        {
            "source": DOCUMENT + ids.gather(near.source),
            "target": DOCUMENT + ids.gather(near.target),
            "kind": pl.Series(["near"], dtype=pl.String).new_from_index(0, len(near.source)),
            "weight": near.weight,
        }
    )
    placed = documents.filter(pl.col("topic") >= 0)
    members = placed.select(
        source=DOCUMENT + pl.col("doc_id"),
        target=TOPIC + pl.col("topic").cast(pl.String),
        kind=pl.lit("member"),
        weight=pl.col("probability").cast(pl.Float32),
    )
    return Graph(_document_nodes(documents), _topic_nodes(topics), pl.concat([edges, members]))


@dataclass(frozen=True)
class _Near:
    """Pairs of near documents, each once: rows of the documents' table and the cosine."""

    source: IntArray
    target: IntArray
    weight: NDArray[np.float32]


def _neighbors(store: ArtifactStore, record: RunRecord) -> ArtifactRef:
    """Return the neighbours' artifact of a run, which must be there."""
    ref = stage_of(record, "neighbors")
    if (state := store.state(ref.kind, ref.key)) != "hit":
        msg = (
            f"{called(record)}: its neighbours ({ref.kind}/{ref.key}) are {state} in {store.name}, as after "
            "`topicflow store gc`; run its config again to make them"
        )
        raise ArtifactError(msg)
    return ref


def _document_of_row(store: ArtifactStore, record: RunRecord, documents: pl.DataFrame) -> IntArray:
    """Return the row of the run's table of documents for each embedded row; passages belong to their document."""
    stages = [each["stage"] for each in record["stages"]]
    ref = stage_of(record, "keep" if "keep" in stages else "load")
    if (state := store.state(ref.kind, ref.key)) != "hit":
        msg = f"{called(record)}: {ref.kind}/{ref.key} is {state} in {store.name}; run its config again to make it"
        raise ArtifactError(msg)
    table = store.table(ref, "documents")
    name = "parent" if "parent" in table.collect_schema() else "doc_id"
    own = table.select(doc_id=name).collect()
    rows = documents.select("doc_id").with_row_index("row")
    return own.join(rows, on="doc_id", how="left", maintain_order="left")["row"].to_numpy()


def _near_documents(store: ArtifactStore, ref: ArtifactRef, whole: IntArray, k: int) -> _Near:
    """Return the pairs of near documents of a neighbours' artifact: of points, of copies, and of a fitted sample."""
    rows = np.asarray(store.array(ref, "rows"))
    indices, distances = (np.asarray(store.array(ref, name)) for name in ("indices", "distances"))
    own = np.repeat(np.arange(len(rows)), indices.shape[1] - 1).reshape(len(rows), -1)[:, :k]
    parts = [(rows[own], rows[indices[:, 1 : k + 1]], distances[:, 1 : k + 1])]
    if store.meta(ref)["sampled"]:
        nearest, theirs = (np.asarray(store.array(ref, name)) for name in ("nearest", "nearest_distances"))
        others = np.setdiff1d(np.arange(len(nearest)), rows)
        asked = np.repeat(others, min(k, nearest.shape[1])).reshape(len(others), -1)
        parts.append((asked, rows[nearest[others][:, :k]], theirs[others][:, :k]))
    else:
        point = np.asarray(store.array(ref, "point"))
        copies = np.setdiff1d(np.arange(len(point)), rows)
        parts.append((copies[:, None], rows[point[copies]][:, None], np.zeros((len(copies), 1), np.float32)))
    ends = [np.concatenate([part[end].ravel() for part in parts]) for end in (0, 1)]
    far = np.concatenate([part[2].ravel() for part in parts])
    pairs = np.sort(np.stack([whole[ends[0]], whole[ends[1]]], axis=1), axis=1)
    table = pl.DataFrame(
        {"source": pairs[:, 0], "target": pairs[:, 1], "weight": (1.0 - far).astype(np.float32)}
    )
    best = (
        table.filter(pl.col("source") != pl.col("target"))
        .group_by("source", "target")
        .agg(pl.col("weight").max())
        .sort("source", "target")
    )
    return _Near(*(best[name].to_numpy() for name in ("source", "target", "weight")))


def _document_nodes(documents: pl.DataFrame) -> pl.DataFrame:
    """Return the documents as nodes; a column of the input that has the name of one of ours gets `_input`."""
    text = pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars()
    own = documents.select(
        id=DOCUMENT + pl.col("doc_id"),
        kind=pl.lit("document"),
        label=pl.when(text.str.len_chars() > SHOWN_CHARACTERS)
        .then(text.str.slice(0, SHOWN_CHARACTERS - 1) + "…")
        .otherwise(text),
    )
    return own.hstack(_renamed(documents, own))


def _topic_nodes(topics: pl.DataFrame) -> pl.DataFrame:
    """Return the topics as nodes; their size is `n_documents`, because Gephi draws `size`."""
    own = topics.select(
        id=TOPIC + pl.col("topic").cast(pl.String), kind=pl.lit("topic"), label=pl.col("name")
    )
    return own.hstack(_renamed(topics.rename({"size": "n_documents"}), own))


def _renamed(table: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    return table.rename({name: f"{name}_input" for name in table.columns if name in own.columns})
