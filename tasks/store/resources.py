"""Resources: the time and memory that a block of work used, and the threads that it may use."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Usage:
    """Wall seconds, peak resident bytes and peak bytes of GPU memory (0 if no GPU was used) of a finished block."""

    seconds: float = 0.0
    peak_rss_bytes: int = 0
    peak_gpu_bytes: int = 0


@contextlib.contextmanager
def measured() -> Iterator[Usage]:
    """Yield a Usage that is filled in at the end of the block.

    Notes
    -----
    On Linux the kernel's high-water mark is reset first, so that the peak is that of the block; on other systems it is
    the peak since the start of the process.
    """
    _reset_peak()
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    usage = Usage()
    yield usage
    usage.seconds = time.perf_counter() - started
    usage.peak_rss_bytes = peak_rss_bytes()
    if (cuda := _cuda()) is not None:
        usage.peak_gpu_bytes = int(cuda.max_memory_allocated())


@contextlib.contextmanager
def compiled_threads(n_threads: int | None) -> Iterator[None]:
    """Run numba's parallel loops in the block on at most `n_threads` threads; on all threads if None."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads or numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run torch in the block on one thread, if sums over rows must be the same for any number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_rss_bytes() -> int:
    """Return the process's peak resident memory in bytes, since the last reset if the kernel allows one."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


_peaks = [0]
"""The peaks before each reset of the kernel's high-water mark; one number, the highest."""


def highest_peak_bytes() -> int:
    """Return the process's peak resident memory in bytes since its start, whatever was measured meanwhile.

    `ru_maxrss` is too low in a process that measures stages, because each of them resets the mark.
    """
    return max(_peaks[0], peak_rss_bytes())


def _cuda() -> Any:  # noqa: ANN401  (a module of torch, which is not imported for this)
    """Return torch.cuda if this process has used a GPU with it, otherwise None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _reset_peak() -> None:
    _peaks[0] = highest_peak_bytes()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
