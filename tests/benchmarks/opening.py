"""Opening an index of many documents: seconds of the checks, of opening, and of the first answers; prints JSON.

    python -m tests.benchmarks.opening --scratch DIR --rows 1000000

The index is made once in the scratch folder, of random vectors around 2,000 centres and made-up texts: its graph has
the size of a real one but is useless for searching (`ef_construction` 8), because only reading is measured. `cold` is
a separate process after the files were dropped from memory, if the system allows that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.peer import machine
from topicflow.configs.sections.index import IndexConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.index_build import write_index
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe

DIM = 384
WORDS = np.array([f"word{number}" for number in range(20_000)])


def make(store: ArtifactStore, rows: int) -> str:
    """Return the key of an index of `rows` documents, built if the store has none."""
    recipe = Recipe("index", "indexes", 1, config={"rows": rows})
    if store.find(recipe) is not None:
        return recipe.key
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, DIM)).astype(np.float32)[rng.integers(2000, size=rows)]
    for start in range(0, rows, 100_000):
        block = vectors[start : start + 100_000]
        block += rng.normal(size=block.shape).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    texts = [" ".join(WORDS[rng.integers(len(WORDS), size=12)]) for _ in range(rows)]
    table = pl.DataFrame({"doc_id": [f"d{row}" for row in range(rows)], "text": texts, "label": texts})
    config = IndexConfig(method="hnsw", ef_construction=8, ef=64)
    with store.writing(recipe) as writer:
        none = np.zeros(0, np.int64)
        write_index(writer, None, table.lazy(), vectors, none, config, 0, RuntimeConfig())
        writer.meta |= {
            "space": {
                "dim": DIM,
                "encoder": "none",
                "query_model": None,
                "adapter": None,
                "query_prompt": None,
            },
            "embed": {"method": "precomputed", "column": "vector"},
            "documents": None,
            "topic_keys": {},
            "config": config.model_dump(mode="json"),
        }
    store.committed(recipe, writer)
    return recipe.key


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and its result."""
    started = time.perf_counter()
    result = function()
    return round(time.perf_counter() - started, 3), result


def measure(folder: Path) -> dict[str, Any]:
    """Return the seconds of opening and of the first answers, and of the parts of opening."""
    store, figures = ArtifactStore(folder.parents[1]), {}
    figures["open_s"], index = seconds(lambda: SearchIndex.open(folder))
    query = np.random.default_rng(1).normal(size=DIM)
    figures["graph_s"], _ = seconds(lambda: index.graph)
    figures["first_answer_s"], _ = seconds(lambda: index.search(query, 10))
    figures["second_answer_s"], _ = seconds(lambda: index.search(query, 10))
    figures["first_filter_s"], _ = seconds(lambda: index.search(query, 10, where="label like '%word77 %'"))
    figures["second_filter_s"], _ = seconds(lambda: index.search(query, 10, where="label like '%word78 %'"))
    files = IndexFiles.open(store, folder.name)
    for name in files.digests:
        if not name.endswith(".npy"):
            figures[f"digest of {name}"] = seconds(lambda name=name: files.trusted(name))[0]
    figures["neighbours of the graph"], _ = seconds(files.graph)
    figures["arrays"], _ = seconds(files.check)
    return figures


def drop(folder: Path) -> None:
    """Make the system drop the contents of an index's files from memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args.measure)))
        return
    store = ArtifactStore(args.scratch / "store")
    folder = store.folder("indexes", make(store, args.rows))
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.opening",
        "--scratch",
        str(args.scratch),
        "--measure",
        str(folder),
    ]
    figures = {}
    for name in ("cold", "warm"):
        if name == "cold":
            drop(folder)
        figures[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    print(
        json.dumps(
            {"benchmark": "opening", **machine(), "rows": args.rows, "bytes": sizes} | figures, indent=2
        )
    )


if __name__ == "__main__":
    main()
