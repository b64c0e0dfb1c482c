"""The seconds for which a person waits: commands on 1,490 reviews, this checkout beside an earlier one; prints JSON.

    git archive 3471704 | tar -x -C /tmp/before
    python -m tests.benchmarks.waiting --before /tmp/before [--repeats 3]

Every figure is a whole process, as a user types the command, without a Prefect server, on a store of its own. Both
sides take turns in one run. Processor seconds include those of the processes that a command starts and waits for, such
as the temporary server; on shared cores they are the fairer figure. The first run of each side compiles the kernels and
is not a figure. Medians. `stages_s` is the sum of the seconds of the stages in the run's record.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.commands import clean_environment

N_DOCUMENTS, N_NEW = 1490, 10

CONFIG = """
name = "{name}"
[load]
path = "{path}"
text_column = "text"
id_column = "id"
{section}
"""
TOPICS = '[cluster]\nmin_cluster_size = "auto"\n'


@dataclass(frozen=True)
class Side:
    """A checkout, and the folder in which its commands run."""

    checkout: Path
    folder: Path

    def config(self, name: str, n: int, section: str = TOPICS) -> str:
        """Return the name of a config for the first `n` documents."""
        path = self.folder / f"{name}.toml"
        documents = self.folder.parent / f"documents_{n}.csv"
        path.write_text(CONFIG.format(name=name, path=documents, section=section), encoding="utf-8")
        return path.name

    def time(self, *words: str) -> dict[str, float]:
        """Return wall and processor seconds of a command."""
        environment = clean_environment(
            PYTHONPATH=str(self.checkout), PREFECT_HOME=str(self.folder / "prefect")
        )
        command = [sys.executable, "-m", "topicflow.flows.commands.cli", *words]
        began = time.perf_counter()
        with (self.folder / "said.txt").open("w") as said:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=said, stderr=said)
            _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit((self.folder / "said.txt").read_text())
        return {"wall_s": wall, "processor_s": used.ru_utime + used.ru_stime, **self._stages(words)}

    def _stages(self, words: tuple[str, ...]) -> dict[str, float]:
        """Return the sum of the seconds of the newest run's stages; nothing if the command is no run."""
        if words[0] not in {"run", "update", "index"}:
            return {}
        newest = max(self.folder.glob("runs/*/2*/run.json"), key=lambda path: path.parent.name)
        record = json.loads(newest.read_bytes())
        return {
            "stages_s": sum(stage["seconds"] for stage in record["stages"] if stage["state"] == "computed")
        }


def steps(side: Side, turn: int) -> dict[str, tuple[str, ...]]:
    """Return the command of each step; those that would be hits the second time differ with the turn."""
    index = side.config(f"search{turn}", N_DOCUMENTS, "[index]\ntopics = 'reviews'\n")
    first = side.config(f"daily{turn}", N_DOCUMENTS)
    return {
        "help": ("--help",),
        "plan": ("plan", "reviews.toml"),
        "run, all hits": ("run", "reviews.toml"),
        "run, one value changed": ("run", "reviews.toml", "--set", f"label.top_n_words={11 + turn}"),
        "index of embedded documents": ("index", index),
        "search": ("search", "battery life", "--index", f"search{turn}"),
        "first update": ("update", first),
        "update, ten new rows": ("update", side.config("daily0", N_DOCUMENTS + N_NEW * (turn + 1))),
    }


def measure(sides: dict[str, Side], repeats: int) -> list[dict[str, Any]]:
    """Return the medians of each step on each side."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for side in sides.values():
        side.folder.mkdir()
        side.time("run", side.config("reviews", N_DOCUMENTS))
        for warm in ("update", "index"):
            section = TOPICS if warm == "update" else "[index]\n"
            side.time(warm, side.config(f"warm_{warm}", N_DOCUMENTS, section))
        side.time("update", side.config("daily0", N_DOCUMENTS + N_NEW))
        side.time("update", side.config("warm_update", N_DOCUMENTS + N_NEW))
    for turn in range(1, repeats + 1):
        plans = {name: steps(side, turn) for name, side in sides.items()}
        for step in next(iter(plans.values())):
            for name, side in sides.items():
                found.setdefault(step, {}).setdefault(name, []).append(side.time(*plans[name][step]))
    return [
        {"step": step, **{name: _medians(each) for name, each in by_side.items()}}
        for step, by_side in found.items()
    ]


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(turn[key] for turn in turns), 2) for key in turns[0]}


def main() -> None:
    """Print the steps as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="An earlier checkout.")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    table = pl.read_parquet(DATA / "customer_reviews.parquet").select("text").with_row_index("id")
    with tempfile.TemporaryDirectory() as scratch:
        for n in range(N_DOCUMENTS, N_DOCUMENTS + N_NEW * (args.repeats + 2), N_NEW):
            table.head(n).write_csv(Path(scratch) / f"documents_{n}.csv")
        checkouts = {"before": args.before.absolute(), "after": Path(__file__).parents[2]}
        sides = {name: Side(path, Path(scratch) / name) for name, path in checkouts.items()}
        rows = measure(sides, args.repeats)
        load = os.getloadavg()[0]
    print(json.dumps({"benchmark": "waiting", **machine(), "load_average": load, "steps": rows}, indent=2))


if __name__ == "__main__":
    main()
