"""The seconds for which a person waits: commands on 1,490 reviews, this checkout beside an earlier one; prints JSON.

    git archive 3471704 | tar -x -C /tmp/before
    python -m tests.benchmarks.waiting --before /tmp/before --work DIR [--repeats 3]

Every figure is a whole process, as a user types the command, without a Prefect server. Both sides take turns in one
folder with one store. Their artifacts have equal keys, so a step has another value in each turn. Processor seconds
include those of the processes that a command starts and waits for, such as the temporary server; on shared cores they
are the fairer figure. The first turn compiles kernels and fills caches and is not a figure. Medians. `stages_s` is the
sum of the seconds of the stages that were computed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
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

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Python imports topicflow from the checkout."""
        return clean_environment(PYTHONPATH=str(self.checkout), PREFECT_HOME=str(self.folder / "prefect"))

    def check(self) -> None:
        """End if Python imports topicflow from elsewhere: both sides would be the same code."""
        command = [sys.executable, "-c", "import topicflow; print(topicflow.__file__)"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        if not Path(done.stdout.strip()).is_relative_to(self.checkout):
            sys.exit(
                f"topicflow comes from {done.stdout.strip()}, not from {self.checkout}; use another environment"
            )

    def config(self, name: str, n: int, section: str = TOPICS) -> str:
        """Return the name of a config for the first `n` documents."""
        path = self.folder / f"{name}.toml"
        documents = self.folder / f"documents_{n}.csv"
        path.write_text(CONFIG.format(name=name, path=documents, section=section), encoding="utf-8")
        return path.name

    def time(self, *words: str) -> dict[str, float]:
        """Return wall and processor seconds of a command."""
        command = [sys.executable, "-m", "topicflow.flows.commands.cli", *words]
        began = time.perf_counter()
        with (self.folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=said, stderr=said
            )
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


def sides_of(before: Path, folder: Path) -> dict[str, Side]:
    """Return the earlier checkout and this one, which work in the same folder."""
    checkouts = {"before": before.absolute(), "after": Path(__file__).parents[2]}
    sides = {name: Side(path, folder) for name, path in checkouts.items()}
    for side in sides.values():
        side.check()
    return sides


def steps(side: Side, number: int) -> dict[str, tuple[str, ...]]:
    """Return the command of each step; those that would be hits the second time differ with the number of the turn."""
    index = f"[index]\ntopics = 'reviews'\nef_construction = {128 + number}\n"
    index = side.config(f"search{number}", N_DOCUMENTS, index)
    first = side.config(
        f"daily{number}", N_DOCUMENTS, f"{TOPICS}[label]\ntop_n_words = {11 + number}\nspread = 0.9\n"
    )
    return {
        "help": ("--help",),
        "plan": ("plan", "reviews.toml"),
        "run, all hits": ("run", "reviews.toml"),
        "run, one value changed": ("run", "reviews.toml", "--set", f"label.top_n_words={11 + number}"),
        "index of embedded documents": ("index", index),
        "search": ("search", "battery life", "--index", f"search{number}"),
        "first update": ("update", first),
        "update, ten new rows": ("update", side.config("daily", N_DOCUMENTS + N_NEW * number)),
    }


def measure(sides: dict[str, Side], repeats: int) -> list[dict[str, Any]]:
    """Return the medians of each step on each side."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    first = next(iter(sides.values()))
    first.time("run", first.config("reviews", N_DOCUMENTS))
    first.time("update", first.config("daily", N_DOCUMENTS))
    for turn in range(repeats + 1):
        plans = {name: steps(side, 1 + turn * len(sides) + n) for n, (name, side) in enumerate(sides.items())}
        for step in next(iter(plans.values())):
            for n, (name, side) in enumerate(sides.items()):
                if step.startswith("update"):
                    side.config("daily", N_DOCUMENTS + N_NEW * (1 + turn * len(sides) + n))
                taken = side.time(*plans[name][step])
                if turn:
                    found.setdefault(step, {}).setdefault(name, []).append(taken)
    return [
        {"step": step, **{name: medians(each) for name, each in by_side.items()}}
        for step, by_side in found.items()
    ]


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the turns."""
    return {key: round(statistics.median(turn[key] for turn in turns), 2) for key in turns[0]}


def main() -> None:
    """Print the steps as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="An earlier checkout.")
    parser.add_argument("--work", type=Path, required=True, help="A folder for store and runs.")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    folder = args.work.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    table = pl.read_parquet(DATA / "customer_reviews.parquet").select("text").with_row_index("id")
    for number in range(2 * (args.repeats + 1) + 1):
        n = N_DOCUMENTS + N_NEW * number
        table.head(n).write_csv(folder / f"documents_{n}.csv")
    rows = measure(sides_of(args.before, folder), args.repeats)
    load = os.getloadavg()[0]
    print(json.dumps({"benchmark": "waiting", **machine(), "load_average": load, "steps": rows}, indent=2))


if __name__ == "__main__":
    main()
