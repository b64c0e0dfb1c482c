"""The named peer: plain BERTopic with its defaults on given documents and embeddings."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True)
class PeerTopics:
    """BERTopic's result: labels (n_docs,), the words of each topic except noise, wall seconds of its fit."""

    labels: NDArray[np.int32]
    keywords: list[list[str]]
    seconds: float


def fit_bertopic(
    texts: Sequence[str],
    embeddings: NDArray[np.float32],
    min_topic_size: int = 10,
    seed: int | None = 42,
    top_n_words: int = 10,
    nr_topics: int | None = None,
) -> PeerTopics:
    """Return BERTopic's topics by its defaults: UMAP (15 neighbours, 5 dimensions), HDBSCAN, CountVectorizer.

    The clock covers `fit_transform` on embeddings that are there: UMAP, HDBSCAN, c-TF-IDF, representations.
    """
    from bertopic import BERTopic
    from umap import UMAP

    umap = UMAP(
        n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed, low_memory=False
    )
    model = BERTopic(
        umap_model=umap,
        min_topic_size=min_topic_size,
        top_n_words=top_n_words,
        nr_topics=nr_topics,
        verbose=False,
    )
    started = time.perf_counter()
    topics, _ = model.fit_transform(list(texts), np.asarray(embeddings))
    seconds = time.perf_counter() - started
    numbers = sorted(topic for topic in model.get_topics() if topic >= 0)
    keywords = [[word for word, _ in model.get_topic(number) if word] for number in numbers]
    return PeerTopics(np.asarray(topics, np.int32), keywords, seconds)


def machine() -> dict[str, Any]:
    """Return the environment that every benchmark prints: machine, versions, date."""
    libraries = (
        "bertopic",
        "umap-learn",
        "hdbscan",
        "sentence-transformers",
        "torch",
        "numpy",
        "scikit-learn",
    )
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB",
        "cpu": _cpu(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in libraries},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
