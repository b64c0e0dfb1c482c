"""Layout: fuzzy graph and start -> positions (n, n_components) float32 by UMAP's objective, on all cores.

Every point of an epoch is moved against the positions of the epoch before, and random numbers are a function of
seed, epoch and block of points, so that the result is the same to the last bit on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.core.blocks import bound, threads
from tasks.core.powers import power

FloatArray = NDArray[np.float32]

NEGATIVE_SAMPLES = 5
"""Points that a point is pushed from for each one that it is pulled to (umap-learn's negative_sample_rate)."""

BLOCK_ROWS = 256
"""Points that draw from one pool."""

TASK_ROWS = 16 * BLOCK_ROWS
"""Points that a thread moves at a time: 25 turns at 100,000 points."""

POOL = 1024
"""Random points of a pool. A point is pushed by neighbours in the pool, from a random place on, which are read one
after another and in vectors; drawn one by one from all points they cost five times as much."""

EXTENT = 10.0
"""Widest side of the start, as umap-learn scales it."""

LIMIT = np.float32(4.0)
"""Largest move along one dimension that one point causes, before the step (umap-learn's clip)."""

LEAST = np.float32(1e-12)
"""Added to a squared distance that something is divided by."""

STRIDE = np.uint64(0x9E3779B97F4A7C15)
"""What a random number's counter goes up by (splitmix64's)."""

NEAR = np.float32(0.001)
"""Added to a squared distance, so that near points push with a finite force (umap-learn's)."""


def parallel_layout(
    graph: csr_matrix,
    start: FloatArray,
    min_dist: float,
    n_epochs: int,
    seed: int,
    n_threads: int | None = None,
) -> FloatArray:
    """Return the layout (n, n_components) float32 of a fuzzy graph from a start.

    Parameters
    ----------
    graph : sparse matrix of shape (n, n), float32
        Symmetric weights in (0, 1], as `fuzzy_graph` gives them.
    start : ndarray of shape (n, n_components), float32
        First positions.
    min_dist : float
        Least distance of points.
    n_epochs : int
        Passes over the graph.
    seed : int
        Seed of the points that push.
    n_threads : int, optional
        Threads; all cores if None. Their number changes no bit of the result.

    Notes
    -----
    O(n_epochs nnz NEGATIVE_SAMPLES n_components) time on all cores; memory of the graph and two sets of positions.
    In an epoch a point follows its neighbours one after another, and after each gives way to NEGATIVE_SAMPLES points at
    once. Giving way at the end of the epoch to all of them was a third quicker and made a third more topics, of lower
    coherence (tests/benchmarks).
    An edge of weight w takes part in the share w / max(w) of the epochs, evenly spaced, as in umap-learn. There each
    of its two entries moves both its ends; here each entry moves its own end once, half the pull for the same push,
    which left fewer outliers at equal NMI (tests/benchmarks).

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithm 5; updates against the epoch before are Jacobi's
    instead of Gauss and Seidel's.
    """
    a, b = curve_parameters(min_dist)
    rates = graph.data / max(float(graph.data.max(initial=0.0)), np.finfo(np.float32).tiny)
    old, new = np.ascontiguousarray(start, np.float32).copy(), np.empty(start.shape, np.float32)
    edges = (graph.indptr.astype(np.int64), graph.indices, rates.astype(np.float32))
    with threads(n_threads) as run:
        for epoch in range(n_epochs):
            settings = (epoch, np.float32(1.0 - epoch / n_epochs), np.float32(a), np.float32(b), seed)
            run(bound(_move, old, new, *edges, *settings), len(old), TASK_ROWS)
            old, new = new, old
    return old


def curve_parameters(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """Return a and b of 1 / (1 + a d^2b), fitted to a curve that is 1 up to `min_dist` and then falls by `spread`.

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), section 4; the grid and the fit are umap-learn's.
    """
    from scipy.optimize import curve_fit

    distances = np.linspace(0.0, 3.0 * spread, 300)
    wanted = np.where(distances < min_dist, 1.0, np.exp(-(distances - min_dist) / spread))
    (a, b), _ = curve_fit(lambda x, a, b: 1.0 / (1.0 + a * x ** (2.0 * b)), distances, wanted)
    return float(a), float(b)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _mixed(x: np.uint64) -> np.uint64:
    """Return 64 well mixed bits of a counter (splitmix64's finalizer)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(inline="always")  # type: ignore[untyped-decorator]
def _drawn(state: np.uint64, n: int) -> np.int64:
    """Return one of n numbers by a counter's upper bits."""
    return np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _move(
    first: int,
    last: int,
    old: FloatArray,
    new: FloatArray,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    rates: FloatArray,
    epoch: int,
    step: np.float32,
    a: np.float32,
    b: np.float32,
    seed: int,
) -> None:
    """Move the points first..last once, from `old` into `new`; `first` is a multiple of BLOCK_ROWS."""
    dim = old.shape[1]
    drawn, pool = np.empty(POOL, np.int32), np.empty((dim, POOL), np.float32)
    scratch = np.empty((dim + 1, NEGATIVE_SAMPLES), np.float32)
    before, after = np.float32(epoch), np.float32(epoch + 1)
    state = np.uint64(0)
    for i in range(first, last):
        if i % BLOCK_ROWS == 0:
            state = _mixed(_mixed(np.uint64(seed) + (np.uint64(epoch) << np.uint64(32))) + np.uint64(i))
            _fill_pool(old, state, drawn, pool)
            state += np.uint64(POOL) * STRIDE
        for d in range(dim):
            new[i, d] = old[i, d]
        for at in range(indptr[i], indptr[i + 1]):
            if np.int32(after * rates[at]) == np.int32(before * rates[at]):
                continue
            _pull(new, i, old, indices[at], step, a, b)
            state += STRIDE
            begin = _drawn(state, POOL - NEGATIVE_SAMPLES + 1)
            _push(new, i, pool, drawn, begin, NEGATIVE_SAMPLES, scratch, step, a, b)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill_pool(old: FloatArray, state: np.uint64, drawn: NDArray[np.int32], pool: FloatArray) -> None:
    """Write POOL random points and their positions (n_components, POOL)."""
    for at in range(len(drawn)):
        state += STRIDE
        drawn[at] = _drawn(state, len(old))
        for d in range(old.shape[1]):
            pool[d, at] = old[drawn[at], d]


@njit(fastmath=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _limited(move: np.float32) -> np.float32:
    return min(LIMIT, max(-LIMIT, move))


@njit(fastmath=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _pull(
    new: FloatArray, i: int, old: FloatArray, j: int, step: np.float32, a: np.float32, b: np.float32
) -> None:
    """Move a point towards its neighbour by the gradient of log(1 / (1 + a d^2b)); equal points stay."""
    squared = LEAST
    for d in range(new.shape[1]):
        gap = new[i, d] - old[j, d]
        squared += gap * gap
    raised = a * power(squared, b)
    factor = np.float32(-2.0) * b * raised / (squared * (raised + np.float32(1.0)))
    for d in range(new.shape[1]):
        new[i, d] += step * _limited(factor * (new[i, d] - old[j, d]))


@njit(fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _push(
    new: FloatArray,
    i: int,
    pool: FloatArray,
    drawn: NDArray[np.int32],
    begin: int,
    m: int,
    scratch: FloatArray,
    step: np.float32,
    a: np.float32,
    b: np.float32,
) -> None:
    """Move point i away from m of the pool, at once, by the gradient of log(1 - 1 / (1 + a d^2b)); itself left out.

    Loops run over the others, so that they become vectors; numpy's error model because a check for a division by zero
    would keep them from it, and bits of `begin` cut off so that the compiler knows it is not negative.
    """
    dim, begin = pool.shape[0], begin & (POOL - 1)
    for j in range(m):
        scratch[dim, j] = np.float32(0.0)
    for d in range(dim):
        at = new[i, d]
        for j in range(m):
            gap = at - pool[d, begin + j]
            scratch[d, j] = gap
            scratch[dim, j] += gap * gap
    for j in range(m):
        squared = scratch[dim, j]
        factor = np.float32(2.0) * b / ((NEAR + squared) * (a * power(squared, b) + np.float32(1.0)))
        scratch[dim, j] = factor if drawn[begin + j] != i else np.float32(0.0)
    for d in range(dim):
        total = np.float32(0.0)
        for j in range(m):
            total += _limited(scratch[dim, j] * scratch[d, j])
        new[i, d] += step * total
