"""The time that Prefect adds to a run whose stages are all cached, for each way of starting it.

    python -m tests.benchmarks.orchestration [--repeats 3]

The clock covers a process from start to end; the start of a bare interpreter is subtracted. `direct` is the run
without Prefect, the work itself: plan, verify the hits, write the run's folder. The other ways go through the flow;
`beyond_the_work_s` is their additional time over `direct`. A background server is started once by `prefect server
start --background` and then keeps running. Medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.commands import clean_environment, command, run_apart, serving, write_corpus
from tests.fakes import planted_corpus

THROUGH_TEMPORARY_SERVER = """
import os, sys
from pathlib import Path
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import start
from topicflow.flows.running.current import current_run
for name, value in start.QUIET_PREFECT.items():
    os.environ.setdefault(name, value)
config = load_config(Path(sys.argv[1]), [], TopicModelConfig)
with current_run(config):
    start._run_with_own_server(config, None, None)
"""
"""The command line runs directly if everything is cached; this takes the other way."""

WITH_PREFECTS_OWN = """
import os, sys
from pathlib import Path
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import start
for name, value in start.QUIET_PREFECT.items():
    os.environ.setdefault(name, value)
from topicflow.flows.topic_model import topic_model
topic_model(load_config(Path(sys.argv[1]), [], TopicModelConfig))
"""
"""The flow called without any server: Prefect starts one automatically."""


def measure(repeats: int, folder: Path) -> dict[str, object]:
    """Return the seconds of every way."""
    config = write_corpus(folder, planted_corpus())
    home = folder / "home"
    first = run_apart("run", config, cwd=folder, PREFECT_HOME=str(home))
    assert first.code == 0, first.err
    python = sys.executable
    at_home = {"PREFECT_HOME": str(home)}

    bare = _median(repeats, lambda: _seconds([python, "-c", "pass"], folder, {}))
    ways = {
        "direct": _median(repeats, lambda: _seconds(command("run", config), folder, at_home)),
        "temporary_server": _median(
            repeats, lambda: _seconds([python, "-c", THROUGH_TEMPORARY_SERVER, str(config)], folder, at_home)
        ),
        "prefects_own_temporary_server": _median(
            repeats, lambda: _seconds([python, "-c", WITH_PREFECTS_OWN, str(config)], folder, at_home)
        ),
        "temporary_server_on_a_fresh_home": _median(
            repeats, lambda: _on_fresh_home([python, "-c", THROUGH_TEMPORARY_SERVER, str(config)], folder)
        ),
    }
    with serving(folder / "server") as server:
        ways["running_server"] = _median(
            repeats, lambda: _seconds(command("run", config), folder, server.environment)
        )
    background = _background_start(folder, at_home)
    return {
        "interpreter_s": round(bare, 2),
        "beyond_the_interpreter_s": {way: round(seconds - bare, 2) for way, seconds in ways.items()},
        "beyond_the_work_s": {
            way: round(seconds - ways["direct"], 2) for way, seconds in ways.items() if way != "direct"
        },
        "background_server_start_s": round(background, 2),
        "repeats": repeats,
        "load_average": os.getloadavg()[0],
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _median(repeats: int, measured: Callable[[], float]) -> float:
    return statistics.median(measured() for _ in range(repeats))


def _seconds(words: list[str], folder: Path, environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, env=clean_environment(**environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - began


def _on_fresh_home(words: list[str], folder: Path) -> float:
    shutil.rmtree(folder / "fresh", ignore_errors=True)
    return _seconds(words, folder, {"PREFECT_HOME": str(folder / "fresh")})


def _background_start(folder: Path, environment: Mapping[str, str]) -> float:
    """Return the seconds until a background server has started; stop it again."""
    prefect = [sys.executable, "-m", "prefect", "server"]
    seconds = _seconds([*prefect, "start", "--background", "--port", "4289"], folder, environment)
    _seconds([*prefect, "stop"], folder, environment)
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(parser.parse_args().repeats, Path(scratch)), indent=2))
