"""Index build: documents, vectors (n_docs, dim), the last generation -> the files of an index, with measured recall.

The graph's `ef` is chosen for the target recall on a sample, against exact search, and measured on another sample.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.index import IndexConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.nearest import Parts, RowArray, exact_nearest
from topicflow.tasks.search.index_files import (
    FORMAT,
    IndexFiles,
    take_file,
    take_parts,
    write_documents,
    write_postings,
)
from topicflow.tasks.search.recipes import identity_of_words
from topicflow.tasks.store.artifact_store import ArtifactWriter
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics.tokenization import base_form

EXACT_UP_TO = 20_000
"""Up to this many documents, every query is compared with all: 31 MB of 384 dimensions, 3 ms at 10 GB a second."""

SAMPLE = 500
"""Documents for choosing `ef`, and the same number for measuring: at recall .99 the standard error is .001."""

RECALL_K = 10

EF_LADDER = (
    10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
    1024, 1536, 2048, 4096,
)  # fmt: skip


def choose_ef(
    graph: Graph, parts: Parts, rows: RowArray, target: float, n_threads: int | None
) -> tuple[int, float]:
    """Return the smallest `ef` whose recall at 10 on sampled documents reaches `target`, and that recall.

    Parameters
    ----------
    graph : Graph
        The graph.
    parts : Parts
        Its vectors.
    rows : ndarray of shape (m,), int64
        Documents that serve as queries; each is left out of its own results.
    target : float
        Target recall; if no value of `EF_LADDER` reaches it, the largest is returned.
    n_threads : int or None
        Number of threads.

    Notes
    -----
    Recall does not decrease with `ef`, so bisection finds it: five searches of the sample, and one exact search.
    """
    queries = parts.gather(rows)
    least = kth_similarities(parts, queries, rows)
    low, high, known = 0, len(EF_LADDER) - 1, {}
    while low < high:
        middle = (low + high) // 2
        known[middle] = recall_at(graph, parts, queries, rows, least, EF_LADDER[middle], n_threads)
        low, high = (low, middle) if known[middle] >= target else (middle + 1, high)
    found = known.get(low, 0.0) or recall_at(graph, parts, queries, rows, least, EF_LADDER[low], n_threads)
    return EF_LADDER[low], found


def kth_similarities(parts: Parts, queries: NDArray[np.float32], rows: RowArray) -> NDArray[np.float32]:
    """Return the similarity of each document's tenth nearest other document (m,), by comparing with all documents."""
    found, similarities = exact_nearest(parts, queries, min(RECALL_K + 1, len(parts)))
    return _others(found, similarities, rows)[:, -1]


def recall_at(
    graph: Graph,
    parts: Parts,
    queries: NDArray[np.float32],
    rows: RowArray,
    least: NDArray[np.float32],
    ef: int,
    n_threads: int | None,
) -> float:
    """Return the share of ten results that are as near as the true tenth; equal documents are interchangeable."""
    found, similarities = graph.search(parts, queries, min(RECALL_K + 1, len(parts)), ef, n_threads)
    return float((_others(found, similarities, rows) >= least[:, None] - 1e-6).mean())


def _others(found: RowArray, similarities: NDArray[np.float32], rows: RowArray) -> NDArray[np.float32]:
    """Return the similarities (m, k - 1) of the results without the document itself, or without the last."""
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True
    kept: NDArray[np.float32] = similarities[~own].reshape(len(rows), -1)
    return kept


def measure_latency(graph: Graph, parts: Parts, rows: RowArray, ef: int) -> dict[str, float]:
    """Return percentiles of the milliseconds that one query takes alone, on one thread."""
    took = []
    for query in parts.gather(rows):
        started = time.perf_counter()
        graph.search(parts, query[None], RECALL_K, ef, 1)
        took.append(1000 * (time.perf_counter() - started))
    return {f"p{p}": round(float(np.percentile(took, p)), 3) for p in (50, 95, 99)}


# --- building and updating ---


