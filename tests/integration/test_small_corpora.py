"""Small real corpora: the defaults find topics for any seed, where excess of mass splits everything into two parts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.benchmarks.labellings import default_labels
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.topics.cluster import cluster_points
from topicflow.tasks.topics.neighbors import find_neighbors
from topicflow.tasks.topics.reduce import reduce_graph

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("file", "column", "n_docs"),
    [("arxiv_titles", "title", 1_500), ("agnews_weak_test", "title", 1_000), ("tweets_dated", "text", 500)],
)
def test_no_seed_gives_one_crowd(file: str, column: str, n_docs: int) -> None:
    path = DATA / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"needs the corpus {file}, which is not part of the project")
    texts = pl.read_parquet(path, columns=[column])[column]
    drawn = texts.gather(np.sort(np.random.default_rng(0).permutation(len(texts))[:n_docs])).to_list()
    encoding = SentenceTransformersEmbed(precision="int8")
    vectors = load_encoder(find_encoder(encoding, "cpu"), encoding).encode(drawn)[0]
    graph = find_neighbors(vectors, NeighborsConfig(), 0, RuntimeConfig())
    labels = default_labels(vectors, 10, 0)
    assert np.bincount(labels[labels >= 0]).max() <= 0.5 * n_docs
    assert labels.max() >= 4
    for seed in range(3):
        points = reduce_graph(
            graph.indices, graph.distances, vectors, ParallelUmapReduce(method="parallel_umap"), seed
        )
        labels = cluster_points(points, HdbscanCluster(method="hdbscan", min_cluster_size=10), seed).labels
        assert np.bincount(labels[labels >= 0]).max() <= 0.5 * n_docs, f"seed {seed}"
        assert labels.max() >= 4, f"seed {seed}"
