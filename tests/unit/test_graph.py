"""The graph of a run: near documents by hand, and a file that networkx reads back to the same graph."""

import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest

from tests.fakes import save, save_documents
from tests.runs import complete
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.results.graph import graph_of
from topicflow.tasks.results.graphml import write_graphml
from topicflow.tasks.runs.resolve import resolve
from topicflow.tasks.store.artifact_store import ArtifactStore

TEXTS = ["red\x08 <cat>", "blue & dog", "red\x08 <cat>", "tea " * 40, "milk"]
DOCUMENTS = pl.DataFrame(
    {
        "doc_id": ["d0", "d1", "d2", "d3", "d4"],
        "topic": pl.Series([0, 0, 0, 1, -1], dtype=pl.Int32),
        "topic_name": ["animals", "animals", "animals", "drinks", None],
        "probability": pl.Series([0.5, 0.25, 1.0, 0.75, 0.0], dtype=pl.Float32),
        "x": pl.Series([0.0, 1.0, 0.0, 5.0, float("nan")], dtype=pl.Float32),
        "text": TEXTS,
        "label": ["a", "b", None, "d", "e"],
        "weight": [1, 2, 3, 4, 5],
        "good": [True, False, None, True, True],
    }
)
TOPICS = pl.DataFrame(
    {
        "topic": pl.Series([0, 1], dtype=pl.Int32), "size": pl.Series([3, 1], dtype=pl.UInt32),
        "name": ["animals", "drinks"], "keywords": [["cat", "dog"], ["tea"]],
    }
)  # fmt: skip


def run_of(
    store: ArtifactStore, tmp_path: Path, near: dict[str, Any], meta: dict[str, Any]
) -> dict[str, Any]:
    """Return the record of a run with these neighbours; d0 and d2 have one vector."""
    refs = {"load": save_documents(store, TEXTS), "neighbors": save(store, "neighbors", near, meta)}
    stages = [
        {"stage": stage, "kind": ref.kind, "key": ref.key, "rows": ref.rows} for stage, ref in refs.items()
    ]
    run = complete(tmp_path / "runs", 1, flow="topic_model", stages=stages, store=str(store.root))
    folder = run.folder(tmp_path / "runs")
    DOCUMENTS.write_parquet(folder / "documents.parquet")
    TOPICS.write_parquet(folder / "topics.parquet")
    return resolve(tmp_path / "runs", "topics")


POINTS = {
    "rows": np.array([3, 0, 1, 4]), "counts": np.array([1, 2, 1, 1], np.int32),
    "point": np.array([1, 2, 1, 0, 3], np.int32),
    "indices": np.array([[0, 1, 3], [1, 2, 0], [2, 1, 3], [3, 0, 1]], np.int32),
    "distances": np.array([[0, 0.5, 0.75], [0, 0.25, 0.5], [0, 0.25, 0.875], [0, 0.75, 1.0]], np.float32),
}  # fmt: skip


@pytest.fixture
def record(store: ArtifactStore, tmp_path: Path) -> dict[str, Any]:
    return run_of(store, tmp_path, POINTS, {"sampled": False})


def near(graph: Any) -> dict[tuple[str, str], float]:
    rows = graph.edges.filter(pl.col("kind") == "near")
    return {(a.removeprefix("document:"), b.removeprefix("document:")): w for a, b, _, w in rows.iter_rows()}


def test_near_documents_by_hand(record: dict[str, Any]) -> None:
    assert near(graph_of(record, 1)) == {
        ("d0", "d1"): 0.75, ("d0", "d2"): 1.0, ("d0", "d3"): 0.5, ("d3", "d4"): 0.25,
    }  # fmt: skip
    both = near(graph_of(record, 9))
    assert both == near(graph_of(record, 1)) | {("d1", "d4"): 0.125, ("d0", "d4"): 0.0}
    members = graph_of(record).edges.filter(pl.col("kind") == "member")
    assert members["target"].to_list() == ["topic:0"] * 3 + ["topic:1"]
    assert members["weight"].to_list() == [0.5, 0.25, 1.0, 0.75]


