"""The end of a process that gets a signal while one of its threads is computing."""

import subprocess
import sys
from pathlib import Path

from tests.commands import clean_environment
from topicflow.flows.running.interrupt import CANCEL_EXIT_CODE, CANCELLED

AT_WORK = """
import os, pathlib, sys, threading, time
from topicflow.flows.running.interrupt import end_soon
from topicflow.tasks.store.process import staging_name

staging = pathlib.Path(sys.argv[1]) / ".staging"
mine, other = staging / staging_name(), staging / f"{os.getpid()}-another-containers"
def work():
    while True:
        mine.mkdir(parents=True, exist_ok=True)
        time.sleep(600)
other.mkdir(parents=True)
threading.Thread(target=work, daemon=False).start()
end_soon(staging.parent)
print("at work", flush=True)
"""


def start(store: Path) -> "subprocess.Popen[str]":
    """Return a process that should end soon, with a thread that does not."""
    process = subprocess.Popen(
        [sys.executable, "-c", AT_WORK, str(store)], env=clean_environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def test_unfinished_files_are_removed(tmp_path: Path) -> None:
    process = start(tmp_path)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (CANCEL_EXIT_CODE, f"{CANCELLED}\n")
    assert [folder.name for folder in (tmp_path / ".staging").iterdir()] == [
        f"{process.pid}-another-containers"
    ]


def test_it_ends_if_nobody_reads_its_output(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(60) == CANCEL_EXIT_CODE
    assert [folder.name for folder in (tmp_path / ".staging").iterdir()] == [
        f"{process.pid}-another-containers"
    ]
