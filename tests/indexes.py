"""Indexes for tests: the flow's stages called one after the other, without a server."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.index import publish_index
from topicflow.tasks.runs.records import RunId
from topicflow.tasks.runs.resolve import latest_run
from topicflow.tasks.search.build_stage import index
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.index_topics import find_topics
from topicflow.tasks.search.locate import index_key
from topicflow.tasks.store.artifact_store import open_store

PRECOMPUTED = {"method": "precomputed", "column": "vector"}


def index_config(folder: Path, embed: dict[str, Any] | None = None, **settings: Any) -> BuildIndexConfig:
    """Return the config of an index of folder/documents.parquet."""
    return BuildIndexConfig(
        load={"path": str(folder / "documents.parquet"), "id_column": "id"},
        embed=embed or PRECOMPUTED,
        index=settings,
        runtime={"store": str(folder / "store"), "runs": str(folder / "runs"), "device": "cpu"},
    )


def build(
    folder: Path, table: pl.DataFrame, embed: dict[str, Any] | None = None, **settings: Any
) -> SearchIndex:
    """Return the index of a table, opened by its run's folder, as `topicflow index` makes it."""
    table.write_parquet(folder / "documents.parquet")
    return run(index_config(folder, embed, **settings))


def run(config: BuildIndexConfig) -> SearchIndex:
    """Return the index that a config makes, from the last one of its name if there is one."""
    store, runs = open_store(config.runtime), Path(config.runtime.runs)
    before = latest_run(runs / config.name)
    topics = find_topics(runs, config.index.topics) if config.index.topics else None
    context = Context(store, config.seed, config.runtime)
    documents = load.fn(context, config.load)
    embeddings = embed.fn(context, documents, config.embed)
    indexed = (
        index.fn(
            context, documents, embeddings, config, topics, None if before is None else index_key(before),
        )
    )  # fmt: skip
    stages = {"load": documents, "embed": embeddings, "index": indexed}
    publish_index.fn(store, config, stages, RunId.new(config.name))
    return SearchIndex.open(runs / config.name / "latest")


def unit_vectors(n: int, dim: int = 16, seed: int = 0, n_groups: int = 20) -> np.ndarray:
    """Return unit vectors (n, dim) float32 around some centres, like those of texts."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_groups, dim))
    vectors = centres[rng.integers(n_groups, size=n)] + 0.6 * rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def documents_table(n: int, dim: int = 16, seed: int = 0) -> pl.DataFrame:
    """Return n documents with ids, texts, vectors and two columns to filter by."""
    rng = np.random.default_rng(seed)
    words = np.array(["red", "green", "blue", "tea", "milk", "cat", "dog", "bird", "horse", "sheep"])
    texts = [" ".join(rng.choice(words, rng.integers(2, 9))) + f" n{row}" for row in range(n)]
    return pl.DataFrame(
        {
            "id": [f"d{row}" for row in range(n)],
            "text": texts,
            "bucket": np.arange(n) % 100,
            "kind": [("even", "odd")[row % 2] for row in range(n)],
            "vector": unit_vectors(n, dim, seed).tolist(),
        }
    )


def brute(vectors: np.ndarray, query: np.ndarray, k: int, kept: np.ndarray | None = None) -> list[int]:
    """Return the k most similar rows among the kept ones, computed with numpy."""
    scores = vectors @ query
    if kept is not None:
        scores = np.where(kept, scores, -np.inf)
    return np.argsort(-scores, kind="stable")[:k].tolist()
