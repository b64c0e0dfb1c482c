"""Loading: clean CSV and Parquet of a million rows, beside polars on the same files. Prints JSON.

    python -m tests.benchmarks.loading --scratch DIR [--rows 1000000] [--repeats 5]

The clock covers opening a file and reading all its rows in chunks (`open_source`), as the stage `load` does;
for polars the same rows as a frame. polars infers types from all rows (`infer_schema_length=None`), because types must
not depend on the first rows, and also from its first 100 (`polars_first_rows`), which is faster and may fail. All take
turns; seconds are medians. `peak_bytes` is the peak of this process after all of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from tests.benchmarks.peer import machine
from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.store.resources import highest_peak_bytes

WORDS = np.array(
    ["river", "stone", "market", "signal", "garden", "engine", "letter", "window", "paper", "summer"]
)


def written(folder: Path, n_rows: int) -> tuple[Path, Path, Path]:
    """Return a clean CSV, the same with quoted texts, and a Parquet file: ids, texts of 12 words, numbers, dates."""
    rng = np.random.default_rng(1)
    words = WORDS[rng.integers(0, len(WORDS), (n_rows, 12))]
    table = pl.DataFrame(
        {
            "id": [f"r{number}" for number in range(n_rows)],
            "text": [f"{number} {' '.join(row)}" for number, row in enumerate(words.tolist())],
            "stars": rng.integers(0, 5, n_rows),
            "price": rng.integers(100, 9_000, n_rows) / 100,
            "created": [f"2024-01-{number % 28 + 1:02d}" for number in range(n_rows)],
        }
    )
    paths = folder / "clean.csv", folder / "quoted.csv", folder / "clean.parquet"
    table.write_csv(paths[0])
    table.write_csv(paths[1], quote_style="non_numeric")
    table.write_parquet(paths[2])
    return paths


def ours(path: Path) -> int:
    """Return the number of rows that the project reads."""
    with open_source(LoadConfig(path=str(path), id_column="id"), 20_000) as source:
        return sum(chunk.height for chunk in source.chunks)


def by_polars(path: Path) -> int:
    """Return the number of rows that polars reads, with types from all rows."""
    if path.suffix == ".csv":
        return pl.scan_csv(path, infer_schema_length=None).collect().height
    return pl.scan_parquet(path).collect().height


def by_polars_first_rows(path: Path) -> int:
    """Return the number of rows that polars reads, with types from the first rows."""
    return (pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)).height


READERS: dict[str, Callable[[Path], int]] = {
    "ours": ours,
    "polars": by_polars,
    "polars_first_rows": by_polars_first_rows,
}


def measured(path: Path, repeats: int, n_rows: int) -> dict[str, float]:
    """Return the median seconds of each reader, and ours divided by polars'."""
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(repeats):
        for name, read in READERS.items():
            start = time.perf_counter()
            assert read(path) == n_rows
            seconds[name].append(time.perf_counter() - start)
    found = {name: round(median(values), 3) for name, values in seconds.items()}
    return {**found, "ratio": round(found["ours"] / found["polars"], 2), "bytes": path.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    found = {
        path.name: measured(path, given.repeats, given.rows) for path in written(given.scratch, given.rows)
    }
    peak = highest_peak_bytes()
    print(json.dumps({**machine(), "rows": given.rows, "seconds": found, "peak_bytes": peak}, indent=2))


if __name__ == "__main__":
    main()
