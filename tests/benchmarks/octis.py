"""The BERTopic paper's table on OCTIS' BBC News with its own protocol, together with BERTopic in one run; prints JSON.

    python -m tests.benchmarks.octis --store STORE --scratch DIR

Protocol: 10, 20, 30, 40 and 50 target topics, three seeds, the top 10 words of every topic, noise left out; NPMI with
a window of 10 tokens over the corpus (gensim's c_npmi), diversity as the share of distinct words; the figure is the
mean over all fifteen. min_cluster_size 5 on both sides, as the paper's published runs have it. The corpus is
preprocessed, so neither side removes stop words. Ours: topics joined down to the number (`cluster.n_topics`),
frequent words damped by BERTopic's own `reduce_frequent_words`; without the damping it is `topicflow_undamped`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.corpora import embedded
from tests.benchmarks.peer import fit_bertopic, machine
from tests.benchmarks.quality import our_topics
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.evaluate import measure

COUNTING = CountConfig(stop_words="none")
N_TOPICS = (10, 20, 30, 40, 50)
SEEDS = (1, 2, 3)


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    store = ArtifactStore(args.store)
    documents, embeddings = embedded("octis_bbc_news", store, args.scratch)
    vectors = np.asarray(store.array(embeddings, "embeddings"))
    texts = [text for part in text_parts(store, documents) for text in part]

    def figures(labels: np.ndarray, keywords: list[list[str]], n_topics: int, seed: int) -> dict[str, Any]:
        found = measure(
            [texts], keywords, labels, vectors, vectors, None, EvaluateConfig(sample=10), COUNTING, seed
        )
        return {"asked": n_topics, "seed": seed, **{k: found[k] for k in ("n_topics", "npmi", "diversity")}}

    sides: dict[str, list[dict[str, Any]]] = {"topicflow": [], "topicflow_undamped": [], "bertopic": []}
    for n_topics in N_TOPICS:
        for seed in SEEDS:
            clustering = HdbscanCluster(method="hdbscan", min_cluster_size=5, n_topics=n_topics)
            for side, damped in (("topicflow", True), ("topicflow_undamped", False)):
                labelling = LabelConfig(reduce_frequent_words=damped)
                labels, keywords = our_topics(
                    store, documents, embeddings, seed, clustering, COUNTING, labelling
                )
                sides[side].append(figures(labels, keywords, n_topics, seed))
            peer = fit_bertopic(texts, vectors, 5, seed, nr_topics=n_topics)
            sides["bertopic"].append(figures(peer.labels, peer.keywords, n_topics, seed))
    means = {
        side: {key: float(np.mean([row[key] for row in rows])) for key in ("npmi", "diversity", "n_topics")}
        for side, rows in sides.items()
    }
    published = {"npmi": 0.170, "diversity": 0.802, "source": "BERTopic paper, recomputed, all-MiniLM-L6-v2"}
    print(
        json.dumps(
            {"benchmark": "octis", **machine(), "published": published, "means": means, "runs": sides},
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
