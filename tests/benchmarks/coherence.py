"""Our coherence and gensim's c_npmi and c_v: the same figures, seconds of each; prints JSON.

    python -m tests.benchmarks.coherence --rows 5000 --topics 100

Documents are the first rows of 20 Newsgroups, topics random draws of ten of their 5,000 most frequent words, by
frequency, so that there are windows to count. gensim's clock covers its dictionary and, per measure, CoherenceModel's
`get_coherence_per_topic` on texts that are already split (one process, because it counts only in Python); ours also
covers splitting the texts, and both measures together. `largest_difference` is over all topics and both measures. One
text loads the compiled kernels before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.tasks.core.words import coherence

PATTERN = r"(?u)\b\w\w+\b"
N_WORDS = 10


def by_us(texts: list[str], topics: list[list[str]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each topic's NPMI and C_v."""
    words = coherence.index_words(topics)
    part = coherence.word_ids(texts, words.vocabulary, PATTERN, lowercase=True)
    near, far = coherence.count_windows([part], words, (coherence.NPMI_WINDOW, coherence.C_V_WINDOW))
    return coherence.npmi(words, near), coherence.c_v(words, far)


def by_gensim(
    tokens: list[list[str]], topics: list[list[str]]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Return each topic's figures by measure, and seconds of the dictionary and of each measure."""
    from gensim.corpora import Dictionary
    from gensim.models import CoherenceModel

    started = time.perf_counter()
    dictionary = Dictionary(tokens)
    seconds = {"dictionary": time.perf_counter() - started}
    found = {}
    for name in ("c_npmi", "c_v"):
        started = time.perf_counter()
        model = CoherenceModel(
            topics=topics, texts=tokens, dictionary=dictionary, coherence=name, topn=N_WORDS, processes=1
        )
        found[name] = np.array(model.get_coherence_per_topic())
        seconds[name] = time.perf_counter() - started
    return found, seconds


def draw_topics(tokens: list[list[str]], n_topics: int, seed: int = 0) -> list[list[str]]:
    """Return topics of distinct words among the 5,000 most frequent, frequent ones more often."""
    frequent = Counter(word for text in tokens for word in text).most_common(5000)
    shares = np.array([n for _, n in frequent], np.float64)
    rng = np.random.default_rng(seed)
    size = min(N_WORDS, len(frequent))
    return [
        [frequent[i][0] for i in rng.choice(len(frequent), size, replace=False, p=shares / shares.sum())]
        for _ in range(n_topics)
    ]


def main() -> None:
    """Print both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--topics", type=int, default=100)
    args = parser.parse_args()
    texts = pl.read_parquet(DATA / "newsgroups.parquet", n_rows=args.rows)["text"].to_list()
    tokens = [re.findall(PATTERN, text.lower()) for text in texts]
    topics = draw_topics(tokens, args.topics)
    by_us(["warm up"], [["warm", "up"]])
    started = time.perf_counter()
    npmi, c_v = by_us(texts, topics)
    ours = time.perf_counter() - started
    theirs, seconds = by_gensim(tokens, topics)
    differences = [np.abs(npmi - theirs["c_npmi"]).max(), np.abs(c_v - theirs["c_v"]).max()]
    figures: dict[str, Any] = {
        "benchmark": "coherence",
        **machine(),
        "n_documents": len(texts),
        "n_tokens": sum(map(len, tokens)),
        "n_topics": len(topics),
        "topicflow_s": ours,
        "gensim_s": seconds,
        "times_faster": sum(seconds.values()) / ours,
        "largest_difference": float(max(differences)),
        "npmi": float(npmi.mean()),
        "c_v": float(c_v.mean()),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
