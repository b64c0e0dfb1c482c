"""Kill a run at random moments, run the same command again, and compare with a run without a kill.

    python -m tests.benchmarks.kills [--kills 30] [--documents 300] [--seed 0]

Real encoder, PCA, HDBSCAN, on banking77 questions or planted ones without that corpus; against a separate Prefect
server. Each kill is a SIGKILL on a separate store, at a moment drawn uniformly from an undisturbed run: the same
number of seconds after the same stage's end, so that other work on the machine does not shift the moments. A run that
ended before its kill does not count and is drawn again. Prints JSON: whether every second run ended with the
artifacts (keys and file digests) of the run without a kill, and how many stages were computed again although their
artifact existed when the run was killed.
"""

from __future__ import annotations

import argparse
import bisect
import json
import platform
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from tests.benchmarks.corpora import DATA
from tests.commands import Outcome, clean_environment, command, run_apart, serving
from tests.fakes import planted_corpus
from topicflow.tasks.runs.retention import list_artifacts
from topicflow.tasks.store.artifact_store import ArtifactStore, file_digest
from topicflow.tasks.store.verify import verify_artifacts

STAGES = """
name = "killed"
[reduce]
method = "pca"
[map]
n_epochs = 20
[cluster]
min_cluster_size = 5
"""


@dataclass(frozen=True)
class Ending:
    """The result of a run that followed a killed one."""

    outcome: Outcome
    recomputed: list[str]
    artifacts: Mapping[str, str]
    n_damaged: int


def contents(store: Path) -> dict[str, str]:
    """Return the digest of every artifact's files except the manifest, which contains times."""
    return {
        path.relative_to(store).as_posix(): file_digest(path)
        for path in sorted(store.glob("*/*/**/*"))
        if path.is_file() and path.name != "manifest.json" and not path.is_relative_to(store / ".staging")
    }


def complete_artifacts(store: Path) -> set[tuple[str, str]]:
    """Return kind and key of the artifacts in a store."""
    if not (store / "format.json").exists():
        return set()
    return {(artifact.kind, artifact.key) for artifact in list_artifacts(ArtifactStore(store))}


@contextmanager
def running(config: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a run in a separate process, which is killed with SIGKILL at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command(*arguments(config, folder)), cwd=folder, env=clean_environment(**environment),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stage_ends(process: subprocess.Popen[str]) -> list[float]:
    """Return the seconds from now until the end of each stage of a run, and of the run."""
    assert process.stderr is not None
    began = time.perf_counter()
    ends = [time.perf_counter() - began for _ in process.stderr]
    process.wait()
    return [*ends, time.perf_counter() - began]


def killed(
    config: Path, folder: Path, environment: Mapping[str, str], ends: list[float], moment: float
) -> bool:
    """Return whether a run was still running when it was killed at a moment of the undisturbed run with `ends`."""
    n_ended = bisect.bisect(ends, moment)
    with running(config, folder, environment) as process:
        assert process.stderr is not None
        for _ in range(n_ended):
            process.stderr.readline()
        time.sleep(moment - ([0.0, *ends])[n_ended])
        return process.poll() is None


def arguments(config: Path, folder: Path) -> list[str]:
    """Return the words of the command that runs a config on a store in `folder`."""
    return ["run", str(config), "--store", str(folder / "store"), "--runs", str(folder / "runs"), "--json"]


def finish(config: Path, folder: Path, environment: Mapping[str, str]) -> Ending:
    """Return the result of the same command after a kill."""
    folder.mkdir(exist_ok=True)
    there = complete_artifacts(folder / "store")
    outcome = run_apart(*arguments(config, folder), cwd=folder, **environment)
    stages = outcome.record["stages"] if outcome.code == 0 else []
    recomputed = [
        stage["stage"]
        for stage in stages
        if (stage["kind"], stage["key"]) in there and stage["state"] != "cached"
    ]
    store = ArtifactStore(folder / "store")
    n_damaged = sum(bool(found.problem) for found in verify_artifacts(store))
    return Ending(outcome, recomputed, contents(store.root), n_damaged)


def write_questions(folder: Path, n_documents: int) -> Path:
    """Return a config for short texts written beside it."""
    banking = DATA / "banking77_test.parquet"
    rows = pl.read_parquet(banking).sample(n_documents, seed=0) if banking.exists() else None
    texts = rows["text"].to_list() if rows is not None else planted_corpus(n_documents // 3).texts
    pl.DataFrame({"text": texts}).write_parquet(folder / "documents.parquet")
    config = folder / "config.toml"
    config.write_text(f'{STAGES}[load]\npath = "{folder / "documents.parquet"}"\n')
    return config


def measure(n_kills: int, n_documents: int, seed: int, folder: Path) -> dict[str, object]:
    """Return the results of `n_kills` kills."""
    draw = random.Random(seed)
    config = write_questions(folder, n_documents)
    with serving(folder / "home") as server:
        run_apart(*arguments(config, folder / "warm-up"), cwd=folder, **server.environment)
        with running(config, folder / "alone", server.environment) as process:
            ends = stage_ends(process)
        alone = finish(config, folder / "alone", server.environment)
        assert alone.outcome.code == 0, alone.outcome.err
        kills: list[tuple[float, int, Ending]] = []
        while len(kills) < n_kills:
            place, moment = folder / f"kill-{len(kills)}", draw.uniform(0, ends[-1])
            if not killed(config, place, server.environment, ends, moment):
                shutil.rmtree(place)
                continue
            n_complete = len(complete_artifacts(place / "store"))
            kills.append((moment, n_complete, finish(config, place, server.environment)))
    return {
        "n": n_kills,
        "all_finished": all(ending.outcome.code == 0 for _, _, ending in kills),
        "all_same_artifacts": all(ending.artifacts == alone.artifacts for _, _, ending in kills),
        "n_recomputed_complete_stages": sum(len(ending.recomputed) for _, _, ending in kills),
        "n_damaged_artifacts": sum(ending.n_damaged for _, _, ending in kills),
        "n_kills_by_complete_artifacts": _histogram([n_complete for _, n_complete, _ in kills]),
        "n_documents": n_documents,
        "seed": seed,
        "undisturbed_s": round(ends[-1], 1),
        "moments_s": [round(moment, 2) for moment, _, _ in kills],
        "machine": f"{platform.machine()} {platform.system()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _histogram(values: list[int]) -> dict[int, int]:
    return {value: values.count(value) for value in sorted(set(values))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(given.kills, given.documents, given.seed, Path(scratch)), indent=2))
