"""Near-duplicates by hashing, compared with exact search and semhash, on the same vectors; prints JSON.

    python -m tests.benchmarks.duplicates --scratch DIR [--corpora arxiv_100k reddit_1m] [--methods lsh exact semhash]

Each method runs in a separate process. `seconds` of `lsh` is what the stage takes from vectors in the store to pairs
in memory, including the commits of its parts (second call in its process, so that compilation is left out).
Its recall is that of a sample of `--sample` rows against
exact search, or of all pairs up to 100,000 rows; precision is that of all its pairs, in float64. `--floors`: the
minimum cosine of the search; the target recall there is the config's default.

`exact` multiplies blocks of float32 (torch, all cores) and looks for cosines of at least the threshold, on `--slice`
rows against all; all pairs once are n / 2 rows against n, to which it is extrapolated (`extrapolated_s`).
`exact_int8` is our own exact search, measured in the same way.

`semhash` covers `from_embeddings` and `self_deduplicate` on the same vectors and texts, otherwise with defaults. Its
recall is that of its index on the sampled rows, which it uses to deduplicate.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.corpora import CORPORA, embedded, reddit_vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.deduplicate import EmbeddingDeduplicate
from topicflow.tasks.core.duplicates.exact_pairs import exact_pairs, partners_of
from topicflow.tasks.core.duplicates.hashed_pairs import TwoCorpora, equal_firsts
from topicflow.tasks.core.duplicates.pairs import Pairs, wilson_interval
from topicflow.tasks.core.vectors.blocks import workers
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.store.resources import highest_peak_bytes

SEED = 1
MANY = 10_000
"""Maximum partners of a row: more than any has."""


def vectors_of(corpus: str, scratch: Path) -> tuple[Path, Path, str]:
    """Return a corpus's file, that of its vectors and the text's column."""
    if corpus == "arxiv_100k":
        path = scratch / "arxiv_100k.npy"
        if not path.exists():
            store = ArtifactStore(scratch / "store")
            _, embeddings = embedded(corpus, store, scratch)
            np.save(path, store.array(embeddings, "embeddings"))
        return CORPORA[corpus].path(scratch), path, "title"
    n_rows = {"reddit_1m": 1_000_000, "reddit_100k": 100_000, "reddit_20k": 20_000}[corpus]
    return *reddit_vectors(scratch, n_rows), "title"


def saved(store: ArtifactStore, vectors: NDArray[np.float32]) -> ArtifactRef:
    """Return an embeddings artifact of vectors."""
    recipe = Recipe("embed", "embeddings", 1, {"rows": len(vectors)})
    with store.writing(recipe) as writer:
        writer.save_array("embeddings", vectors)
        writer.rows = len(vectors)
    return store.committed(recipe, writer)


def distinct_rows(corpora: TwoCorpora) -> NDArray[np.int32]:
    """Return the first row of each group of equal rows."""
    with workers() as run:
        first = equal_firsts(corpora, run)
    return np.flatnonzero(first == np.arange(len(first))).astype(np.int32)


def truth_of(path: Path, threshold: float, n_sample: int) -> dict[str, NDArray[Any]]:
    """Return all exact pairs of sampled rows, of all rows if there are at most 100,000."""
    corpora = TwoCorpora(np.empty((0, 384), np.float32), np.load(path, mmap_mode="r"))
    rows = distinct_rows(corpora)
    sample = rows
    with workers() as run:
        if len(rows) <= 100_000:
            pairs = exact_pairs(corpora, rows, threshold, MANY, run)
        else:
            sample = np.sort(np.random.default_rng(SEED).permutation(rows)[:n_sample])
            pairs = partners_of(corpora, rows, sample, threshold, MANY, run)
    return {"pairs": pairs.rows, "similarities": pairs.similarities, "sample": sample}


def measure_lsh(path: Path, threshold: float, floor: float, truth: Pairs) -> dict[str, Any]:
    """Return the time of the stage and how many of the exact pairs it finds."""
    vectors = np.load(path, mmap_mode="r")
    config = EmbeddingDeduplicate(threshold=threshold, floor=floor, search="lsh")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        store = ArtifactStore(Path(folder))
        (similar_vectors.fn(Context(store, SEED), saved(store, vectors[:5000]), None, config))  # compiles
        embeddings = saved(store, vectors)
        cpu = time.process_time()
        found = similar_vectors.fn(Context(store, SEED), embeddings, None, config)
        cpu = time.process_time() - cpu
        meta = store.meta(found)
        pairs = Pairs(np.array(store.array(found, "pairs")), np.array(store.array(found, "similarities")))
    alike = pairs.at_least(threshold)
    right = 0
    for start in range(0, len(alike), 65_536):
        rows = alike.rows[start : start + 65_536]
        exact = np.einsum("ij,ij->i", vectors[rows[:, 0]], vectors[rows[:, 1]], dtype=np.float64)
        right += int((exact.astype(np.float32) >= np.float32(threshold)).sum())
    n_found = int(np.isin(truth.codes, alike.codes).sum())
    return {
        "floor": floor,
        "seconds": meta["search_s"],
        "cpu_s": cpu,
        "plan": meta["plan"],
        "n_distinct": meta["n_distinct"],
        "n_pairs": len(alike),
        "n_pairs_of_floor": len(pairs),
        "recall": n_found / max(1, len(truth)),
        "recall_interval": wilson_interval(n_found, len(truth)),
        "n_exact_pairs": len(truth),
        "precision": right / max(1, len(alike)),
    }


def measure_exact(path: Path, threshold: float, n_slice: int) -> dict[str, Any]:
    """Return the time for all pairs in blocks of float32 products, from a slice of rows."""
    import torch

    vectors = torch.from_numpy(np.load(path))
    n, found = len(vectors), 0
    vectors[:1024] @ vectors[:16_384].T
    started, cpu = time.perf_counter(), time.process_time()
    for start in range(0, n_slice, 1024):
        queries = vectors[start : start + 1024]
        for column in range(0, n, 16_384):
            found += len(torch.nonzero(queries @ vectors[column : column + 16_384].T >= threshold))
    seconds = time.perf_counter() - started
    return {
        "rows": n_slice,
        "slice_s": seconds,
        "cpu_s": time.process_time() - cpu,
        "extrapolated_s": seconds * n / 2 / n_slice,
        "found": found,
    }


def measure_exact_int8(path: Path, threshold: float, n_slice: int) -> dict[str, Any]:
    """Return the time for all pairs with our own exact search, from a slice of rows."""
    corpora = TwoCorpora(np.empty((0, 384), np.float32), np.load(path))
    rows = np.arange(corpora.n_rows, dtype=np.int32)
    with workers() as run:
        partners_of(corpora, rows[:5000], rows[:256], threshold, MANY, run)
        coding = time.perf_counter()
        partners_of(corpora, rows, rows[:1], threshold, MANY, run)
        started = time.perf_counter()
        partners_of(corpora, rows, rows[:n_slice], threshold, MANY, run)
        seconds, coding = time.perf_counter() - started, started - coding
    return {
        "rows": n_slice,
        "slice_s": seconds,
        "extrapolated_s": coding + (seconds - coding) * len(rows) / 2 / n_slice,
    }


def measure_semhash(
    documents: Path, column: str, path: Path, threshold: float, truth: Pairs, sample: NDArray[np.int32]
) -> dict[str, Any]:
    """Return the time of semhash on the same vectors, and how many exact pairs of sampled rows its index finds."""
    from semhash import SemHash

    vectors = np.load(path)
    texts = pl.read_parquet(documents, columns=[column])[column].to_list()
    started, cpu = time.perf_counter(), time.process_time()
    peer = SemHash.from_embeddings(vectors, texts, model=None)
    indexed = time.perf_counter()
    result = peer.self_deduplicate(threshold=threshold)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    rows = np.sort(np.random.default_rng(SEED).permutation(sample)[:2000])
    place = {text: row for row, text in reversed(list(enumerate(texts)))}
    items = np.array([place[item[0]["text"]] for item in peer.index.items], np.int64)
    found = {
        (min(int(row), int(items[other])), max(int(row), int(items[other])))
        for row, (others, _) in zip(rows, peer.index.query_threshold(vectors[rows], threshold), strict=True)
        for other in others
    }
    asked = set(rows.tolist())
    wanted = [(int(a), int(b)) for a, b in truth.rows if int(a) in asked or int(b) in asked]
    n_found = sum(pair in found for pair in wanted)
    return {
        "version": version("semhash"),
        "seconds": seconds,
        "index_s": indexed - started,
        "cpu_s": cpu,
        "n_kept": len(result.selected),
        "recall": n_found / max(1, len(wanted)),
        "recall_interval": wilson_interval(n_found, len(wanted)),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of one method in this process."""
    documents, path, column = vectors_of(arguments.corpora[0], arguments.scratch)
    threshold = arguments.threshold
    if arguments.measure == "truth":
        started = time.perf_counter()
        np.savez(arguments.truth, **truth_of(path, threshold, arguments.sample))
        return {"seconds": time.perf_counter() - started}
    if arguments.measure == "exact":
        return measure_exact(path, threshold, arguments.slice)
    if arguments.measure == "exact_int8":
        return measure_exact_int8(path, threshold, arguments.slice)
    with np.load(arguments.truth, allow_pickle=False) as file:
        truth, sample = Pairs(file["pairs"], file["similarities"]), file["sample"]
    if arguments.measure == "semhash":
        return measure_semhash(documents, column, path, threshold, truth, sample)
    return measure_lsh(path, threshold, float(arguments.measure.removeprefix("lsh")), truth)


