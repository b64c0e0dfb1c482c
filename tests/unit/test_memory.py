"""Memory: every out-of-memory error becomes one line with the stage, the limit and what needs less."""

import errno
import resource
import subprocess
import sys

import numpy as np
import pytest

from topicflow.flows.planning.stages import STAGES
from topicflow.flows.running.stages import finished
from topicflow.tasks.errors import DataError, StageError
from topicflow.tasks.execution import memory
from topicflow.tasks.execution.memory import (
    NEEDS_LESS,
    check_address_space,
    memory_failure,
    naming_memory,
    out_of_memory,
)


class OutOfMemoryError(RuntimeError):
    """Named like torch's own error of a GPU."""


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


NO_MEMORY = {
    "MemoryError": MemoryError(),
    "Unable to allocate 1.00 TiB": MemoryError("Unable to allocate 1.00 TiB for an array"),
    "Cannot allocate memory": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "libtorch_cpu.so: failed to map segment": ImportError(
        "libtorch_cpu.so: failed to map segment from shared object"
    ),
    "x.so: failed to map": caused(
        OSError("Could not find/load 'x.so'"), OSError("x.so: failed to map segment")
    ),
    "can't start new thread": RuntimeError("can't start new thread"),
    "DefaultCPUAllocator": RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "CUDA out of memory": OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    "std::bad_alloc": RuntimeError("std::bad_alloc"),
    "while reading": caused(ValueError("reading failed"), MemoryError("while reading")),
}


@pytest.mark.parametrize(("limit", "is_memory"), [(resource.RLIM_INFINITY, False), (3 << 30, True)])
@pytest.mark.parametrize(
    "said", ["error return without exception set", "<fit> returned NULL without setting an exception"]
)
def test_native_code_that_fails_without_a_reason_lacks_memory_under_a_limit(
    monkeypatch: pytest.MonkeyPatch, said: str, limit: int, is_memory: bool
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert (memory_failure(SystemError(said)) == said) is is_memory
    assert memory_failure(SystemError("bad argument to internal function")) is None


@pytest.mark.parametrize(("said", "error"), NO_MEMORY.items(), ids=NO_MEMORY)
def test_every_way_of_saying_it_becomes_one_line(said: str, error: Exception) -> None:
    with pytest.raises(StageError) as raised, naming_memory("cluster"):
        raise error
    line = str(raised.value)
    assert line.startswith(f"cluster: out of memory ({'' if error.args else 'MemoryError'}")
    assert said in line
    assert line.endswith(f"; what needs less: {NEEDS_LESS['cluster']}, or fewer documents (load.limit)")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'setfit'"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("out of memory"),  # a text that a user wrote
        RuntimeError("shapes do not match"),
    ],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert memory_failure(error) is None
    with pytest.raises(type(error)), naming_memory("cluster"):
        raise error


def test_our_own_error_caused_by_it_is_not_changed() -> None:
    with pytest.raises(StageError, match=r"^said before$"), naming_memory("cluster"):
        raise caused(StageError("said before"), MemoryError())
    assert memory_failure(DataError("a column is missing")) is None


def test_numpy_and_the_stage_of_a_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Future:
        def result(self) -> object:
            return np.empty((1 << 24, 1 << 24))

    with pytest.raises(StageError, match=r"^neighbors: out of memory \(Unable to allocate 2\.00 PiB"):
        finished("neighbors", Future())  # type: ignore[arg-type]


def test_every_stage_has_a_remedy_that_its_config_knows() -> None:
    for stage in (
        *STAGES,
        "embed_all",
        "embed_against",
        "embed_again",
        "similar_vectors",
        "similar_texts",
        "index",
        "tune",
        "train",
    ):
        told = str(out_of_memory(stage, "x"))
        assert told.split("what needs less: ")[1] != "fewer documents (load.limit)", stage
    assert str(out_of_memory("publish", "x")).endswith("what needs less: fewer documents (load.limit)")


def test_the_limit_of_the_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 << 30, 3 << 30))
    assert "(x; the process may have 3.0 GiB, ulimit -v)" in str(out_of_memory("embed", "x"))
    check_address_space()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 30, 1 << 30))
    with pytest.raises(StageError, match=r"^run: the process may have 1\.0 GiB of memory \(ulimit -v\)"):
        check_address_space()


def test_an_abort_of_native_code_is_one_line_and_no_signal() -> None:
    code = """
import os, threading
from topicflow.tasks.execution.memory import aborts_in_one_line, naming_memory
with aborts_in_one_line(), naming_memory("cluster"):
    threading.Thread(target=os.abort).start()
    while True:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cluster: out of memory (a library aborted the process")
    assert len(done.stderr.splitlines()) == 1


def test_after_the_block_an_abort_is_the_systems_again() -> None:
    code = """
import os
from topicflow.tasks.execution.memory import aborts_in_one_line
with aborts_in_one_line():
    pass
os.abort()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (-6, "")


def test_an_abort_names_the_stage_that_began_last() -> None:
    with naming_memory("count"):
        assert memory._at == ["count"]
