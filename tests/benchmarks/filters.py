"""Filters on many rows: seconds for long lists of ids, many terms, deep nesting, and every kind of condition; as JSON.

    python -m tests.benchmarks.filters --rows 1000000
    python -m tests.benchmarks.filters --random 20000

The clock covers reading the condition and evaluating it on all rows; the table is in memory. `beside` is DuckDB on
the same rows, its table loaded before. With `--random` only this is done: that many random conditions on 60 rows with a
column of every type, and the number of those that keep other rows than DuckDB.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.peer import machine
from tests.conditions import random_condition, random_differences
from topicflow.tasks.search.filters.parser import parse_filter

REPEATS = 3


def table(n: int) -> pl.DataFrame:
    """Return n rows with an id, a number, a date, a text, a list and a struct."""
    numbers = np.arange(n)
    start = date(2000, 1, 1)
    tags = [["red", "tea"], ["tea"], [], ["cat", "dog", "red"]]
    return pl.DataFrame(
        {
            "doc_id": [f"document-{number:09d}" for number in range(n)],
            "stars": numbers % 5,
            "created": [start + timedelta(days=int(number % 9000)) for number in numbers],
            "text": [f"the text of a document of bucket {number % 1000}" for number in range(n)],
            "tags": [tags[number % 4] for number in range(n)],
            "meta": [{"source": f"s{number % 7}", "n": number % 3} for number in range(n)],
        }
    )


def conditions(rows: int) -> dict[str, tuple[str, str | None]]:
    """Return conditions by name, each with its form for DuckDB."""
    ids = [f"'document-{number:09d}'" for number in range(0, 2 * rows, max(1, 2 * rows // 100_000))][:100_000]
    terms = " or ".join(f"(stars = {number % 7} and doc_id > 'd{number}')" for number in range(1000))
    nested = "(stars = 1 and " * 99 + "stars < 3" + ")" * 99
    same = {
        "100,000 ids": f"doc_id in ({', '.join(ids)})",
        "5,000 ids": f"doc_id in ({', '.join(ids[:5000])})",
        "100,000 numbers": f"stars in ({', '.join(map(str, range(100_000)))})",
        "1,000 terms": terms,
        "99 levels": nested,
        "like": "text like '%bucket 77_'",
        "dates": "year(created) = 2012 and month(created) in (1, 2)",
        "a field": "meta.source = 's3'",
    }
    lists = "tags contains any ('cat', 'red')", "list_has_any(tags, ['cat', 'red'])"
    return {name: (text, text) for name, text in same.items()} | {"a list": lists}


def seconds(function: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return the minimum time of some calls, wall and processor seconds, and the result."""
    wall, processor, result = [], [], None
    for _ in range(REPEATS):
        started = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return {"seconds": round(min(wall), 4), "processor_s": round(min(processor), 4)}, result


def measure(frame: pl.DataFrame) -> dict[str, Any]:
    """Return seconds and kept rows of each condition, ours and DuckDB's."""
    import duckdb

    engine = duckdb.connect()
    engine.register("frame", frame.to_arrow())
    engine.execute("CREATE TABLE t AS SELECT * FROM frame")
    figures = {}
    for name, (ours, theirs) in conditions(frame.height).items():

        def kept(condition: str = ours) -> int:
            expression, _ = parse_filter(condition, frame.schema)
            return int(frame.lazy().select(expression.fill_null(value=False)).collect().to_series().sum())

        def beside(condition: str | None = theirs) -> Any:
            return engine.sql(f"SELECT count(*) FROM t WHERE {condition}").fetchall()

        took, n_kept = seconds(kept)
        beside_s, counted = seconds(beside)
        figures[name] = {**took, "kept": n_kept, "duckdb": {**beside_s, "kept": counted[0][0]}}
    return figures


KINDS = {
    "lists": r"contains",
    "fields of structs": r"meta\.",
    "lower, length": r"\b(lower|length)\(",
    "year, month": r"\b(year|month)\(",
    "escape": r" escape ",
    "is null": r" is (not )?null",
}
"""What random conditions have, as regular expressions."""


def compare_random(n: int, seed: int) -> dict[str, Any]:
    """Return how many random conditions keep other rows than DuckDB, and how many have lists, fields and so on."""
    started, rng = time.process_time(), random.Random(seed)
    texts = [random_condition(rng)[0] for _ in range(n)]  # those of `random_differences`
    differing = random_differences(n, seed)
    has = {
        name: sum(re.search(pattern, text) is not None for text in texts) for name, pattern in KINDS.items()
    }
    took = round(time.process_time() - started, 1)
    return {
        "conditions": n,
        "distinct": len(set(texts)),
        "differing": len(differing),
        "has": has,
        "processor_s": took,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--random", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=100)
    args = parser.parse_args()
    if args.random:
        print(
            json.dumps(
                {"benchmark": "filters", **machine(), **compare_random(args.random, args.seed)}, indent=2
            )
        )
        return
    figures = measure(table(args.rows))
    print(
        json.dumps({"benchmark": "filters", **machine(), "rows": args.rows, "conditions": figures}, indent=2)
    )


if __name__ == "__main__":
    main()
