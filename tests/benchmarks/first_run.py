"""The first run on a machine, nothing compiled: `quickstart` of this checkout beside an earlier one; prints JSON.

    git archive 16ef8fc | tar -x -C /tmp/before
    python -m tests.benchmarks.first_run --before /tmp/before --work DIR [--repeats 2] [--compiling]

With `--compiling` only the kernels are measured: `quickstart` without embedding, on 600 invented documents, which a run
compiles ahead, in one process on one core with an empty folder for kernels. `cpu_s` are the processor seconds of that
process without its imports, `compiling_s` those of numba, `kernels` the same by kernel with all that each one calls.

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
from typing import Any

from tests.benchmarks.peer import machine
from tests.benchmarks.waiting import Side, medians, sides_of
from tests.commands import clean_environment

PRACTICE = """
import json, sys, time
from collections import Counter
from pathlib import Path
from numba.core import event
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import compile_ahead
import tomli_w

class Recorder(event.Listener):
    def __init__(self):
        self.began, self.kernels = [], Counter()
    def on_start(self, event):
        self.began.append(time.thread_time())
    def on_end(self, event):
        taken = time.thread_time() - self.began.pop()
        function = event.data["dispatcher"].py_func
        if not self.began:
            self.kernels[f"{function.__module__.split('.core.')[-1]}.{function.__name__}"] += taken

recorder, folder = Recorder(), Path(sys.argv[2])
event.register("numba:compile", recorder)
began, path = time.process_time(), folder / "practice.toml"
config = load_config(Path(sys.argv[1]), [], TopicModelConfig)
path.write_text(tomli_w.dumps(compile_ahead._practice(config, folder)))
compile_ahead._write_documents(folder / "documents.parquet")
for method in ("auto", "descent"):
    compile_ahead._compile(load_config(path, [f"neighbors.method={method}"], TopicModelConfig))
kernels = {name: round(taken, 2) for name, taken in recorder.kernels.most_common()}
total = round(sum(recorder.kernels.values()), 1)
print(json.dumps({"cpu_s": round(time.process_time() - began, 1), "compiling_s": total, "kernels": kernels}))
"""
"""Prints the seconds of each kernel of a run that compiles all of them; its arguments are a config and a folder."""

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


def compile_once(side: Side, folder: Path) -> dict[str, Any]:
    """Return the processor seconds of each kernel that one run compiles, with nothing compiled before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = {"NUMBA_CACHE_DIR": str(folder / "kernels"), "PREFECT_HOME": str(folder / "prefect")}
    config = side.checkout / "configs" / "quickstart.toml"
    done = subprocess.run(
        ["taskset", "--cpu-list", "0", sys.executable, "-c", PRACTICE, str(config), str(folder)], cwd=folder,
        env=clean_environment(**{**side.environment, **kept}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def compiling(sides: dict[str, Side], repeats: int) -> dict[str, dict[str, Any]]:
    """Return the turn of each side that took the fewest processor seconds; the sides take turns."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            turns[name].append(compile_once(side, side.folder / f"compiling_{name}"))
    return {name: min(own, key=lambda turn: float(turn["cpu_s"])) for name, own in turns.items()}


def main() -> None:
    """Print the seconds of both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="An earlier checkout.")
    parser.add_argument("--work", type=Path, required=True, help="A folder for store, runs and kernels.")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--compiling", action="store_true", help="Measure only the kernels.")
    args = parser.parse_args()
    folder = args.work.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    found = (compiling if args.compiling else measure)(sides_of(args.before, folder), args.repeats)
    load = os.getloadavg()[0]
    print(json.dumps({"benchmark": "first_run", **machine(), "load_average": load, **found}, indent=2))


if __name__ == "__main__":
    main()