def test_documents_outside_a_fitted_sample_are_beside_their_nearest(
    store: ArtifactStore, tmp_path: Path
) -> None:
    sample = {
        "rows": np.array([0, 3]), "counts": np.array([1, 1], np.int32),
        "indices": np.array([[0, 1], [1, 0]], np.int32), "distances": np.array([[0, 0.5], [0, 0.5]], np.float32),
        "nearest": np.array([[0, 1], [0, 1], [0, 1], [1, 0], [1, 0]], np.int32),
        "nearest_distances": np.array([[0, 0.5], [0.25, 0.75], [0, 0.5], [0, 0.5], [0.5, 0.75]], np.float32),
    }  # fmt: skip
    graph = graph_of(run_of(store, tmp_path, sample, {"sampled": True}), 1)
    assert near(graph) == {("d0", "d3"): 0.5, ("d0", "d1"): 0.75, ("d0", "d2"): 1.0, ("d3", "d4"): 0.5}


def test_networkx_reads_the_file_back(record: dict[str, Any], tmp_path: Path) -> None:
    graph = graph_of(record, 9)
    files = graph.write(tmp_path / "graph")
    assert [path.name for path in files] == [
        "documents.parquet",
        "topics.parquet",
        "edges.parquet",
        "graph.graphml",
    ]
    assert pl.read_parquet(files[0]).equals(graph.documents)
    read = nx.read_graphml(files[-1])
    assert type(read) is nx.Graph  # undirected, and no pair has two edges
    assert set(read) == {f"document:d{i}" for i in range(5)} | {"topic:0", "topic:1"}
    first = read.nodes["document:d0"]
    assert first["label"] == "red <cat>"  # XML has no form for the character 8
    assert (first["kind"], first["topic"], first["label_input"], first["weight"]) == ("document", 0, "a", 1)
    assert (first["good"], read.nodes["document:d1"]["good"]) == (True, False)
    assert "good" not in read.nodes["document:d2"]
    assert "x" not in read.nodes["document:d4"]  # NaN
    long = read.nodes["document:d3"]["label"]
    assert (len(long), long[-1]) == (80, "…")
    topic = read.nodes["topic:0"]
    assert (topic["kind"], topic["label"], topic["n_documents"], topic["keywords"]) == (
        "topic", "animals", 3, "cat, dog",
    )  # fmt: skip
    edges = {frozenset(ends): (data["kind"], data["weight"]) for *ends, data in read.edges(data=True)}
    assert edges == {
        frozenset((a, b)): (kind, pytest.approx(weight)) for a, b, kind, weight in graph.edges.iter_rows()
    }
    with pytest.raises(ConfigError, match="exists already; --force"):
        graph.write(tmp_path / "graph")
    assert graph.write(tmp_path / "graph", force=True) == files


def test_the_keys_are_those_that_gephi_understands(record: dict[str, Any], tmp_path: Path) -> None:
    text = graph_of(record).write(tmp_path / "graph")[-1].read_text()
    keys = [line for line in text.splitlines() if line.startswith("<key")]
    assert '<key id="label" for="node" attr.name="label" attr.type="string"/>' in keys
    assert '<key id="weight" for="node" attr.name="weight" attr.type="long"/>' in keys
    assert '<key id="edge:weight" for="edge" attr.name="weight" attr.type="double"/>' in keys
    assert len({line.split('"')[1] for line in keys}) == len(keys)
    assert '<graph edgedefault="undirected">' in text


def test_columns_of_two_types_are_texts(tmp_path: Path) -> None:
    nodes = [
        pl.DataFrame({"id": ["a"], "n": [1], "t": ["\f1\r\n2"]}),
        pl.DataFrame({"id": ["b"], "n": ["x"], "m": [math.inf]}),
    ]
    write_graphml(tmp_path / "g", nodes, [])
    read = nx.read_graphml(tmp_path / "g")
    assert dict(read.nodes(data=True)) == {"a": {"n": "1", "t": "1\r\n2"}, "b": {"n": "x"}}


def test_neighbours_that_are_gone(record: dict[str, Any], store: ArtifactStore) -> None:
    own = next(each for each in record["stages"] if each["stage"] == "neighbors")
    store.discard("neighbors", own["key"])
    with pytest.raises(
        ArtifactError, match=r"its neighbours \(neighbors/.*\) are missing in .*; run its config again"
    ):
        graph_of(record)
    without = record | {"stages": [each for each in record["stages"] if each["stage"] == "load"]}
    with pytest.raises(ConfigError, match="has no stage neighbors"):
        graph_of(without)
