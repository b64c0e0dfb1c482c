"""Crowds of near-duplicates: what is kept beside a greedy pass over all pairs, and semhash; prints JSON.

    python -m tests.benchmarks.crowds --scratch DIR [--threshold .9] [--no-peer]

20 Newsgroups with static vectors (256 dimensions), of which one group has hundreds of similar messages.
`brute_force`: all products in float32 blocks, then a greedy pass in the order of the input over all pairs. `exact`
and `lsh`: the stages `similar_vectors` and `deduplicate` of this project (repeated, so that compilation is left out).
`without_crowds`: the same stages with only the pairs that are stored, as in 0.1.0. Seconds are processor seconds, the
median of three. Recall: the share of the documents that the greedy pass removes that are removed; precision: the
share of those removed that the greedy pass removes, too. For semhash, which keeps other members of a group, only the
numbers are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.corpora import CORPORA, fresh_store
from tests.benchmarks.peer import machine
from topicflow.configs.sections.deduplicate import EmbeddingDeduplicate
from topicflow.configs.sections.embed import StaticEmbed
from topicflow.tasks.core.duplicates.groups import group_documents
from topicflow.tasks.core.duplicates.pairs import Pairs, union
from topicflow.tasks.documents.load import load
from topicflow.tasks.duplicates import deduplicate as stage
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

REPEATS = 3


def brute_force(vectors: NDArray[np.float32], threshold: float) -> tuple[NDArray[np.bool_], float]:
    """Return which rows a greedy pass over all pairs keeps, and its seconds."""
    started, parts, n = time.process_time(), [], len(vectors)
    for start in range(0, n, 2048):
        rows, others = np.nonzero(vectors[start : start + 2048] @ vectors.T >= threshold - 1e-5)
        rows += start
        once = others > rows
        pairs = np.stack([rows[once], others[once]], axis=1).astype(np.int32)
        exact = np.einsum("ij,ij->i", *(vectors[pairs[:, side]] for side in (0, 1)), dtype=np.float64)
        parts.append(Pairs(pairs, exact.astype(np.float32)).at_least(threshold))
    order = np.arange(n, dtype=np.int32)
    kept = group_documents(order, union(parts), order, star=True).is_kept
    return kept, time.process_time() - started


def measure(
    source: ArtifactStore, refs: tuple[ArtifactRef, ArtifactRef], config: EmbeddingDeduplicate, scratch: Path
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Return which documents are kept, and the seconds of both stages."""
    seconds = []
    for _ in range(REPEATS + 1):
        store = fresh_store(source, scratch / "fresh", *refs)
        context, started = Context(store, 1), time.process_time()
        pairs = {"similar_vectors": similar_vectors.fn(context, refs[1], None, config)}
        found = stage.deduplicate.fn(context, refs[0], pairs, None, config)
        seconds.append(time.process_time() - started)
    figures = store.json(found, "figures")
    names = ("recall", "recall_low", "recall_high", "recall_sample", "largest_group")
    measured = {f"measured_{name}" if name[0] == "r" else name: figures[name] for name in names}
    kept = np.array(store.array(found, "kept"))
    return kept, {"seconds": statistics.median(seconds[1:]), "n_kept": int(kept.sum()), **measured}


def beside(kept: NDArray[np.bool_], greedy: NDArray[np.bool_]) -> dict[str, float]:
    """Return recall and precision of the documents that are removed."""
    both = int((~kept & ~greedy).sum())
    return {"recall": both / int((~greedy).sum()), "precision": both / max(1, int((~kept).sum()))}


@contextmanager
def without_crowds() -> Iterator[None]:
    """Use only the stored pairs during the block."""
    there: Callable[..., Any] = stage.with_crowds
    stage.with_crowds = lambda methods, *_: list(methods)  # type: ignore[assignment]
    try:
        yield
    finally:
        stage.with_crowds = there  # type: ignore[assignment]


def peer(texts: list[str], vectors: NDArray[np.float32], threshold: float) -> dict[str, Any]:
    """Return semhash's seconds and number of kept documents."""
    from semhash import SemHash

    started = time.process_time()
    done = SemHash.from_embeddings(vectors, texts, model=None).self_deduplicate(threshold=threshold)
    return {
        "version": version("semhash"),
        "seconds": time.process_time() - started,
        "n_kept": len(done.selected),
    }


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--no-peer", action="store_true")
    given = parser.parse_args()
    store = ArtifactStore(given.scratch / "store")
    documents = load.fn(Context(store), CORPORA["newsgroups"].load_config(given.scratch))
    vectors_ref = embed.fn(Context(store), documents, StaticEmbed(method="static", dim=256))
    vectors = np.array(store.array(vectors_ref, "embeddings"))
    texts: pl.Series = store.table(documents, "documents").select("text").collect()["text"]
    greedy, seconds = brute_force(vectors, given.threshold)
    found: dict[str, Any] = {"brute_force": {"seconds": seconds, "n_kept": int(greedy.sum())}}
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        for search in ("exact", "lsh"):
            config = EmbeddingDeduplicate(threshold=given.threshold, search=search, keep="first")
            for name, ways in ((f"{search} without_crowds", without_crowds), (search, nullcontext)):
                with ways():
                    kept, measured = measure(store, (documents, vectors_ref), config, Path(folder))
                found[name] = measured | beside(kept, greedy)
    if not given.no_peer:
        found["semhash"] = peer(texts.to_list(), vectors, given.threshold)
    print(
        json.dumps(
            {"threshold": given.threshold, "n_documents": len(vectors), **found, **machine()}, indent=2
        )
    )


if __name__ == "__main__":
    main()
