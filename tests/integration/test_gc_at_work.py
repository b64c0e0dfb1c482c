"""`store gc` during a run: nothing that the run made or found is deleted, at any age."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import command, run_apart, write_corpus
from tests.fakes import Corpus
from tests.halting import halting, started

USED = {"load", "embed", "neighbors", "reduce", "map", "count"}
"""Stages of the first run that the second, with other clusters, uses again."""


def artifacts(folder: Path) -> set[str]:
    """Return kind and key of every artifact in the store."""
    found = (folder / "store").glob("*/*")
    return {
        f"{path.parent.name}/{path.name}" for path in found if path.is_dir() and path.parent.name[0] != "."
    }


def named(record: Any, stages: set[str] | None = None) -> set[str]:
    """Return kind and key of the artifacts of a run's stages, of all if None."""
    return {f"{s['kind']}/{s['key']}" for s in record["stages"] if stages is None or s["stage"] in stages}


@pytest.mark.slow
def test_a_long_run_keeps_its_artifacts(tmp_path: Path, corpus: Corpus) -> None:
    config, home = write_corpus(tmp_path, corpus), str(tmp_path / "home")
    earlier = run_apart("run", config, "--json", cwd=tmp_path, PREFECT_HOME=home)
    assert earlier.code == 0, earlier.err
    shutil.rmtree(tmp_path / "runs")  # no record refers to what it made, a month ago
    long_ago = time.time() - 30 * 86_400
    for name in artifacts(tmp_path):
        os.utime(tmp_path / "store" / name, (long_ago, long_ago))

    words = ("run", config, "--set", "cluster.n_clusters=2", "--json")
    process = started(command(*words), tmp_path, halting(tmp_path, PREFECT_HOME=home))
    used = named(earlier.record, USED)
    gc = ("store", "gc", "--min-age-hours", "0")
    refused = run_apart(*gc, cwd=tmp_path)
    assert (refused.code, used <= artifacts(tmp_path)) == (2, True), refused.err
    for deleted in ("removed 4 artifacts", "removed 0 artifacts"):  # first those that the run does not use
        collected = run_apart(*gc, "--no-runs", cwd=tmp_path)
        assert collected.out.splitlines()[-1].startswith(deleted), collected.out + collected.err
    assert artifacts(tmp_path) & named(earlier.record) == used
    assert any((tmp_path / "store/.staging").iterdir())

    (tmp_path / "go").touch()
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, (tmp_path / "err").read_text()
    record = json.loads(out)
    assert {stage["stage"] for stage in record["stages"] if stage["state"] == "cached"} == USED
    assert run_apart(*gc, cwd=tmp_path).code == 0
    assert named(record) <= artifacts(tmp_path)
