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

from topicflow.tasks.core.registers.registers import address, fetch, first_bit, flagged
from topicflow.tasks.core.vectors.blocks import bound, threads
from topicflow.tasks.core.vectors.vector_pow import power

FloatArray = NDArray[np.float32]

NEGATIVE_SAMPLES = 5
"""Points that push a point away for each point that pulls it (umap-learn's negative_sample_rate)."""

BLOCK_ROWS = 512
"""Points that share one pool."""

TASK_ROWS = 8 * BLOCK_ROWS
"""Points that a thread moves at a time: 25 tasks for 100,000 points."""

POOL = 1024
"""Random points in a pool. The points that push the points of a group are consecutive in the pool, from a random start,
so that they are read as vectors. Drawn one by one from all points they took five times as long, and from a random
start for each point twice as long."""

SPAN = POOL + 16
"""Entries for each dimension of a pool: at multiples of 4 KiB, dimensions would share the same lines of the cache."""

LANES = 64
"""Points that are moved in parallel, each along its own neighbours, with vector arithmetic; the moves of a single point
depend on each other. From 32 on the compiler vectorises the loop; 16 were no faster than one point at a time."""

EPOCHS = 8
"""Epochs for which the edges in use are marked at a time, in a byte for each edge."""

FLAGS = 32
"""Edges whose marks are read at a time."""

