"""The command line, many times over: a process that has imported everything forks one child for each command.

A command then costs what it does, without seconds of imports. Each child leads its own process group, works in the
folder that it is given, and can be killed with SIGKILL: from outside, or by itself before its n-th write.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import Outcome, clean_environment

WRITES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.utime"})
"""Python's audit events that change a folder; a file that is opened for writing counts too."""

NEVER = 1_000_000_000
"""A number of writes that no command reaches."""

KILLED = -9
"""The code of a command that was killed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its outcome, the number of its writes, and the seconds since its first write."""

    outcome: Outcome
    n_writes: int = 0
    seconds: float = 0.0


class ForkedCommands:
    """The process that forks, and a folder for what its children leave; one command runs at a time."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder

    def call(self, function: str, timeout_s: float, **arguments: object) -> int:
        """Return the code of a child that called `module:function`: 0, 1 for an exception, negative for a signal."""
        words = [function, json.dumps(arguments)]
        return self.run(words, Path.cwd(), timeout_s=timeout_s, is_call=True).outcome.code

    def run(
        self, words: list[str], cwd: Path, *, before_write: int = NEVER, after_s: float | None = None,
        timeout_s: float = 300.0, is_call: bool = False,
    ) -> Ended:  # fmt: skip
        """Return how a command ended; its code is KILLED if it was killed, by the timeout too.

        Parameters
        ----------
        words : list of str
            The words of the command after `topicflow`.
        cwd : Path
            Where it runs; its writes below this folder are counted.
        before_write : int
            It kills its process group before this write, counted from 1.
        after_s : float, optional
            Its process group is killed this many seconds after its first write.
        timeout_s : float
            Its process group is killed after so many seconds.
        is_call : bool
            The words are those of `call`.
        """
        for path in self._folder.glob("*"):
            path.unlink()
        wanted = {
            "words": words,
            "cwd": str(cwd),
            "before_write": before_write,
            "folder": str(self._folder),
            "is_call": is_call,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        pid, deadline = self._answer(), time.monotonic() + timeout_s
        if after_s is not None:
            while not (self._folder / "began").exists() and not self._answered(0.002):
                pass
            deadline = time.monotonic() + after_s
        if not self._answered(max(0.0, deadline - time.monotonic())):
            os.killpg(pid, signal.SIGKILL)
        code = self._answer()
        said = Outcome(code, *((self._folder / name).read_text(errors="replace") for name in ("out", "err")))
        return Ended(said) if code < 0 else Ended(said, **json.loads((self._folder / "n").read_text()))

    def _answered(self, within_s: float) -> bool:
        return bool(select.select([self._process.stdout], [], [], within_s)[0])

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def forked_commands(folder: Path, **environment: str) -> Iterator[ForkedCommands]:
    """Yield a process that has imported the command line and every flow, and forks."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet = clean_environment(PREFECT_LOGGING_LEVEL="CRITICAL", **environment)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_commands"], cwd=Path(__file__).parents[1], bufsize=0,
        env=quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield ForkedCommands(process, folder)
    finally:
        process.kill()
        process.wait()


# --- in the process that forks, and in its children -----------------------------------------------------------


def serve() -> None:
    """Import everything; then, for each line of standard input, fork a child and write its id and its code."""
    import topicflow.flows.build_index
    import topicflow.flows.commands.cli
    import topicflow.flows.commands.every_command
    import topicflow.flows.deduplicate
    import topicflow.flows.topic_model
    import topicflow.flows.train_classifier
    import topicflow.flows.tune_embeddings
    import topicflow.flows.update_topics  # noqa: F401

    for line in sys.stdin.buffer:
        pid = os.fork()
        if not pid:
            _work(json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _work(wanted: dict[str, Any]) -> None:
    """Run a command in this child and end it."""
    from topicflow.flows.commands import cli

    folder = Path(wanted["folder"])
    os.setsid()
    os.chdir(wanted["cwd"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv, code = ["topicflow", *wanted["words"]], 0
    counted = _count_writes(Path(wanted["cwd"]), wanted["before_write"], folder / "began")
    try:
        if wanted["is_call"]:
            module, _, function = wanted["words"][0].partition(":")
            getattr(importlib.import_module(module), function)(**json.loads(wanted["words"][1]))
        else:
            cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001  (it must not reach the parent's own stack)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    seconds = time.perf_counter() - counted["began"] if counted["n"] else 0.0
    (folder / "n").write_text(json.dumps({"n_writes": int(counted["n"]), "seconds": seconds}))
    os._exit(code)


def _count_writes(place: Path, before_write: int, began: Path) -> dict[str, float]:
    """Count this process's writes below a folder from now on; kill its process group before one of them."""
    counted = {"n": 0.0, "began": 0.0}
    inside = f"{place}{os.sep}"

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(values[2], int) or not values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in WRITES:
            return
        path = values[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        if not os.path.abspath(os.fsdecode(path)).startswith(inside):  # noqa: PTH100  (links stay)
            return
        counted["n"] += 1
        if counted["n"] == 1:
            counted["began"] = time.perf_counter()
            began.touch()
        if counted["n"] >= before_write:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)
    return counted


if __name__ == "__main__":
    serve()
