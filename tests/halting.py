"""Runs that halt in the middle of their work until a test lets them continue, in separate processes."""

import os
import subprocess
import time
from pathlib import Path

from tests.commands import clean_environment

HALTED = """
import os, pathlib, time
from topicflow.tasks.errors import StageError
from topicflow.tasks.store.local import LocalFolder

folder = pathlib.Path(os.environ["HALTED_IN"])
commit = LocalFolder.commit
def halted(self, staging, kind, key, manifest):
    if kind == "labels":
        (folder / "halted").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        if (folder / "fail").exists():
            raise StageError("cluster: planted")
    commit(self, staging, kind, key, manifest)
LocalFolder.commit = halted
"""
"""A process with this as its sitecustomize halts where it has labels and has not committed them."""


def halting(folder: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a run that halts; the files `halted`, `go` and `fail` in `folder` control it."""
    (folder / "sitecustomize.py").write_text(HALTED)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return clean_environment(**changes, HALTED_IN=str(folder), PYTHONPATH=path)


def started(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Return a run's process after it has halted; its lines go to `err` in the folder."""
    with (folder / "err").open("w") as err:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=err, text=True
        )
    for _ in range(1200):
        assert process.poll() is None, (folder / "err").read_text()
        if (folder / "halted").exists():
            return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError((folder / "err").read_text())
