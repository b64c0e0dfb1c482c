"""Blocks: work on blocks of rows by several threads; the size of a block does not depend on the number of threads."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")


def n_cores() -> int:
    """Return how many cores this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


COPIED_ALONE, COPIED_TOGETHER = 2**24, 2**22
"""Bytes of rows below which one thread copies them, and that a thread copies at a time otherwise."""


class Workers(Protocol):
    """Calls a function of (start, stop) for every block of rows; results in the order of the blocks."""

    def __call__(self, function: Callable[[int, int], Result], n_rows: int, block_rows: int) -> list[Result]:
        """Return the results of all blocks."""
        ...


def here(function: Callable[[int, int], Result], n_rows: int, block_rows: int) -> list[Result]:
    """Run the blocks one after another on this thread; the `Workers` for steps inside a block."""
    return [function(start, min(n_rows, start + block_rows)) for start in range(0, n_rows, block_rows)]


def bound(kernel: Callable[..., Result], *arrays: object) -> Callable[[int, int], Result]:
    """Return a function of (start, stop) that calls a kernel with these two and the arrays."""

    def block(start: int, stop: int) -> Result:
        return kernel(start, stop, *arrays)

    return block


@contextmanager
def threads(n_threads: int | None = None, initializer: Callable[[], None] | None = None) -> Iterator[Workers]:
    """Yield a runner of blocks on `n_threads` threads, default all cores; each thread calls the initializer first."""
    with ThreadPoolExecutor(n_threads or n_cores(), "rows", initializer) as pool:

        def run(function: Callable[[int, int], Result], n_rows: int, block_rows: int) -> list[Result]:
            starts = range(0, n_rows, block_rows)
            return list(pool.map(lambda start: function(start, min(n_rows, start + block_rows)), starts))

        yield run


@contextmanager
def workers(n_threads: int | None = None) -> Iterator[Workers]:
    """Yield a runner of blocks on `n_threads` threads, default all cores; torch uses one thread in each of them.

    Notes
    -----
    Torch's own threads wait for each other after each product: with products of 2 ms and other load on the machine that
    took ten times as long as the arithmetic. One product for each thread has no such waits, and numba kernels run in
    the same threads.
    """
    import torch

    before = torch.get_num_threads()

    def alone() -> None:
        torch.set_num_threads(1)  # for this thread

    try:
        with threads(n_threads, alone) as run:
            yield run
    finally:
        torch.set_num_threads(before)  # the default of threads that use torch for the first time


@contextmanager
def blas_workers(n_threads: int | None = None) -> Iterator[Workers]:
    """Yield a runner of blocks on `n_threads` threads, default all cores; numpy uses one thread in each of them."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), threads(n_threads) as run:
        yield run


def give_back(array: NDArray[Any]) -> None:
    """Give back the memory of the pages of a memory-mapped array; without effect for an array in memory.

    A later read takes them from the system's cache of files or from the file. `array` may be a part of what is mapped:
    only pages that lie wholly within it are given back.
    """
    base: Any = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or not array.flags.c_contiguous:
        return
    begin = array.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    last = min(begin + array.nbytes, len(base)) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        base.madvise(mmap.MADV_DONTNEED, first, last - first)


def gathered(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """Return rows (m, …) of an array.

    Few rows of a mapped file are read from the file: a page that is mapped for one of them may bring 2 MiB with it,
    which count as memory of this process.

    Raises
    ------
    OSError
        If the file ends before a row.
    IndexError
        If there is no such row.
    """
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    base: Any = array.base
    if isinstance(array, np.memmap) and isinstance(base, mmap.mmap) and 4 * len(rows) < len(array):
        n_bytes = array.nbytes // len(array)
        with Path(str(array.filename)).open("rb") as file:
            for place, row in enumerate(rows.tolist()):
                file.seek(array.offset + row * n_bytes)
                if file.readinto(found[place : place + 1].data) != n_bytes:
                    msg = f"{array.filename} ends before row {row}"
                    raise OSError(msg)
        return found
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(array):
        msg = f"rows {rows.min()} to {rows.max()} of {len(array)}"
        raise IndexError(msg)

    def copy(start: int, stop: int) -> None:
        part = slice(start, stop)
        np.take(array, rows[part], axis=0, out=found[part], mode="clip")  # "raise" copies once more

    if found.nbytes < COPIED_ALONE:
        copy(0, len(rows))
    else:
        with threads() as run:
            run(copy, len(rows), max(1, len(rows) * COPIED_TOGETHER // found.nbytes))
    give_back(array)
    return found
