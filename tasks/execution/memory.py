"""Memory: an error that means that there was none left -> one line: the stage, what was refused, what needs less.

Libraries say it in many ways: MemoryError, an ImportError whose shared object could not be mapped, a thread that could
not be started, an abort. The last ends the process where it stands: all that is left is to say why.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import os
import resource
import signal
from collections.abc import Iterator

from topicflow.tasks.errors import StageError, first_line

LEAST_BYTES = 2560 << 20
"""Address space that a run's libraries take on two cores, 2.5 GiB; with torch and an encoder they take 3.9."""

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
    "pair": "a smaller deduplicate.max_partners",
    "shingle": "a smaller deduplicate.n_hashes, or a smaller deduplicate.jaccard_max_partners",
    "index": 'index.lexical = false, or index.method = "exact"',
    "tune": "a smaller tune.batch_size",
    "contest": "a smaller setfit.batch_texts, or setfit.enabled = false",
    "train": "a smaller setfit.batch_texts, or setfit.enabled = false",
}
"""What makes each stage need less memory, by the config's own keys."""

_SAID = (
    "cannot allocate memory", "can't allocate memory", "failed to map segment", "bad_alloc", "out of memory",
    "unable to allocate", "not enough memory", "can't start new thread",
)  # fmt: skip
"""What libraries say when there is none left, in small letters."""


def memory_failure(error: BaseException) -> str | None:
    """Return what an error says was refused for want of memory, or None where it, or its cause, is another."""
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
        current = current.__cause__ or current.__context__
    return None


def out_of_memory(stage: str, refused: str) -> StageError:
    """Return the error that says at which stage memory ran out, what was refused, and what would need less."""
    return StageError(f"{stage}: out of memory ({refused}{_limit()}); what needs less: {_less(stage)}")


@contextlib.contextmanager
def naming_memory(stage: str) -> Iterator[None]:
    """Raise StageError in one line where the block runs out of memory at a stage."""
    _at[0] = stage
    try:
        yield
    except Exception as error:
        if isinstance(error, StageError) or (refused := memory_failure(error)) is None:
            raise
        raise out_of_memory(stage, refused) from error


def check_address_space() -> None:
    """Raise StageError where the process may not have the memory that a run's libraries take.

    Notes
    -----
    Where a limit is set, OpenBLAS is loaded first: where it gets no memory it tries again for ever and holds Python's
    lock meanwhile, so that nothing can end the process but a kill.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    if limit < LEAST_BYTES:
        msg = (
            f"run: the process may have {_gib(limit)} of memory (ulimit -v), the libraries of a run take "
            f"{_gib(LEAST_BYTES)} and with an encoder some 4 GiB; raise the limit"
        )
        raise StageError(msg)
    importlib.import_module("scipy.linalg")


@contextlib.contextmanager
def aborts_in_one_line() -> Iterator[None]:
    """Say at which stage native code aborted the process inside the block, and exit with 1.

    polars, torch and OpenMP abort where memory runs out, which no exception tells. The handler runs in C's own signal
    context, because Python's would never have its turn.
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
"""The stage that was begun last."""


def _say_abort(_number: int) -> None:
    said = out_of_memory(_at[0], "a library aborted the process, most often for want of it")
    os.write(2, f"error: {said}\n".encode())
    os._exit(1)


def _less(stage: str) -> str:
    name = next((each for each in NEEDS_LESS if stage.startswith(each)), "")
    name = "embed" if "embed" in stage else name
    return f"{NEEDS_LESS[name]}, or {FEWER}" if name else FEWER


def _limit() -> str:
    """Return the limit under which the process runs, nothing where it has none."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return "" if limit == resource.RLIM_INFINITY else f"; the process may have {_gib(limit)}, ulimit -v"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.1f} GiB"