def write_graph(
    writer: ArtifactWriter,
    parts: Parts,
    config: IndexConfig,
    seed: int,
    runtime: RuntimeConfig,
    base: IndexFiles | None,
) -> dict[str, Any]:
    """Write the graph and return its metadata; it is extended from `base` if that has a graph."""
    n = len(parts)
    if config.method == "exact" or (config.method == "auto" and n <= EXACT_UP_TO):
        return {"method": "exact", "recall": 1.0, "ef": None}
    inherited = base is not None and base.meta["method"] == "hnsw"
    if base is not None and inherited:
        about = base.meta
        graph = Graph(parts.dim, about["codes"], about["scale"], about["M"], about["ef_construction"])
        graph.read(base.graph(), writable=True).add(parts, len(graph), runtime.n_threads)
    else:
        graph = Graph.build(parts, config.codes, config.M, config.ef_construction, seed, runtime.n_threads)
    path = writer.path("graph.usearch")
    graph.save(path)
    about = {
        "method": "hnsw",
        "codes": config.codes,
        "scale": graph.scale,
        "M": config.M,
        "ef_construction": config.ef_construction,
    }
    if base is not None and inherited and n - base.ref.rows <= base.ref.rows // 10:
        return about | {name: base.meta[name] for name in ("ef", "recall", "latency_ms")}
    served = Graph(parts.dim, about["codes"], about["scale"], about["M"], about["ef_construction"]).read(path)
    rows = np.random.default_rng(seed).permutation(n)[: 2 * SAMPLE].astype(np.int64)
    first, second = np.sort(rows[::2]), np.sort(rows[1::2])
    ef = config.ef or choose_ef(served, parts, first, config.target_recall, runtime.n_threads)[0]
    queries = parts.gather(second)
    least = kth_similarities(parts, queries, second)
    measured = recall_at(served, parts, queries, second, least, ef, runtime.n_threads)
    return about | {"ef": ef, "recall": measured, "latency_ms": measure_latency(served, parts, second, ef)}


def write_index(
    writer: ArtifactWriter,
    base: IndexFiles | None,
    fresh: pl.LazyFrame,
    vectors: NDArray[np.float32] | Path,
    removed: RowArray,
    config: IndexConfig,
    seed: int,
    runtime: RuntimeConfig,
) -> None:
    """Write an index of the documents of `base` without `removed`, followed by new documents.

    Parameters
    ----------
    writer : ArtifactWriter
        The writer of the artifact.
    base : IndexFiles or None
        The last generation.
    fresh : pl.LazyFrame
        doc_id, text and own columns of the new documents.
    vectors : ndarray of shape (n_fresh, dim), float32, or Path
        Their unit vectors, or the .npy file that contains only these.
    removed : ndarray of shape (n_removed,), int64
        Rows of `base` to remove.
    config, seed, runtime
        As in every stage.
    """
    number, parts, gone = 0, [], np.zeros(0, bool)
    if base is not None:
        take_parts(writer, base)
        number, parts, gone = base.n_parts, list(base.vectors().arrays), np.array(base.removed())
        gone[removed] = True
    mapped = np.load(vectors, mmap_mode="r") if isinstance(vectors, Path) else vectors
    if len(mapped):
        if isinstance(vectors, Path):
            take_file(writer, vectors, f"vectors/part-{number:05d}.npy")
        else:
            writer.save_array(f"vectors/part-{number:05d}", vectors)
        write_documents(writer, number, fresh)
        parts.append(np.asarray(mapped))
        gone = np.append(gone, np.zeros(len(mapped), bool))
        if config.lexical:
            texts = _texts(writer.path(f"documents/part-{number:05d}.arrow"))
            write_postings(writer, number, texts, runtime.n_threads, base_form(config.lemmas, "index.lemmas"))
    writer.save_array("removed", gone)
    writer.rows = len(gone)
    with compiled_threads(runtime.n_threads):
        about = write_graph(writer, Parts(parts), config, seed, runtime, base)
    writer.meta = {
        **about,
        "format": FORMAT,
        "dim": int(mapped.shape[1]),
        "parts": [len(part) for part in parts],
        "n_documents": int((~gone).sum()),
        "added": len(mapped),
        "removed": len(removed),
        "base": None if base is None else base.ref.key,
        "lexical": config.lexical,
        "words": identity_of_words(config) if base is None else base.meta.get("words"),
        "target_recall": config.target_recall,
        "topics": None,
    }


def _texts(path: Path, rows: int = 65_536) -> Iterator[list[str]]:
    table = pl.read_ipc(path, columns=["text"])
    for start in range(0, table.height, rows):
        yield table["text"].slice(start, rows).to_list()
