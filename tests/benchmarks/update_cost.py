"""Processor seconds of an update: 1,000 new documents on 100,000, this checkout beside an earlier one; prints JSON.

    git archive 16ef8fc | tar -x -C /tmp/before
    python -m tests.benchmarks.update_cost --before /tmp/before --work DIR [--rows 100000] [--new 1000]

Each side fits the first arXiv titles in a folder and a store of its own and then takes turns with the other in updates
of `--new` later titles each. Every figure is a whole process, as a user types `topicflow update`, without a Prefect
server; processor seconds include those of the processes that it waits for. `processor_ms_per_title` is all of that
over the new titles, `of_ten_ms` the same for an update of ten titles: what an update costs whatever its size. The
first turn compiles kernels and is not a figure. Medians. `--embed` is the section `[embed]`; by default static
vectors, so that the figure is of what an update does beside embedding.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.benchmarks.waiting import Side, medians, sides_of

FEW = 10


def config_of(side: Side, n: int, embed: str) -> str:
    """Write the config of an update with the first `n` documents; return its name."""
    section = f"[embed]\n{embed}\n[cluster]\nmin_cluster_size = 100\n"
    return side.config("daily", n, section)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of both sides."""
    titles = pl.read_parquet(DATA / "arxiv_titles.parquet", columns=["title"]).rename({"title": "text"})
    titles = titles.with_row_index("id")
    sides = {}
    for name, side in sides_of(args.before, args.work).items():
        folder = args.work / name
        folder.mkdir(exist_ok=True)
        sides[name] = Side(side.checkout, folder)
    n, found = args.rows, {name: {"new": [], "few": []} for name in sides}
    steps = [("first", n)]
    for _ in range(args.repeats + 1):
        steps += [("few", steps[-1][1] + FEW), ("new", steps[-1][1] + FEW + args.new)]
    for number, (step, rows) in enumerate(steps):
        for name, side in sides.items():
            titles.head(rows).write_csv(side.folder / f"documents_{rows}.csv")
            taken = side.time("update", config_of(side, rows, args.embed))
            (side.folder / f"documents_{rows}.csv").unlink()
            if number > 2:
                found[name][step].append(taken)
    return {name: figures(each, args.new) for name, each in found.items()}


def figures(turns: dict[str, list[dict[str, float]]], n_new: int) -> dict[str, Any]:
    """Return the medians of a side's updates, and processor milliseconds for each title."""
    new, few = medians(turns["new"]), medians(turns["few"])
    return {
        "update": new,
        "update_of_ten": few,
        "processor_ms_per_title": round(1000 * new["processor_s"] / n_new, 2),
        "of_ten_ms": round(1000 * few["processor_s"] / FEW, 1),
    }


def main() -> None:
    """Print both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="An earlier checkout.")
    parser.add_argument("--work", type=Path, required=True, help="A folder for stores and runs.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--embed", default='method = "static"')
    args = parser.parse_args()
    args.work = args.work.absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    found = measure(args)
    ratio = found["before"]["processor_ms_per_title"] / found["after"]["processor_ms_per_title"]
    about = {"benchmark": "update_cost", **machine(), "load_average": os.getloadavg()[0]}
    sizes = {"n_rows": args.rows, "n_new": args.new, "embed": args.embed}
    print(json.dumps({**about, **sizes, **found, "times_less": round(ratio, 2)}, indent=2))


if __name__ == "__main__":
    main()
