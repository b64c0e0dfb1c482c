"""Layout: fuzzy graph and start -> positions (n, n_components) float32 by UMAP's objective, on all cores.

Every point of an epoch is moved against the positions of the epoch before, and random numbers are a function of
seed, epoch and point, so that the result is the same to the last bit on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

FloatArray = NDArray[np.float32]

NEGATIVE_SAMPLES = 5
"""Points that a point is pushed from for each one that it is pulled to (umap-learn's negative_sample_rate)."""

EXTENT = 10.0
"""Widest side of the start, as umap-learn scales it."""

LIMIT = np.float32(4.0)
"""Largest move along one dimension that one point causes, before the step (umap-learn's clip)."""

NEAR = np.float32(0.001)
"""Added to a squared distance, so that near points push with a finite force (umap-learn's)."""


def parallel_layout(
    graph: csr_matrix, start: FloatArray, min_dist: float, n_epochs: int, seed: int
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

    Notes
    -----
    O(n_epochs nnz NEGATIVE_SAMPLES n_components) time on all cores; memory of the graph and two sets of positions.
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
    for epoch in range(n_epochs):
        step = np.float32(1.0 - epoch / n_epochs)
        _move(old, new, graph.indptr, graph.indices, rates, epoch, step, np.float32(a), np.float32(b), seed)
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


@njit(parallel=True, fastmath=True, cache=True)  # type: ignore[untyped-decorator]
def _move(
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
    """Move every point once, from `old` into `new`."""
    n, dim = old.shape
    for i in prange(n):
        for d in range(dim):
            new[i, d] = old[i, d]
        state = _mixed(_mixed(np.uint64(seed) + (np.uint64(epoch) << np.uint64(32))) + np.uint64(i))
        for at in range(indptr[i], indptr[i + 1]):
            if np.int64((epoch + 1) * rates[at]) == np.int64(epoch * rates[at]):
                continue
            _pull(new, i, old, indices[at], step, a, b)
            for _ in range(NEGATIVE_SAMPLES):
                state += np.uint64(0x9E3779B97F4A7C15)
                j = np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
                if j != i:
                    _push(new, i, old, j, step, a, b)


@njit(fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _pull(
    new: FloatArray, i: int, old: FloatArray, j: int, step: np.float32, a: np.float32, b: np.float32
) -> None:
    """Move a point towards its neighbour by the gradient of log(1 / (1 + a d^2b)); equal points stay."""
    squared = _squared_distance(new, i, old, j)
    if squared > 0.0:
        power = squared**b
        factor = np.float32(-2.0) * a * b * power / (squared * (a * power + np.float32(1.0)))
        _move_along(new, i, old, j, step, factor)


@njit(fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _push(
    new: FloatArray, i: int, old: FloatArray, j: int, step: np.float32, a: np.float32, b: np.float32
) -> None:
    """Move a point away from another by the gradient of log(1 - 1 / (1 + a d^2b)); equal points stay."""
    squared = _squared_distance(new, i, old, j)
    if squared > 0.0:
        factor = np.float32(2.0) * b / ((NEAR + squared) * (a * squared**b + np.float32(1.0)))
        _move_along(new, i, old, j, step, factor)


@njit(fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _squared_distance(new: FloatArray, i: int, old: FloatArray, j: int) -> np.float32:
    squared = np.float32(0.0)
    for d in range(new.shape[1]):
        gap = new[i, d] - old[j, d]
        squared += gap * gap
    return squared


@njit(fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _move_along(
    new: FloatArray, i: int, old: FloatArray, j: int, step: np.float32, factor: np.float32
) -> None:
    """Move a point by `factor` times its gap to another, at most LIMIT along a dimension, times the step."""
    for d in range(new.shape[1]):
        new[i, d] += step * min(LIMIT, max(-LIMIT, factor * (new[i, d] - old[j, d])))