TASK_EDGES = 2**18
"""Edges that a thread marks at a time."""

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
    rates = rates.astype(np.float32)
    flags = np.zeros(len(rates) + FLAGS, np.uint8)
    edges = (graph.indptr.astype(np.int64), graph.indices, flags)
    axes = tuple(range(start.shape[1]))
    room = _Room.of(edges[0], len(axes))
    with threads(n_threads) as run:
        for epoch in range(n_epochs):
            if epoch % EPOCHS == 0:
                run(bound(_mark, rates, epoch, flags), len(rates), TASK_EDGES)
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

    `values` are rows of LANES entries in one array of one dimension, so that the compiler knows which entries differ:
    the points, the neighbours that pull them and the sums of pushes, n_components rows each, then a row that is 1 while
    a point still has neighbours. `own` are the rows of the points, `places` those to read.
    """

    values: FloatArray
    own: NDArray[np.int32]
    places: NDArray[np.int64]


class _Active(NamedTuple):
    """The neighbours that pull the points of a block in an epoch, row by row, and where each row begins and ends."""

    neighbors: NDArray[np.int32]
    bounds: NDArray[np.int64]


class _Pool(NamedTuple):
    """Random points (POOL,) and their positions (n_components * POOL,), one dimension after another."""

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
        pool = _Pool(np.empty(POOL, np.int32), np.empty(self.dim * SPAN, np.float32))
        active = _Active(np.empty(self.block_edges + 1, np.int32), np.empty(BLOCK_ROWS + 1, np.int64))
        sorting = _Sorting(np.empty(BLOCK_ROWS, np.int64), np.empty(self.point_edges + 2, np.int64))
        values = np.zeros((3 * self.dim + 1) * LANES, np.float32)
        return pool, active, sorting, _Lanes(values, np.zeros(LANES, np.int32), np.zeros(LANES, np.int64))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _move(
    first: int,
    last: int,
    old: FloatArray,
    new: FloatArray,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    flags: NDArray[np.uint8],
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
        _list_active(start, n, indptr, indices, flags, 1 << (epoch % EPOCHS), active)
        _order_by_edges(active.bounds, n, sorting)
        for group in range(0, n, LANES):
            rows = sorting.order[group : min(group + LANES, n)]
            own_state = _mixed(state + np.uint64(group))
            _move_lanes(start, rows, old, new, active, pool, lanes, own_state, step, a, b, axes)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill_pool(old: FloatArray, state: np.uint64, pool: _Pool) -> None:
    """Draw the points of a pool. Their positions lie anywhere in memory: all are asked for before one is read."""
    base, n_bytes = address(old), 4 * old.shape[1]
    for at in range(POOL):
        state += STRIDE
        j = _drawn(state, len(old))
        pool.drawn[at] = j
        fetch(base + j * n_bytes)
    for at in range(POOL):
        j = np.int64(pool.drawn[at])
        for d in range(old.shape[1]):
            pool.positions[d * SPAN + at] = old[j, d]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _mark(first: int, last: int, rates: FloatArray, epoch: int, flags: NDArray[np.uint8]) -> None:
    """Mark in which of EPOCHS epochs from `epoch` the edges first..last are active, one bit for each epoch."""
    for edge in range(first, last):
        rate, flag = rates[edge], np.int32(0)
        for later in range(EPOCHS):
            before, after = np.float32(epoch + later), np.float32(epoch + later + 1)
            flag |= np.int32(np.int32(after * rate) != np.int32(before * rate)) << np.int32(later)
        flags[edge] = np.uint8(flag)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _list_active(
    start: int,
    n: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    flags: NDArray[np.uint8],
    flag: int,
    active: _Active,
) -> None:
    """Write the neighbours of n points from `start` whose edges have a flag."""
    neighbors, bounds, base = active.neighbors, active.bounds, address(flags)
    n_active = np.int64(0)
    for i in range(n):
        bounds[i] = n_active
        for first in range(indptr[start + i], indptr[start + i + 1], FLAGS):
            bits = flagged(base + first, np.uint8(flag))
            bits &= (np.int64(1) << min(np.int64(FLAGS), indptr[start + i + 1] - first)) - 1
            while bits:
                neighbors[n_active] = indices[first + first_bit(bits)]
                n_active += 1
                bits &= bits - 1
    bounds[n] = n_active


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
    n, bounds, neighbors = len(rows), active.bounds, active.neighbors
    drawn, positions = pool.drawn, pool.positions
    own, places, values = lanes.own, lanes.places, lanes.values
    live = 3 * len(axes) * LANES
    for lane in range(LANES):
        values[live + lane] = lane < n
    for lane in range(n):
        places[lane] = start + rows[lane]
        own[lane] = places[lane]
    _read(old, places, n, values, 0, axes)
    for turn in range(bounds[rows[0] + 1] - bounds[rows[0]]):
        while bounds[rows[n - 1] + 1] - bounds[rows[n - 1]] <= turn:
            n -= 1
            values[live + n] = np.float32(0.0)
        width = (n + VECTOR - 1) // VECTOR * VECTOR
        for lane in range(n):
            places[lane] = neighbors[bounds[rows[lane]] + turn]
        _read(old, places, n, values, len(axes) * LANES, axes)
        _pull(width, values, step, a, b, axes)
        state += STRIDE
        first = np.uint64(_drawn(state, POOL - NEGATIVE_SAMPLES * LANES + 1))
        for _ in range(NEGATIVE_SAMPLES):
            _push(width, first, drawn, positions, own, values, a, b, axes)
            first += np.uint64(LANES)
        _give_way(width, values, step, axes)
    for lane in range(len(rows)):
        for d in range(len(axes)):
            new[start + rows[lane], d] = values[d * LANES + lane]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _read(
    positions: FloatArray,
    places: NDArray[np.int64],
    n: int,
    values: FloatArray,
    begin: int,
    axes: tuple[int, ...],
) -> None:
    """Write the positions (n_points, n_components) at n places into rows of lanes, which start at `begin`."""
    for lane in range(n):
        for d in range(len(axes)):
            values[begin + d * LANES + lane] = positions[places[lane], d]


@njit(fastmath=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _limited(move: np.float32) -> np.float32:
    return min(LIMIT, max(-LIMIT, move))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _pull(
    width: int, values: FloatArray, step: np.float32, a: np.float32, b: np.float32, axes: tuple[int, ...]
) -> None:
    """Move points towards neighbours by the gradient of log(1 / (1 + a d^2b)); equal points and dead lanes stay.

    This and `_push` are separate functions with numpy's error model, so that the compiler vectorises the loop over
    lanes. Indices are unsigned, because numba tests signed ones, and then nothing is vectorised.
    """
    dim = len(axes)
    for lane in range(width):
        at = np.uint64(lane)
        squared = LEAST
        for d in range(dim):
            gap = values[np.uint64(d * LANES) + at] - values[np.uint64((dim + d) * LANES) + at]
            squared += gap * gap
        raised = a * power(squared, b)
        factor = np.float32(-2.0) * b * raised / (squared * (raised + np.float32(1.0)))
        moved = step * values[np.uint64(3 * dim * LANES) + at]
        for d in range(dim):
            gap = values[np.uint64(d * LANES) + at] - values[np.uint64((dim + d) * LANES) + at]
            values[np.uint64(d * LANES) + at] += moved * _limited(factor * gap)
            values[np.uint64((2 * dim + d) * LANES) + at] = np.float32(0.0)


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _push(
    width: int,
    first: np.uint64,
    drawn: NDArray[np.int32],
    there: FloatArray,
    own: NDArray[np.int32],
    values: FloatArray,
    a: np.float32,
    b: np.float32,
    axes: tuple[int, ...],
) -> None:
    """Add the moves away from the pool's points from `first` by the gradient of log(1 - 1 / (1 + a d^2b)).

    A point that meets itself adds 0.
    """
    dim = len(axes)
    for lane in range(width):
        at, place = np.uint64(lane), first + np.uint64(lane)
        squared = np.float32(0.0)
        for d in range(dim):
            gap = values[np.uint64(d * LANES) + at] - there[np.uint64(d * SPAN) + place]
            squared += gap * gap
        raised = a * power(squared, b) + np.float32(1.0)
        apart = np.float32(drawn[place] != own[lane])
        factor = apart * np.float32(2.0) * b / ((NEAR + squared) * raised)
        for d in range(dim):
            gap = values[np.uint64(d * LANES) + at] - there[np.uint64(d * SPAN) + place]
            values[np.uint64((2 * dim + d) * LANES) + at] += _limited(factor * gap)


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _give_way(width: int, values: FloatArray, step: np.float32, axes: tuple[int, ...]) -> None:
    """Move points by the sums of their pushes; dead lanes stay."""
    dim = len(axes)
    for lane in range(width):
        at = np.uint64(lane)
        for d in range(dim):
            moved = step * values[np.uint64(3 * dim * LANES) + at]
            values[np.uint64(d * LANES) + at] += moved * values[np.uint64((2 * dim + d) * LANES) + at]
