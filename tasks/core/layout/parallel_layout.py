"""Layout: fuzzy graph and start -> positions (n, n_components) float32 by UMAP's objective, on all cores.

An epoch moves every point against the positions of the previous epoch, and random numbers depend only on the seed, the
epoch and the block of points, so that the result is the same, bit for bit, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.blocks import threads
from topicflow.tasks.core.vectors.vector_pow import power

FloatArray = NDArray[np.float32]

NEGATIVE_SAMPLES = 5
"""Points that push a point away for each point that pulls it (umap-learn's negative_sample_rate)."""

BLOCK_ROWS = 256
"""Points that share one pool."""

TASK_ROWS = 16 * BLOCK_ROWS
"""Points that a thread moves at a time: 25 tasks for 100,000 points."""

POOL = 1024
"""Random points in a pool. The points that push a point are consecutive in the pool, from a random start, so they are
read in order. Drawn one by one from all points they took five times as long."""

LANES = 64
"""Points that are moved in parallel, each along its own neighbours, with vector arithmetic; the moves of a single point
depend on each other. From 32 on the compiler vectorises the loop; 16 were no faster than one point at a time."""

VECTOR = 16
"""The number of active lanes is a multiple of this: a vector of float32 on the widest processors."""

EXTENT = 10.0
"""Largest extent of the start, as in umap-learn."""

LIMIT = np.float32(4.0)
"""Maximum move along one dimension that one point causes, before the step size (umap-learn's clip)."""

LEAST = np.float32(1e-12)
"""Added to a squared distance before a division by it."""

STRIDE = np.uint64(0x9E3779B97F4A7C15)
"""Increment of a random number's counter (splitmix64's)."""

NEAR = np.float32(0.001)
"""Added to a squared distance, so that near points push with a finite force (umap-learn's value)."""


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
        Symmetric weights in (0, 1], the result of `fuzzy_graph`.
    start : ndarray of shape (n, n_components), float32
        First positions.
    min_dist : float
        Minimum distance between points.
    n_epochs : int
        Passes over the graph.
    seed : int
        Seed of the points that push.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.

    Notes
    -----
    O(n_epochs nnz NEGATIVE_SAMPLES n_components) time on all cores; memory for the graph and two sets of positions.
    In an epoch a point moves towards its neighbours one after another, and after each neighbour away from
    NEGATIVE_SAMPLES points at once. Moving away from all of them at the end of the epoch was a third faster and gave a
    third more topics with lower coherence (tests/benchmarks). Points of a block move in parallel in vectors, LANES at a
    time; all of them read the previous epoch, so their order does not matter.
    An edge of weight w is used in the share w / max(w) of the epochs, evenly spaced, as in umap-learn. There each of
    its two entries moves both ends; here each entry moves its own end once. That is half the pull for the same push and
    left fewer outliers at equal NMI (tests/benchmarks).

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithm 5. Updates against the previous epoch are Jacobi's
    method, instead of Gauss and Seidel's.
    """
    a, b = curve_parameters(min_dist)
    rates = graph.data / max(float(graph.data.max(initial=0.0)), np.finfo(np.float32).tiny)
    old, new = np.ascontiguousarray(start, np.float32).copy(), np.empty(start.shape, np.float32)
    edges = (graph.indptr.astype(np.int64), graph.indices, rates.astype(np.float32))
    axes = tuple(range(start.shape[1]))
    room = _Room.of(edges[0], len(axes))
    with threads(n_threads) as run:
        for epoch in range(n_epochs):
            settings = (epoch, np.float32(1.0 - epoch / n_epochs), np.float32(a), np.float32(b), seed, axes)
            run(_task(room, old, new, *edges, *settings), len(old), TASK_ROWS)
            old, new = new, old
    return old


def _task(room: _Room, *given: object) -> Callable[[int, int], None]:
    """Return a function of (first, last) that moves these points, each time in arrays of its own."""

    def task(first: int, last: int) -> None:
        _move(first, last, *given, *room.arrays())

    return task


def curve_parameters(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """Return a and b of 1 / (1 + a d^2b), fitted to a curve that is 1 up to `min_dist` and then decays by `spread`.

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
    """Return one of n numbers, chosen by a counter's upper bits."""
    return np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


class _Lanes(NamedTuple):
    """State of the points that are moved in parallel, with an entry for each lane.

    `here`, `there` and `total` (n_components, LANES) are the points, the points that move them, and the sum of pushes.
    `live` is 1 while a point still has neighbours, `apart` is 1 if the pushing point is not the point itself. `places`
    are the rows to read, `states` the counters of the random numbers.
    """

    here: FloatArray
    there: FloatArray
    total: FloatArray
    live: FloatArray
    apart: FloatArray
    places: NDArray[np.int64]
    states: NDArray[np.uint64]


class _Active(NamedTuple):
    """The neighbours that pull the points of a block in an epoch, row by row, and where each row begins and ends."""

    neighbors: NDArray[np.int32]
    bounds: NDArray[np.int64]


class _Pool(NamedTuple):
    """Random points (POOL,) and their positions (POOL, n_components)."""

    drawn: NDArray[np.int32]
    positions: FloatArray


class _Sorting(NamedTuple):
    """The points of a block in order (BLOCK_ROWS,), and a place for each number of edges."""

    order: NDArray[np.int64]
    place: NDArray[np.int64]


class _Room(NamedTuple):
    """Sizes of the arrays in which a kernel works: edges of a block and of a point, and dimensions.

    The arrays come from numpy, because each function of numpy inside a kernel is compiled with it.
    """

    block_edges: int
    point_edges: int
    dim: int

    @classmethod
    def of(cls, indptr: NDArray[np.int64], dim: int) -> _Room:
        """Return the room for the graph whose point i has the edges `indptr[i]` to `indptr[i + 1]`."""
        blocks = indptr[np.append(np.arange(0, len(indptr) - 1, BLOCK_ROWS), len(indptr) - 1)]
        return cls(int(np.diff(blocks).max(initial=0)), int(np.diff(indptr).max(initial=0)), dim)

    def arrays(self) -> tuple[_Pool, _Active, _Sorting, _Lanes]:
        """Return new arrays for one thread."""
        pool = _Pool(np.empty(POOL, np.int32), np.empty((POOL, self.dim), np.float32))
        active = _Active(np.empty(self.block_edges + 1, np.int32), np.empty(BLOCK_ROWS + 1, np.int64))
        sorting = _Sorting(np.empty(BLOCK_ROWS, np.int64), np.empty(self.point_edges + 2, np.int64))
        here, there, total = np.zeros((3, self.dim, LANES), np.float32)
        live, apart = np.zeros((2, LANES), np.float32)
        places, states = np.zeros(LANES, np.int64), np.zeros(LANES, np.uint64)
        return pool, active, sorting, _Lanes(here, there, total, live, apart, places, states)


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
    axes: tuple[int, ...],
    pool: _Pool,
    active: _Active,
    sorting: _Sorting,
    lanes: _Lanes,
) -> None:
    """Move the points first..last once, from `old` into `new`; `first` is a multiple of BLOCK_ROWS.

    `axes` has an entry for each dimension: the compiler knows their number and unrolls the loops over them. The last
    four arguments are `_Room.arrays`.
    """
    for start in range(first, last, BLOCK_ROWS):
        n = min(last, start + BLOCK_ROWS) - start
        state = _mixed(_mixed(np.uint64(seed) + (np.uint64(epoch) << np.uint64(32))) + np.uint64(start))
        _fill_pool(old, state, pool)
        state += np.uint64(POOL) * STRIDE
        _list_active(start, n, indptr, indices, rates, epoch, active)
        _order_by_edges(active.bounds, n, sorting)
        for group in range(0, n, LANES):
            rows = sorting.order[group : min(group + LANES, n)]
            _move_lanes(start, rows, old, new, active, pool, lanes, state, step, a, b, axes)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill_pool(old: FloatArray, state: np.uint64, pool: _Pool) -> None:
    """Draw the points of a pool."""
    for at in range(POOL):
        state += STRIDE
        j = _drawn(state, len(old))
        pool.drawn[at] = j
        for d in range(old.shape[1]):
            pool.positions[at, d] = old[j, d]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _list_active(
    start: int,
    n: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    rates: FloatArray,
    epoch: int,
    active: _Active,
) -> None:
    """Write the neighbours of n points from `start` that are active in this epoch, without a branch in the loop."""
    before, after = np.float32(epoch), np.float32(epoch + 1)
    n_active = np.int64(0)
    for i in range(n):
        active.bounds[i] = n_active
        for at in range(indptr[start + i], indptr[start + i + 1]):
            active.neighbors[n_active] = indices[at]
            n_active += np.int64(np.int32(after * rates[at]) != np.int32(before * rates[at]))
    active.bounds[n] = n_active


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _order_by_edges(bounds: NDArray[np.int64], n: int, sorting: _Sorting) -> None:
    """Sort n points by decreasing number of active edges, so that the points of a group end at about the same time."""
    order, place, most = sorting.order, sorting.place, np.int64(0)
    for i in range(n):
        most = max(most, bounds[i + 1] - bounds[i])
    for fewer in range(most + 2):
        place[fewer] = 0
    for i in range(n):
        place[most - (bounds[i + 1] - bounds[i]) + 1] += 1
    for fewer in range(most + 1):
        place[fewer + 1] += place[fewer]
    for i in range(n):
        fewer = most - (bounds[i + 1] - bounds[i])
        order[place[fewer]] = i
        place[fewer] += 1


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _move_lanes(
    start: int,
    rows: NDArray[np.int64],
    old: FloatArray,
    new: FloatArray,
    active: _Active,
    pool: _Pool,
    lanes: _Lanes,
    state: np.uint64,
    step: np.float32,
    a: np.float32,
    b: np.float32,
    axes: tuple[int, ...],
) -> None:
    """Move the points start + rows, at most LANES and sorted by active edges (most first), from `old` into `new`.

    Turn t pulls all points that have at least t active edges along their t-th edge; `n` points are left.
    """
    n, bounds, places = len(rows), active.bounds, lanes.places
    for lane in range(LANES):
        lanes.live[lane] = lane < n
    for lane in range(n):
        places[lane] = start + rows[lane]
        lanes.states[lane] = _mixed(state + np.uint64(rows[lane]))
    _read(old, places, n, lanes.here, axes)
    for turn in range(bounds[rows[0] + 1] - bounds[rows[0]]):
        while bounds[rows[n - 1] + 1] - bounds[rows[n - 1]] <= turn:
            n -= 1
            lanes.live[n] = np.float32(0.0)
        width = (n + VECTOR - 1) // VECTOR * VECTOR
        for lane in range(n):
            places[lane] = active.neighbors[bounds[rows[lane]] + turn]
        _read(old, places, n, lanes.there, axes)
        _pull(width, lanes, step, a, b, axes)
        for lane in range(n):
            lanes.states[lane] += STRIDE
            places[lane] = _drawn(lanes.states[lane], POOL - NEGATIVE_SAMPLES + 1)
        _give_way(start, rows, n, width, pool, lanes, step, a, b, axes)
    for lane in range(len(rows)):
        for d in range(len(axes)):
            new[start + rows[lane], d] = lanes.here[d, lane]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _read(
    positions: FloatArray,
    places: NDArray[np.int64],
    n: int,
    into: FloatArray,
    axes: tuple[int, ...],
) -> None:
    """Write the positions (n_points, n_components) at n places into as many lanes (n_components, LANES)."""
    for lane in range(n):
        for d in range(len(axes)):
            into[d, lane] = positions[places[lane], d]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _give_way(
    start: int,
    rows: NDArray[np.int64],
    n: int,
    width: int,
    pool: _Pool,
    lanes: _Lanes,
    step: np.float32,
    a: np.float32,
    b: np.float32,
    axes: tuple[int, ...],
) -> None:
    """Move points away from NEGATIVE_SAMPLES points of the pool at once, which start at their `places`."""
    for d in range(len(axes)):
        for lane in range(width):
            lanes.total[d, lane] = 0.0
    for _ in range(NEGATIVE_SAMPLES):
        for lane in range(n):
            lanes.apart[lane] = np.float32(pool.drawn[lanes.places[lane]] != start + rows[lane])
        _read(pool.positions, lanes.places, n, lanes.there, axes)
        _push(width, lanes, a, b, axes)
        for lane in range(n):
            lanes.places[lane] += 1
    for d in range(len(axes)):
        for lane in range(width):
            lanes.here[d, lane] += step * lanes.live[lane] * lanes.total[d, lane]


