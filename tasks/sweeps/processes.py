"""Processes: units of settings -> their outcomes as they come, from processes of this machine or from a cluster."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.errors import StageError, first_line
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.memo import remembering
from topicflow.tasks.execution.workers import map_chunks
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps.units import Queue, Unit
from topicflow.tasks.sweeps.worker import Outcome, fit_unit

PROCESS_BYTES = 800 << 20
"""Memory of a process with the libraries of the stages; measured on 20,000 documents without their vectors."""

COPIES = 8
"""Times the bytes of the embeddings that a process needs beside that."""

ROWS_EACH = 60_000
"""Documents of all units together that make a further process worth its start, which takes about five seconds."""

STOP_S = 5.0
"""Seconds for a process to end after its input has ended."""

Configs = Mapping[int, Mapping[str, Any]]
"""The config of each setting as JSON values, by its number."""


def outcomes(
    context: Context, common: Mapping[str, Any], units: Sequence[Unit], configs: Configs, n_processes: int
) -> Iterator[tuple[Unit, Mapping[str, Outcome]]]:
    """Yield each unit with the outcomes of its settings, in the order in which they are done.

    Parameters
    ----------
    context : Context
        The context of the sweep.
    common : mapping
        The result of `worker.common_of`.
    units : sequence of Unit
        What is to be fitted, units with the same reduced vectors together.
    configs : mapping
        The config of each setting.
    n_processes : int
        Processes of this machine; with 1 this process fits all settings. A cluster uses its own workers.

    Raises
    ------
    StageError
        If a process dies; finished settings are kept.
    """
    if context.runtime.engine != "threads":
        asked = [_asked(unit, configs) for unit in units]
        found = map_chunks(
            "sweep-settings", functools.partial(fit_unit, dict(common)), asked, context.runtime
        )
        yield from zip(units, found, strict=True)
    elif n_processes == 1:
        with remembering():
            for unit in units:
                yield unit, fit_unit(common, _asked(unit, configs))
    else:
        yield from _from_processes(common, units, configs, n_processes)


def _asked(unit: Unit, configs: Configs) -> dict[str, Any]:
    """Return what a process is asked for a unit."""
    return {"settings": [(number, configs[number]) for number in unit.numbers], "draw": unit.draw}


def n_processes_for(context: Context, embeddings: ArtifactRef, n_units: int) -> int:
    """Return how many processes fit settings on this machine at a time.

    That is `runtime.n_workers` if it is set; otherwise one for each core, but no more than the available memory has
    place for, and no more than the work is worth.
    """
    if n_units <= 1:
        return 1
    if (wanted := context.runtime.n_workers) is not None:
        return min(wanted, n_units)
    n_bytes = PROCESS_BYTES + COPIES * _bytes_of(context.store, embeddings)
    free = available_bytes()
    in_memory = n_cores() if free is None else int(0.8 * free // n_bytes)
    cores = min(context.runtime.n_threads or n_cores(), n_cores())
    return max(1, min(cores, in_memory, n_units * embeddings.rows // ROWS_EACH))


def threads_of(context: Context, n_processes: int) -> int | None:
    """Return the threads of each process; None for all cores."""
    if n_processes == 1 or context.runtime.engine != "threads":
        return context.runtime.n_threads
    return max(1, min(context.runtime.n_threads or n_cores(), n_cores()) // n_processes)


def available_bytes() -> int | None:
    """Return the memory that is free for new processes, in a container that of the container; None if unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" without a limit
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        found.append(int(limit) - int(used))
    return min(found, default=None)


def _bytes_of(store: ArtifactStore, ref: ArtifactRef) -> int:
    return sum(int(file["bytes"]) for file in store.manifest(ref.kind, ref.key)["files"].values())


# --- processes of this machine ---


def _from_processes(
    common: Mapping[str, Any], units: Sequence[Unit], configs: Configs, n_processes: int
) -> Iterator[tuple[Unit, Mapping[str, Outcome]]]:
    """Yield the outcomes from processes; a thread for each hands it one unit after another."""
    waiting, lock = Queue(list(units)), threading.Lock()
    done: SimpleQueue[tuple[Unit | None, Any]] = SimpleQueue()

    def serve(place: int, process: _Process) -> None:
        try:
            while True:
                with lock:
                    unit = waiting.take(place)
                if unit is None:
                    return
                done.put((unit, process.ask(_asked(unit, configs))))
        except Exception as error:  # noqa: BLE001  (raised below)
            done.put((None, error))

    with contextlib.ExitStack() as stack:
        for place in range(n_processes):
            process = stack.enter_context(_started(common))
            threading.Thread(target=serve, args=[place, process], daemon=True).start()
        for _ in units:
            unit, answer = done.get()
            if unit is None:
                raise answer
            if "failed" in answer:
                raise StageError(f"sweep: setting {unit.numbers[0]}: {answer['failed']}")
            yield unit, answer


class _Process:
    """A process that fits settings: see `worker`."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        self.process, self.said = process, said

    def ask(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a line; raise StageError if the process is dead."""
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.tell(line)
        answer = self.process.stdout.readline()
        if answer.endswith("\n"):
            found: dict[str, Any] = json.loads(answer)
            return found
        code = self.process.wait()
        self.said.seek(0)
        last = (self.said.read().strip().splitlines() or ["it said nothing"])[-1]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        msg = (
            f"sweep: a process that fits settings {how} ({first_line(last)[:200]}); run the same command again: "
            "finished settings are kept, and runtime.n_workers=1 needs less memory"
        )
        raise StageError(msg)

    def tell(self, line: Mapping[str, Any]) -> None:
        """Write a line to the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def _started(common: Mapping[str, Any]) -> Iterator[_Process]:
    """Yield a process with its share of the cores; it ends with the block."""
    n_threads = str(common["runtime"]["n_threads"] or n_cores())
    names = (
        "NUMBA_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "POLARS_MAX_THREADS",
    )
    command = [sys.executable, "-P", "-m", "topicflow.tasks.sweeps.worker"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        started = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, **dict.fromkeys(names, n_threads)},
        )
        process = _Process(started, said)
        try:
            with contextlib.suppress(BrokenPipeError):
                process.tell({"common": common})
            yield process
        finally:
            with contextlib.suppress(BrokenPipeError):
                assert started.stdin is not None
                started.stdin.close()
            try:
                started.wait(STOP_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
            assert started.stdout is not None
            started.stdout.close()
