"""CUDA layout: fuzzy graph and start -> positions (n, n_components) float32, computed by an NVIDIA GPU.

A thread moves a point against the positions of the previous epoch, as `parallel_layout` does on a CPU: the result does
not depend on an order, and one device always gives the same bits. Different devices round differently.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import cuda, float32, uint32, uint64
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray

from topicflow.tasks.core.layout.parallel_layout import (
    LEAST,
    LIMIT,
    NEAR,
    NEGATIVE_SAMPLES,
    FloatArray,
    curve_parameters,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

THREADS = 128
"""Points in a block of threads."""


def cuda_layout(
    graph: csr_matrix, start: FloatArray, min_dist: float, n_epochs: int, seed: int
) -> FloatArray:
    """Return the layout (n, n_components) float32 of a fuzzy graph from a start; arguments as in `parallel_layout`.

    Notes
    -----
    The points that push are drawn from all points by a hash of seed, epoch and edge, not from pools: the positions fit
    into the device's cache. Points are sorted by decreasing number of neighbours, so that the threads of a warp end
    together and the longest rows begin first. Memory is 8 bytes for each edge and two sets of positions. A kernel is
    compiled for each number of dimensions, in a second, and cached on disk.

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithm 5. The hash is Wellons' lowbias32.
    """
    if not graph.nnz:
        return np.ascontiguousarray(start, np.float32).copy()
    a, b = (np.float32(value) for value in curve_parameters(min_dist))
    order = np.argsort(-np.diff(graph.indptr), kind="stable").astype(np.int32)
    rates = (graph.data / graph.data.max()).astype(np.float32)
    edges = [cuda.to_device(part) for part in (order, graph.indptr.astype(np.int64), graph.indices, rates)]
    old = cuda.to_device(np.ascontiguousarray(start, np.float32))
    new = cuda.device_array_like(old)
    move = _move(start.shape[1])[-(-len(start) // THREADS), THREADS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)  # with few points the device is partly idle
        for epoch in range(n_epochs):
            salt = np.uint32(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
            move(old, new, *edges, np.float32(epoch), np.float32(1.0 - epoch / n_epochs), a, b, salt)
            old, new = new, old
    result: FloatArray = old.copy_to_host()
    return result


@cache
def what_is_missing() -> str | None:
    """Return why `cuda_layout` cannot run here, None if it can; tries a layout of two points."""
    from scipy.sparse import csr_matrix

    pair = csr_matrix(np.array([[0, 1], [1, 0]], np.float32))
    try:
        cuda_layout(pair, np.eye(2, dtype=np.float32), 0.0, 1, 0)
    except Exception as error:  # noqa: BLE001  (drivers, toolkits and numba raise many kinds of errors)
        return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
    return None


@cuda.jit(device=True, inline=True)  # type: ignore[untyped-decorator]
def _limited(move: np.float32) -> np.float32:
    return min(float32(LIMIT), max(float32(-LIMIT), move))


@cuda.jit(device=True, inline=True)  # type: ignore[untyped-decorator]
def _mixed(x: np.uint32) -> np.uint32:
    """Return 32 well mixed bits of 32; products have 64 bits, and `uint32` keeps the lower half."""
    x = uint32(uint64(x ^ (x >> uint32(16))) * uint64(0x7FEB352D))
    x = uint32(uint64(x ^ (x >> uint32(15))) * uint64(0x846CA68B))
    return uint32(x ^ (x >> uint32(16)))  # type: ignore[no-any-return]


@cuda.jit(device=True, inline=True)  # type: ignore[untyped-decorator]
def _drawn(edge: int, number: int, salt: np.uint32, n: int) -> int:
    """Return which of n points is the `number`-th to push after an edge."""
    mixed = _mixed(uint32(_mixed(uint32(edge * NEGATIVE_SAMPLES + number)) ^ salt))
    return int((uint64(mixed) * uint64(n)) >> uint64(32))


def _moves(dim: int) -> tuple[Any, Any]:
    """Return two functions for `dim` dimensions: pull a point towards another, and add up pushes away from others."""

    @cuda.jit(device=True, inline=True)  # type: ignore[untyped-decorator]
    def pull(
        here: FloatArray, old: FloatArray, j: int, step: np.float32, a: np.float32, b: np.float32
    ) -> None:
        squared = float32(LEAST)
        for d in range(dim):
            gap = here[d] - old[j, d]
            squared += gap * gap
        raised = a * squared**b
        factor = float32(-2.0) * b * raised / (squared * (raised + float32(1.0)))
        for d in range(dim):
            here[d] += step * _limited(factor * (here[d] - old[j, d]))

    @cuda.jit(device=True, inline=True)  # type: ignore[untyped-decorator]
    def push(
        here: FloatArray, total: FloatArray, old: FloatArray, j: int, a: np.float32, b: np.float32
    ) -> None:
        squared = float32(0.0)
        for d in range(dim):
            gap = here[d] - old[j, d]
            squared += gap * gap
        factor = float32(2.0) * b / ((float32(NEAR) + squared) * (a * squared**b + float32(1.0)))
        for d in range(dim):
            total[d] += _limited(factor * (here[d] - old[j, d]))

    return pull, push


@cache
def _move(dim: int) -> Any:  # noqa: ANN401, C901  (a kernel that is read from top to bottom)
    """Return the kernel that moves all points once, from `old` into `new`, in `dim` dimensions."""
    pull, push = _moves(dim)

    @cuda.jit(fastmath=True, cache=True)  # type: ignore[untyped-decorator]
    def move(
        old: FloatArray,
        new: FloatArray,
        order: NDArray[np.int32],
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        rates: FloatArray,
        epoch: np.float32,
        step: np.float32,
        a: np.float32,
        b: np.float32,
        salt: np.uint32,
    ) -> None:
        thread = cuda.grid(1)
        if thread >= order.size:
            return
        i, before, after = order[thread], epoch, epoch + float32(1.0)
        here, total = cuda.local.array(dim, float32), cuda.local.array(dim, float32)
        for d in range(dim):
            here[d] = old[i, d]
        for edge in range(indptr[i], indptr[i + 1]):
            if int(after * rates[edge]) == int(before * rates[edge]):
                continue
            pull(here, old, indices[edge], step, a, b)
            for d in range(dim):
                total[d] = float32(0.0)
            for number in range(NEGATIVE_SAMPLES):
                other = _drawn(edge, number, salt, order.size)
                if other != i:
                    push(here, total, old, other, a, b)
            for d in range(dim):
                here[d] += step * total[d]
        for d in range(dim):
            new[i, d] = here[d]

    return move