def child(arguments: argparse.Namespace, corpus: str, method: str, truth: Path) -> dict[str, Any]:
    """Return the measurements of a separate process."""
    options = [
        "--scratch", str(arguments.scratch), "--threshold", str(arguments.threshold), "--sample", str(arguments.sample),
        "--slice", str(arguments.slice), "--corpora", corpus, "--measure", method, "--truth", str(truth),
    ]  # fmt: skip
    command = [sys.executable, "-m", "tests.benchmarks.duplicates", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the methods' times and recall as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=["arxiv_100k", "reddit_1m"])
    parser.add_argument("--methods", nargs="+", default=["lsh", "exact", "exact_int8", "semhash"])
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--floors", type=float, nargs="+", default=[0.85, 0.9])
    parser.add_argument("--sample", type=int, default=10_000)
    parser.add_argument("--slice", type=int, default=4096)
    parser.add_argument("--measure", help="measure one method in this process: what the script itself calls")
    parser.add_argument("--truth", type=Path)
    arguments = parser.parse_args()
    if arguments.measure:
        measured = measure(arguments)
        measured["peak_rss_bytes"] = highest_peak_bytes()
        print(json.dumps(measured))
        return
    found: dict[str, Any] = {}
    for corpus in arguments.corpora:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            truth = Path(folder) / "truth.npz"
            found[corpus] = {"truth": child(arguments, corpus, "truth", truth)}
            for method in arguments.methods:
                names = [f"lsh{floor}" for floor in arguments.floors] if method == "lsh" else [method]
                for name in names:
                    found[corpus][name] = child(arguments, corpus, name, truth)
    print(json.dumps({"threshold": arguments.threshold, **found, **machine()}, indent=2))


if __name__ == "__main__":
    main()
