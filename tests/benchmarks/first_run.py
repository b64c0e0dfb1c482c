"""The first run on a machine, nothing compiled: `quickstart` of this checkout beside an earlier one; prints JSON.

    git archive 16ef8fc | tar -x -C /tmp/before
    python -m tests.benchmarks.first_run --before /tmp/before --work DIR [--repeats 2]

Each run is a process of its own with an empty store and an empty folder for numba's kernels; the sides take turns.
`without_embed_s` is the wall time of the command less the seconds of the stage `embed`, which need no kernel;
`after_embed_s` are the seconds of the stages after it. `ready_s` is the same command once more on an empty store with
the kernels of the run before: what is left when nothing has to be compiled. Medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.peer import machine
from tests.benchmarks.waiting import Side, medians, sides_of
from tests.commands import clean_environment

WITHOUT_KERNELS = ("load", "embed")
"""Stages that compile nothing."""


def run(side: Side, kernels: Path) -> dict[str, float]:
    """Return the seconds of one run with an empty store."""
    store, runs = side.folder / "store", side.folder / "runs"
    for folder in (store, runs):
        shutil.rmtree(folder, ignore_errors=True)
    config = side.checkout / "configs" / "quickstart.toml"
    command = [sys.executable, "-m", "topicflow.flows.commands.cli", "run", str(config)]
    environment = clean_environment(**{**side.environment, "NUMBA_CACHE_DIR": str(kernels)})
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--store", str(store), "--runs", str(runs), "--json"],
        cwd=side.folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    seconds = {each["stage"]: each["seconds"] for each in json.loads(done.stdout)["stages"]}
    after = sum(taken for stage, taken in seconds.items() if stage not in WITHOUT_KERNELS)
    return {"wall_s": wall, "without_embed_s": wall - seconds["embed"], "after_embed_s": after}


def measure(sides: dict[str, Side], repeats: int) -> dict[str, dict[str, float]]:
    """Return the medians of each side."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name, side in sides.items():
            kernels = side.folder / f"kernels_{name}_{turn}"
            taken = run(side, kernels)
            ready = run(side, kernels)
            found[name].append({**taken, "ready_s": ready["without_embed_s"]})
    return {name: medians(turns) for name, turns in found.items()}


def main() -> None:
    """Print the seconds of both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="An earlier checkout.")
    parser.add_argument("--work", type=Path, required=True, help="A folder for store, runs and kernels.")
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    folder = args.work.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    found = measure(sides_of(args.before, folder), args.repeats)
    load = os.getloadavg()[0]
    print(json.dumps({"benchmark": "first_run", **machine(), "load_average": load, **found}, indent=2))


if __name__ == "__main__":
    main()
