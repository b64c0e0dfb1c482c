"""Given topics beside BERTopic's zero-shot and the nearest name, on the same vectors; prints JSON.

    python -m tests.benchmarks.given --store STORE --scratch DIR [CORPUS ...]

The given topics are the names of a corpus's classes: all of them, and every second one. `oos` of clinc150 and the
classes that are not given fit nothing. For each side: `accuracy`, of the documents of given classes the share in their
topic; `precision`, of the documents in given topics the share in their class's; `f1` of both; `left_out`, of the other
documents the share in no given topic. BERTopic runs with its threshold (cosine .7) and with lower ones. `same_order`
is whether shuffled rows give every document the same topic.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.auto_size import CORPORA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.tasks.core.clusters.given import fit_given, nearest_names, place
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed, text_parts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.given.classes import plain
from topicflow.tasks.store.artifact_store import ArtifactStore

NAMED = ("banking77", "clinc150", "bbc_news", "newsgroups", "agnews")
NOTHING = "oos"
THRESHOLDS = (0.7, 0.5, 0.35)
"""The least cosine of BERTopic's zero-shot: its default, and lower ones."""

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def figures(topics: Labels, wanted: Labels, seconds: float) -> dict[str, Any]:
    """Return the figures of the given topic of each document, -1 for none."""
    known, inside, right = wanted >= 0, topics >= 0, topics == wanted
    accuracy = float(right[known].mean())
    precision = float(right[inside].mean()) if inside.any() else 0.0
    return {
        "accuracy": round(accuracy, 3),
        "precision": round(precision, 3),
        "f1": round(2 * accuracy * precision / max(accuracy + precision, 1e-9), 3),
        "left_out": None if known.all() else round(float((~inside)[~known].mean()), 3),
        "seconds": round(seconds, 1),
    }


def bertopic(texts: list[str], vectors: Vectors, names: list[str], of_names: Vectors, least: float) -> Labels:
    """Return the given topic of each document by BERTopic's zero-shot, -1 for its other topics."""
    from bertopic import BERTopic
    from bertopic.backend import BaseEmbedder
    from umap import UMAP

    class Known(BaseEmbedder):  # type: ignore[misc]
        def embed(self, documents: list[str], verbose: bool = False) -> Vectors:
            return of_names[[names.index(name) for name in documents]]

    umap = UMAP(
        n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=42, low_memory=False
    )
    model = BERTopic(
        embedding_model=Known(),
        umap_model=umap,
        zeroshot_topic_list=list(names),
        zeroshot_min_similarity=least,
    )
    topics, _ = model.fit_transform(texts, vectors)
    number = {name: at for at, name in enumerate(names)}
    given = {topic: number.get(label, -1) for topic, label in model.topic_labels_.items()}
    return np.asarray([given.get(topic, -1) for topic in topics], np.int64)


def compare(
    texts: list[str], vectors: Vectors, classes: list[str], every: int, encoder: Any
) -> dict[str, Any]:
    """Return the figures of all sides with every n-th class as a given topic."""
    names = [plain(name) for name in sorted({name for name in classes if name != NOTHING})][::every]
    numbers = {name: at for at, name in enumerate(names)}
    wanted = np.array([numbers.get(plain(name), -1) for name in classes], np.int64)
    of_names = np.asarray(encoder.encode(names)[0])
    started = time.perf_counter()
    share = ZeroShotTopics(names=tuple(names)).threshold
    ours = place(vectors, fit_given(vectors, of_names, share)).topics.astype(np.int64)
    seconds = time.perf_counter() - started
    order = np.random.default_rng(0).permutation(len(vectors))
    shuffled = place(vectors[order], fit_given(vectors[order], of_names, share)).topics
    row: dict[str, Any] = {
        "given": len(names),
        "topicflow": figures(ours, wanted, seconds),
        "same_order": bool((shuffled == ours[order]).all()),
        "nearest_name": figures(nearest_names(vectors, of_names).astype(np.int64), wanted, 0.0),
    }
    for least in THRESHOLDS:
        started = time.perf_counter()
        theirs = bertopic(texts, vectors, names, of_names, least)
        row[f"bertopic_{least}"] = figures(theirs, wanted, time.perf_counter() - started)
    return row


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(NAMED))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    store, config, rows = ArtifactStore(args.store), SentenceTransformersEmbed(precision="int8"), []
    context, encoder = Context(store, 0, RuntimeConfig()), load_encoder(find_encoder(config, "cpu"), config)
    for name in args.corpora:
        documents = load.fn(context, CORPORA[name].load_config(args.scratch))
        vectors = np.asarray(store.array(embed.fn(context, documents, config), "embeddings"))
        labels = (
            store.table(documents, "documents").select(pl.col("label").cast(pl.String)).collect()["label"]
        )
        texts = [text for part in text_parts(store, documents) for text in part]
        for every in (1, 2):
            row = compare(texts, vectors, labels.to_list(), every, encoder)
            rows.append({"corpus": name, "documents": len(texts), **row})
    print(json.dumps({"benchmark": "given", **machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
