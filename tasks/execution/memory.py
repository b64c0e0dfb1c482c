"""Memory: an out-of-memory error -> one line: the stage, what was refused, what needs less memory.

Libraries report it in many ways: MemoryError, an ImportError of a shared library that could not be mapped, a thread
that could not be started, an abort. An abort ends the process: nothing is left to do but to say why.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import os
import re
import resource
import signal
from collections.abc import Iterator

from topicflow.tasks.errors import StageError, first_line

LEAST_BYTES = 2560 << 20
"""Address space that the libraries of a run need on two cores, 2.5 GiB; with torch and an encoder they need 3.9."""

FEWER = "fewer documents (load.limit)"

NEEDS_LESS = {
    "load": "a smaller runtime.chunk_rows",
    "embed": 'a smaller embed.model, embed.method = "static", or a smaller runtime.chunk_rows',
    "neighbors": "a smaller neighbors.fit_limit",
    "reduce": 'reduce.method = "pca", or a smaller neighbors.fit_limit',
    "map": "a smaller neighbors.fit_limit",
    "cluster": 'a smaller neighbors.fit_limit, or cluster.method = "kmeans"',
    "count": "count.max_features, a larger count.min_df, or count.ngram_range = [1, 1]",
    "label": "count.max_features, a larger count.min_df, or count.ngram_range = [1, 1]",
    "evaluate": "a smaller evaluate.sample",
    "report": "a smaller report.max_points",
    "similar_vectors": "a smaller deduplicate.max_partners",
    "similar_texts": "a smaller deduplicate.n_hashes, or a smaller deduplicate.jaccard_max_partners",
    "index": 'index.lexical = false, or index.method = "exact"',
    "tune": "a smaller tune.batch_size",
    "compare_methods": "a smaller setfit.batch_texts, or setfit.enabled = false",
    "train": "a smaller setfit.batch_texts, or setfit.enabled = false",
}
"""What makes each stage need less memory, in keys of the config."""

_SAID = (
    "cannot allocate memory", "can't allocate memory", "failed to map segment", "bad_alloc", "out of memory",
    "unable to allocate", "not enough memory", "can't start new thread",
)  # fmt: skip
"""What libraries say if there is no memory left, in lower case."""

_NULL = re.compile(r"without (exception set|setting an exception)")
"""What Python says if native code got no memory and did not report it; under a limit that is the likely reason."""


def memory_failure(error: BaseException) -> str | None:
    """Return what was refused if an error, or its cause, means that there is no memory left, otherwise None."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        said = first_line(current)
        if isinstance(current, MemoryError) or type(current).__name__ == "OutOfMemoryError":
            return said
        if isinstance(current, OSError) and current.errno == errno.ENOMEM:
            return said
        if isinstance(current, ImportError | OSError | RuntimeError) and any(
            each in said.lower() for each in _SAID
        ):
            return said
        if isinstance(current, SystemError) and _NULL.search(said) and _limit():
            return said
        current = current.__cause__ or current.__context__
    return None


def out_of_memory(stage: str, refused: str) -> StageError:
    """Return the error that says which stage ran out of memory, what was refused, and what would need less."""
    return StageError(f"{stage}: out of memory ({refused}{_limit()}); what needs less: {_less(stage)}")


@contextlib.contextmanager
def naming_memory(stage: str) -> Iterator[None]:
    """Raise a one-line StageError if the block runs out of memory in a stage."""
    _at[0] = stage
    try:
        yield
    except Exception as error:
        if isinstance(error, StageError) or (refused := memory_failure(error)) is None:
            raise
        raise out_of_memory(stage, refused) from error


def check_address_space() -> None:
    """Raise StageError if the process may not use the memory that the libraries of a run need.

    Notes
    -----
    If a limit is set, OpenBLAS is loaded first: without memory it tries again in an endless loop and keeps Python's
    lock, so that only a kill ends the process.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    if limit < LEAST_BYTES:
        msg = (
            f"run: the process may have {_gib(limit)} of memory (ulimit -v), the libraries of a run need "
            f"{_gib(LEAST_BYTES)}, and with an encoder about 4 GiB; raise the limit"
        )
        raise StageError(msg)
    importlib.import_module("scipy.linalg")


@contextlib.contextmanager
def aborts_in_one_line() -> Iterator[None]:
    """If native code aborts the process in the block, say in which stage, and exit with 1.

    polars, torch and OpenMP abort if there is no memory left, without an exception. The handler runs in C's own signal
    context, because Python's handler would never be called.
    """
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(_say_abort)
    before = libc.signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        libc.signal(signal.SIGABRT, before)


_at = ["run"]
"""The stage that began last."""


def _say_abort(_number: int) -> None:
    said = out_of_memory(_at[0], "a library aborted the process, usually because memory ran out")
    os.write(2, f"error: {said}\n".encode())
    os._exit(1)


def _less(stage: str) -> str:
    name = next((each for each in NEEDS_LESS if stage.startswith(each)), "")
    name = "embed" if "embed" in stage else name
    return f"{NEEDS_LESS[name]}, or {FEWER}" if name else FEWER


def _limit() -> str:
    """Return the memory limit of the process as text, empty if it has none."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return "" if limit == resource.RLIM_INFINITY else f"; the process may have {_gib(limit)}, ulimit -v"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.1f} GiB"
