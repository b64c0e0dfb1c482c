"""Quality compared with plain BERTopic on the same documents and embeddings, in one run; prints JSON.

    python -m tests.benchmarks.quality --store STORE --scratch DIR newsgroups bbc_news arxiv_100k

Both sides cluster with min_cluster_size 10, BERTopic's default, over the seeds given; ours is otherwise the shipped
default config. Every figure is computed by the same code on both sides (`tasks.topics.evaluate.measure`), over all
documents, outliers as a separate class. The clock covers embeddings to topics, not the metrics; stages in the store
cost nothing, so compare seconds on a fresh store only.

The sides cut words differently: topicflow keeps hyphens inside words, BERTopic removes every character that is not a
letter, digit or space. A keyword that the reference tokens lack is left out of a coherence, which favours the side
whose words are missing. So coherence is given twice: `npmi` over each side's own tokens, and `npmi_other` over the
other side's.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.corpora import embedded
from tests.benchmarks.peer import fit_bertopic, machine
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import AnyCluster, cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.evaluate import measure, read_classes, read_keywords
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce

SHOWN = (
    "n_topics",
    "outlier_share",
    "npmi",
    "npmi_other",
    "c_v",
    "diversity",
    "nmi",
    "ari",
    "purity",
    "nmi_clustered",
)


def our_topics(
    store: ArtifactStore,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    seed: int,
    clustering: AnyCluster,
    counting: CountConfig,
    labelling: LabelConfig,
) -> tuple[np.ndarray, list[list[str]]]:
    """Return labels and keywords from the pipeline's stages."""
    runtime = RuntimeConfig()
    graph = neighbors.fn(Context(store, seed, runtime), embeddings, NeighborsConfig())
    reduced = reduce.fn(Context(store, seed, runtime), embeddings, graph, DiffusionReduce())
    labels = cluster.fn(Context(store, seed, runtime), embeddings, graph, reduced, clustering)
    counts = count.fn(Context(store, runtime=runtime), documents, counting)
    encoding = SentenceTransformersEmbed()
    topics = label.fn(
        Context(store, runtime=runtime),
        Clustered(documents, embeddings, labels, counts),
        labelling,
        counting,
        encoding,
    )
    return np.asarray(store.array(labels, "labels")), read_keywords(store, topics)


def compare(
    name: str, store: ArtifactStore, scratch: Path, seeds: list[int], min_cluster_size: int
) -> dict[str, Any]:
    """Return both sides' figures on one corpus, by seed and as means."""
    documents, embeddings = embedded(name, store, scratch)
    vectors = np.asarray(store.array(embeddings, "embeddings"))
    texts = [text for part in text_parts(store, documents) for text in part]
    stripped = [
        re.sub(r"[^A-Za-z0-9 ]+", "", re.sub(r"[\n\t]", " ", text)) for text in texts
    ]  # as BERTopic does
    classes = read_classes(store, documents)
    sides: dict[str, list[dict[str, Any]]] = {"topicflow": [], "bertopic": []}
    for seed in seeds:
        started = time.perf_counter()
        labels, keywords = our_topics(
            store, documents, embeddings, seed, GraphCluster(min_cluster_size=min_cluster_size), CountConfig(),
            LabelConfig(),
        )  # fmt: skip
        ours = {"seconds": time.perf_counter() - started}
        peer = fit_bertopic(texts, vectors, min_cluster_size, seed)
        theirs = {"seconds": peer.seconds}
        found = (("topicflow", labels, keywords, ours), ("bertopic", peer.labels, peer.keywords, theirs))
        for side, side_labels, side_keywords, row in found:
            own, other = (texts, stripped) if side == "topicflow" else (stripped, texts)
            known = (
                side_keywords,
                side_labels,
                vectors,
                vectors,
                classes,
                EvaluateConfig(sample=10),
                CountConfig(),
            )
            figures = measure([own], *known, seed)
            figures["npmi_other"] = measure([other], *known, seed)["npmi"]
            sides[side].append({"seed": seed, **row, **{k: figures.get(k) for k in SHOWN}})
    means = {
        side: {key: _mean([row[key] for row in rows]) for key in ("seconds", *SHOWN)}
        for side, rows in sides.items()
    }
    return {"corpus": name, "n_documents": len(texts), "means": means, "runs": sides}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    """Print the comparison of each corpus as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--min-cluster-size", type=int, default=10)
    args = parser.parse_args()
    store = ArtifactStore(args.store)
    rows = [compare(name, store, args.scratch, args.seeds, args.min_cluster_size) for name in args.corpora]
    print(json.dumps({"benchmark": "quality", **machine(), "corpora": rows}, indent=2))


if __name__ == "__main__":
    main()
