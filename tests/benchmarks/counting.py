"""c-TF-IDF and representations, compared with BERTopic and CountVectorizer, each in its own process; prints JSON.

    python -m tests.benchmarks.counting --rows 1000000 --topics 5000

The clock covers, for both, the way from documents with topics to keywords: from the texts (BERTopic: a list of str in
memory and its DataFrame; topicflow: a Parquet file read part by part, counts written to files) to the ten best words
of each topic. BERTopic's is its own `_extract_topics`: joining the texts of a topic, CountVectorizer,
ClassTfidfTransformer, top words. Imports, and for topicflow the loading of compiled kernels, are outside the clock;
`peak_rss_bytes` is the whole process's, imports included, `baseline_rss_bytes` its memory when the clock started;
`cpu_seconds` is the processor time of all threads while it ran, on which other work on the machine has less effect
than on `seconds`. Topics are those of k-means on hashed words (64 dimensions). Both split words in the same way
(scikit-learn's defaults, no stop words; `language="multilingual"`, without which BERTopic first deletes everything
except ASCII letters and digits, which takes longer) and weigh them in the same way, so the keywords must agree:
`keywords_agree` is the share of topics with the same weights and the same words, except words that tie with the last.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.store import resources

N_WORDS = 10
CHUNK_ROWS = 50_000


def plant(rows: int, topics: int, seed: int = 0) -> pl.DataFrame:
    """Return the first `rows` titles and their topics, by MiniBatchKMeans on hashed words."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.random_projection import SparseRandomProjection

    texts = pl.read_parquet(DATA / "reddit_titles_1m.parquet", columns=["title"], n_rows=rows)["title"]
    hashed = HashingVectorizer(n_features=1 << 16, alternate_sign=False, stop_words="english")
    projection = SparseRandomProjection(64, dense_output=True, random_state=seed)
    vectors = np.vstack(
        [
            projection.fit_transform(hashed.transform(texts[start : start + CHUNK_ROWS].to_list()))
            for start in range(0, len(texts), CHUNK_ROWS)
        ]
    ).astype(np.float32)
    means = MiniBatchKMeans(topics, batch_size=8192, max_iter=2, n_init=1, init="random", random_state=seed)
    labels = means.fit_predict(vectors)
    _, labels = np.unique(labels, return_inverse=True)  # a cluster may be left empty
    return pl.DataFrame({"text": texts, "topic": labels.astype(np.int32)})


def of_bertopic(path: Path) -> tuple[float, float, int, list[list[tuple[str, float]]]]:
    """Return seconds, processor seconds, resident bytes before, and each topic's words by BERTopic."""
    import pandas as pd
    from bertopic import BERTopic
    from sklearn.feature_extraction.text import CountVectorizer

    table = pl.read_parquet(path)
    documents = pd.DataFrame({"Document": table["text"].to_list(), "Topic": table["topic"].to_list()})
    documents["ID"], documents["Image"] = range(len(documents)), None
    del table
    model = BERTopic(vectorizer_model=CountVectorizer(), top_n_words=N_WORDS, language="multilingual")
    before = resources.peak_rss_bytes()
    started, cpu = time.perf_counter(), time.process_time()
    model._extract_topics(documents)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return (
        seconds,
        cpu,
        before,
        [model.topic_representations_[topic] for topic in sorted(model.topic_representations_)],
    )


def of_topicflow(path: Path) -> tuple[float, float, int, list[list[tuple[str, float]]]]:
    """Return seconds, processor seconds, resident bytes before, and each topic's words by topicflow."""
    from scipy.sparse import csr_matrix

    from topicflow.tasks.store.artifact_store import ArtifactWriter
    from topicflow.tasks.topics.count import count_texts
    from topicflow.tasks.topics.label import weigh_words

    config = CountConfig(stop_words="none", token_pattern=r"(?u)\b\w\w+\b")
    weighting = LabelConfig(spread=0.0, exclusivity=0.0)

    def counted(parts: Any, folder: Path, labels: np.ndarray) -> list[list[tuple[str, float]]]:
        folder.mkdir()
        writer = ArtifactWriter(folder, "benchmark")
        count_texts(parts, config, writer)
        words = pl.read_parquet(folder / "words.parquet")["word"].to_list()
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr")]
        counts = csr_matrix(tuple(arrays), shape=(writer.rows, len(words)), copy=False)
        return weigh_words(counts, words, labels, weighting).candidates(N_WORDS)

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        counted([["warm up"]], Path(scratch) / "warm", np.zeros(1, np.int32))
        before = resources.peak_rss_bytes()
        started, cpu = time.perf_counter(), time.process_time()
        frame = pl.scan_parquet(path)
        labels = frame.select("topic").collect()["topic"].to_numpy()
        parts = (
            part["text"].to_list() for part in frame.select("text").collect_batches(chunk_size=CHUNK_ROWS)
        )
        keywords = counted(parts, Path(scratch) / "all", labels)
        return time.perf_counter() - started, time.process_time() - cpu, before, keywords


SIDES = {"bertopic": of_bertopic, "topicflow": of_topicflow}


def measure(side: str, path: Path) -> dict[str, Any]:
    """Return the figures of one side from a separate process."""
    out = path.with_name(f"{side}.json")
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.counting",
        "--side",
        side,
        "--table",
        str(path),
        "--out",
        str(out),
    ]
    subprocess.run(command, check=True)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def agreement(ours: list[list[tuple[str, float]]], theirs: list[list[tuple[str, float]]]) -> float:
    """Return the share of topics with the same weights and the same words above the last weight."""
    same = 0
    for one, other in zip(ours, theirs, strict=True):
        padded = [pair for pair in other if pair[0]]  # BERTopic fills up with empty words
        equal = len(one) == len(padded) and all(
            math.isclose(a[1], b[1], rel_tol=1e-9) for a, b in zip(one, padded, strict=True)
        )
        last = one[-1][1] * (1 + 1e-9) if len(one) == N_WORDS else 0.0
        same += equal and {w for w, v in one if v > last} == {w for w, v in padded if v > last}
    return same / max(1, len(ours))


def main() -> None:
    """Print both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--topics", type=int, default=5000)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        seconds, cpu, before, keywords = SIDES[args.side](args.table)
        found = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "baseline_rss_bytes": before,
            "peak_rss_bytes": resources.peak_rss_bytes(),
        }
        args.out.write_text(
            json.dumps({**found, "keywords": [[(w, float(v)) for w, v in one] for one in keywords]})
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.parquet"
        table = plant(args.rows, args.topics)
        table.write_parquet(path)
        n_topics = table["topic"].n_unique()
        found = {side: measure(side, path) for side in SIDES}
    ours, theirs = found["topicflow"], found["bertopic"]
    agree = agreement(ours.pop("keywords"), theirs.pop("keywords"))
    print(
        json.dumps(
            {
                "benchmark": "counting", **machine(), "n_documents": table.height, "n_topics": n_topics, **found,
                "times_faster": theirs["seconds"] / ours["seconds"],
                "share_of_peak": ours["peak_rss_bytes"] / theirs["peak_rss_bytes"],
                "keywords_agree": agree,
            },
            indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