@njit(fastmath=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _limited(move: np.float32) -> np.float32:
    return min(LIMIT, max(-LIMIT, move))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _pull(
    width: int, lanes: _Lanes, step: np.float32, a: np.float32, b: np.float32, axes: tuple[int, ...]
) -> None:
    """Move points towards neighbours by the gradient of log(1 / (1 + a d^2b)); equal points and dead lanes stay.

    This and `_push` are separate functions with numpy's error model, so that the compiler vectorises the loop over
    lanes.
    """
    here, there, live = lanes.here, lanes.there, lanes.live
    for lane in range(width):
        squared = LEAST
        for d in range(len(axes)):
            gap = here[d, lane] - there[d, lane]
            squared += gap * gap
        raised = a * power(squared, b)
        factor = np.float32(-2.0) * b * raised / (squared * (raised + np.float32(1.0)))
        for d in range(len(axes)):
            here[d, lane] += step * live[lane] * _limited(factor * (here[d, lane] - there[d, lane]))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _push(width: int, lanes: _Lanes, a: np.float32, b: np.float32, axes: tuple[int, ...]) -> None:
    """Add to `total` the moves away from others by the gradient of log(1 - 1 / (1 + a d^2b)); 0 unless `apart`."""
    here, there, apart, total = lanes.here, lanes.there, lanes.apart, lanes.total
    for lane in range(width):
        squared = np.float32(0.0)
        for d in range(len(axes)):
            gap = here[d, lane] - there[d, lane]
            squared += gap * gap
        raised = a * power(squared, b) + np.float32(1.0)
        factor = apart[lane] * (np.float32(2.0) * b / ((NEAR + squared) * raised))
        for d in range(len(axes)):
            total[d, lane] += _limited(factor * (here[d, lane] - there[d, lane]))
