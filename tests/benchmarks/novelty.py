"""Novelty: how well scores of new documents find those of classes that an index has not seen; AUC, as JSON.

    python -m tests.benchmarks.novelty --scratch DIR

Of each corpus a share of the classes is held out, three draws. The index holds three quarters of the documents of the
other classes; the new documents are the last quarter and as many of the held-out classes. `crowds` adds five copies, a
word changed in each, of 40 of the held-out documents to the index: a text that was seen five times among hundreds is
still like nothing else. Beside ours (mean cosine distance to 10 distinct neighbours): the distance to the 10th
neighbour, the mean over 10 with copies counted, and scikit-learn's LocalOutlierFactor(novelty=True) with its 20
neighbours. The seconds are processor time for all scores of one draw; shared cores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.corpora import measured_corpora
from tests.benchmarks.labelled_vectors import Labelled, index_of, labelled
from tests.benchmarks.peer import machine
from topicflow.tasks.core.vectors.nearest import Parts, exact_nearest
from topicflow.tasks.discovery.spread import distinct_of
from topicflow.tasks.search.index import SearchIndex

CORPORA = {"newsgroups": 2500, "banking77": 5000, "clinc150": 5000}
HELD_OUT = 0.25
DRAWS = 3
CROWDS, COPIES = 40, 5
K = 10

FloatArray = NDArray[np.float32]


def split(corpus: Labelled, draw: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of the index, of ordinary new documents, and of new documents of held-out classes."""
    rng = np.random.default_rng(draw)
    names = np.unique(corpus.classes)
    held = rng.permutation(names)[: max(1, round(HELD_OUT * len(names)))]
    unseen = np.isin(corpus.classes, held)
    known = rng.permutation(np.flatnonzero(~unseen))
    cut = round(0.75 * len(known))
    others = rng.permutation(np.flatnonzero(unseen))[: len(known) - cut]
    return np.sort(known[:cut]), np.sort(known[cut:]), np.sort(others)


def near_copies(vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return `COPIES` vectors of each at a cosine of about .99, as one changed word in a text gives."""
    many = np.repeat(vectors, COPIES, axis=0)
    noise = rng.normal(size=many.shape) / np.sqrt(many.shape[1])
    moved = many + 0.12 * noise
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def methods(index: SearchIndex) -> dict[str, Callable[[FloatArray], FloatArray]]:
    """Return each method as a function from new vectors to scores."""
    from sklearn.neighbors import LocalOutlierFactor

    own = index.vectors.gather(np.arange(len(index)))
    parts = Parts([own])

    def lof(new: FloatArray) -> FloatArray:
        return -LocalOutlierFactor(n_neighbors=20, metric="cosine", novelty=True).fit(own).score_samples(new)

    return {
        "distinct_mean": lambda new: distinct_of(index).neighbors(new, K).distances,
        "mean_with_copies": lambda new: 1 - exact_nearest(parts, new, K)[1].mean(axis=1),
        "kth_distance": lambda new: 1 - exact_nearest(parts, new, K)[1][:, -1],
        "lof": lof,
    }


def measured(name: str, n: int, scratch: Path) -> list[dict[str, Any]]:
    """Return the mean AUC of each method over the draws, without and with crowds."""
    from sklearn.metrics import roc_auc_score

    corpus = labelled(name, n, scratch)
    rows = []
    for crowds in (False, True):
        found: dict[str, list[float]] = {}
        seconds: dict[str, float] = {}
        for draw in range(DRAWS):
            own, ordinary, unseen = split(corpus, draw)
            vectors, texts = corpus.vectors[own], [corpus.texts[row] for row in own]
            if crowds:
                unseen = unseen[:CROWDS]
                copies = near_copies(corpus.vectors[unseen], np.random.default_rng(draw))
                vectors = np.vstack([vectors, copies])
                texts += [f"copy {i}" for i in range(len(copies))]
            index = index_of(texts, vectors, scratch / f"{name}-{draw}-{crowds}")
            new = np.vstack([corpus.vectors[ordinary], corpus.vectors[unseen]])
            truth = np.arange(len(new)) >= len(ordinary)
            for method, score in methods(index).items():
                started = time.process_time()
                scores = score(new)
                seconds[method] = time.process_time() - started
                found.setdefault(method, []).append(float(roc_auc_score(truth, scores)))
        rows.append(
            {
                "corpus": name, "crowds": crowds, "n_index": len(index), "n_new": len(new),
                "auc": {method: round(float(np.mean(each)), 4) for method, each in found.items()},
                "spread": {method: round(float(np.std(each)), 4) for method, each in found.items()},
                "cpu_s": {method: round(each, 2) for method, each in seconds.items()},
            }
        )  # fmt: skip
    return rows


def main() -> None:
    rows = [row for rows in measured_corpora(__doc__, CORPORA, measured) for row in rows]
    print(json.dumps({"machine": machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
