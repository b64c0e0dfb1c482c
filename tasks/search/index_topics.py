"""Index topics: a run with topics -> the topic of each document of an index, and topics as vectors in its space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve
from topicflow.tasks.runs.run_files import whole_file
from topicflow.tasks.search.index_checks import read_arrow
from topicflow.tasks.store.artifact_store import ArtifactWriter

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class TopicsOfRun:
    """A run with topics: its name, its folder, and the keys of the artifacts that decide its topics."""

    run: str
    folder: Path
    keys: dict[str, str]


def find_topics(runs: Path, wanted: str) -> TopicsOfRun:
    """Return the topics of a run of a topic model, or of an update of one, by name, id or folder.

    Raises
    ------
    ConfigError
        If there is no such run, it has no topics, or it is not completed.
    """
    record = resolve(runs, wanted, flow=TOPIC_FLOWS, where="index.topics")
    run = f"{record['name']}/{record['run_id']}"
    stages = {each["stage"]: each["key"] for each in record["stages"]}
    # the state of an update has everything: documents, topics, lasting ids, names
    decisive = {"state"} if "state" in stages else {"load", "label", "label_edited", "rename", "name"}
    keys = {f"topics.{stage}": key for stage, key in stages.items() if stage in decisive}
    return TopicsOfRun(run, Path(record["folder"]), keys)


def write_topics(writer: ArtifactWriter, topics: TopicsOfRun) -> None:
    """Write the topic of each document of the index in `writer`, the topics, and their centroids.

    Parameters
    ----------
    writer : ArtifactWriter
        An index whose documents and vectors are already written.
    topics : TopicsOfRun
        The run.

    Raises
    ------
    ConfigError
        If the run has none of the documents.

    Notes
    -----
    Centroids are means of the index's own vectors, so that topics can be searched for any encoder of the run.
    """
    given = pl.read_parquet(whole_file(topics.folder, "documents.parquet"), columns=["doc_id", "topic"])
    parts = sorted((writer.folder / "documents").glob("*.arrow"))
    ids = pl.concat([read_arrow(path).select("doc_id") for path in parts])
    labels = _labels(ids, given)
    if (labels < -1).all():
        msg = f"index.topics: {topics.run} has none of these documents; name a run with the same documents"
        raise ConfigError(msg)
    named = pl.read_parquet(
        whole_file(topics.folder, "topics.parquet"), columns=["topic", "size", "name", "keywords"]
    )
    n_topics = 1 + max(named["topic"].to_list(), default=-1)
    arrays = [np.load(path, mmap_mode="r") for path in sorted((writer.folder / "vectors").glob("*.npy"))]
    live = np.where(np.load(writer.folder / "removed.npy"), -1, labels)
    writer.save_array("topics", np.maximum(labels, -1).astype(np.int32))
    writer.save_array("topic_vectors", centroids(arrays, live, n_topics))
    writer.save_table("topics", named)
    writer.meta |= {"topics": topics.run, "n_with_topic": int((live >= 0).sum())}


def _labels(ids: pl.DataFrame, given: pl.DataFrame) -> NDArray[np.int32]:
    """Return the topic (n,) of each id, -1 for none, -2 if the run lacks it; passages get their document's topic."""
    whole = ids.with_columns(parent=pl.col("doc_id").str.replace(r"#\d+$", ""))
    found = whole.join(given, on="doc_id", how="left", maintain_order="left").join(
        given.rename({"doc_id": "parent", "topic": "of_parent"}),
        on="parent",
        how="left",
        maintain_order="left",
    )
    labels = found.select(pl.coalesce("topic", "of_parent").fill_null(-2).cast(pl.Int32)).to_series()
    return labels.to_numpy()


def centroids(
    arrays: list[NDArray[np.float32]], labels: NDArray[np.integer], n_topics: int
) -> NDArray[np.float32]:
    """Return the unit mean vectors (n_topics, dim) of the rows of each label; zeros for a label without rows."""
    from scipy.sparse import csr_matrix

    sums = np.zeros((n_topics, arrays[0].shape[1]), np.float64)
    start = 0
    for array in arrays:
        for first in range(0, len(array), BLOCK_ROWS):
            block = np.asarray(array[first : first + BLOCK_ROWS])
            mine = labels[start + first : start + first + len(block)]
            rows = np.flatnonzero(mine >= 0)
            member = csr_matrix(
                (np.ones(len(rows), np.float32), (mine[rows], rows)), shape=(n_topics, len(block))
            )
            sums += member @ block
        start += len(array)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    units: NDArray[np.float32] = (sums / np.maximum(norms, np.finfo(np.float64).tiny)).astype(np.float32)
    return units
