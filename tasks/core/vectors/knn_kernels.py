"""Kernels of the neighbour search: loops over rows that numba compiles once and caches on disk.

Functions import this module when they run, because importing numba takes half a second. Each kernel runs on one thread
and releases the interpreter's lock, so that `tasks.core.vectors.blocks` can run it on several blocks at once. A kernel
writes only to the rows of its caller, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.integers.sums import code_product
from topicflow.tasks.core.registers.registers import address, fetch
from topicflow.tasks.core.vectors.processor import has_vnni

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
CodeArray = NDArray[np.int8]
FlagArray = NDArray[np.bool_]
Products = NDArray[np.int32] | NDArray[np.float32]


LINE = 64
"""Bytes of a cache line, and codes that are multiplied together."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _dot(a: CodeArray, b: CodeArray) -> np.int32:
    """Return the product of two codes (dim,); int16 products summed in int32 compile to one multiply-add for 32."""
    total = np.int32(0)
    for t in range(a.shape[0]):
        total = np.int32(total + np.int32(np.int16(a[t]) * np.int16(b[t])))
    return total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _dot_by_vnni(a: CodeArray, b: CodeArray) -> Any:  # noqa: ANN401
    """Return the same by VNNI, in a quarter of the time, if `dim` is a multiple of 64; codes are contiguous."""
    if (
        a.shape[0] % LINE or a.shape[0] == 0
    ):  # a loop for the rest after VNNI makes the whole slower than the loop
        return _dot(a, b)
    return code_product(address(a), address(b), np.int64(a.shape[0] // LINE))


dot = _dot_by_vnni if has_vnni() else _dot
"""The product of two codes, as this processor computes it fast."""

AHEAD = 4
"""Rows that are asked for before they are needed: rows of neighbours lie anywhere in memory."""


@njit(nogil=True)  # type: ignore[untyped-decorator]
def fetch_row(base: int, row: int, n_bytes: int) -> None:
    """Ask for a row of `n_bytes` of the array at an address."""
    begin = base + np.int64(row) * n_bytes
    for offset in range(0, n_bytes, LINE):
        fetch(begin + offset)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def keep_best(
    products: Products, first: int, rows: NDArray[np.int64], best: Products, ids: IndexArray
) -> None:
    """Insert each product (m, w) of item `first + column` into the best (n, kept) of row `rows[i]`, descending.

    Equal products stay in their order of arrival. Products and `best` are both int32 or both float32.
    """
    m, w = products.shape
    last = best.shape[1] - 1
    for i in range(m):
        row = rows[i]
        line = products[i]
        bar = best[row, last]
        for start in range(0, w, 16):
            if start + 16 <= w:  # sixteen are compared at once: most have nothing better
                better = False
                for j in range(16):
                    better |= line[start + j] > bar
                if not better:
                    continue
            for j in range(start, min(w, start + 16)):
                product = line[j]
                if product > bar:
                    at = last
                    while at > 0 and best[row, at - 1] < product:
                        best[row, at] = best[row, at - 1]
                        ids[row, at] = ids[row, at - 1]
                        at -= 1
                    best[row, at] = product
                    ids[row, at] = first + j
                    bar = best[row, last]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_to_cells(codes: CodeArray, cell: IndexArray, sums: NDArray[np.int64]) -> None:
    """Add each code (n, dim) to the sum (n_cells, dim) of its cell; integer sums do not depend on the order."""
    for i in range(codes.shape[0]):
        c = cell[i]
        for t in range(codes.shape[1]):
            sums[c, t] += codes[i, t]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def reverse_lists(ids: IndexArray, width: int, reverse: IndexArray, counts: IndexArray) -> None:
    """Write to `reverse` (n, cap) the rows that have each row among their first `width`; highest ranks first."""
    n, cap = reverse.shape
    for rank in range(width):
        for i in range(n):
            named = ids[i, rank]
            if named >= 0 and named != i and counts[named] < cap:
                reverse[named, counts[named]] = i
                counts[named] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def insert(best: IndexArray, ids: IndexArray, fresh: FlagArray, row: int, product: int, item: int) -> None:
    """Insert an item with a product above the row's last one into its list, marked as new."""
    at = best.shape[1] - 1
    while at > 0 and best[row, at - 1] < product:
        best[row, at] = best[row, at - 1]
        ids[row, at] = ids[row, at - 1]
        fresh[row, at] = fresh[row, at - 1]
        at -= 1
    best[row, at] = product
    ids[row, at] = item
    fresh[row, at] = True


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def descend(  # noqa: C901, PLR0912 - one loop over four sources of candidates, all on the same arrays
    codes: CodeArray,
    start: int,
    stop: int,
    cell: IndexArray,
    n_cells: int,
    probes: IndexArray,
    old_ids: IndexArray,
    old_fresh: FlagArray,
    reverse: IndexArray,
    counts: IndexArray,
    width: int,
    best: IndexArray,
    ids: IndexArray,
    fresh: FlagArray,
) -> int:
    """Compare rows start..stop with the neighbours of their neighbours; return how many entries are new.

    Reads the lists of the previous round (`old_ids`, `old_fresh`) and writes `best`, `ids`, `fresh` of its own rows. A
    pair is compared only if one of the two steps that lead to it is new, and if the row has not probed (n, n_probe) the
    other's cell (n,), of `n_cells`: it was compared there. Two thirds of the pairs are of such cells.
    """
    n, kept = old_ids.shape
    seen = np.full(n, -1, np.int32)
    probed = np.full(n_cells, -1, np.int32)
    found = np.empty((width + reverse.shape[1]) * (width + 1), np.int32)
    base, n_bytes = address(codes), codes.shape[1]
    n_new = 0
    for u in range(start, stop):
        for place in range(probes.shape[1]):
            probed[probes[u, place]] = u
        for j in range(kept):
            if old_ids[u, j] >= 0:
                seen[old_ids[u, j]] = u
        n_found = 0
        for j in range(width + counts[u]):
            if j < width:
                v = old_ids[u, j]
                if v < 0 or v == u:
                    continue
                step_is_new = old_fresh[u, j]
            else:
                v = reverse[u, j - width]
                step_is_new = True
                if probed[cell[v]] != u and seen[v] != u:
                    seen[v] = u
                    found[n_found] = v
                    n_found += 1
            for rank in range(width):
                w = old_ids[v, rank]
                if w < 0:
                    break
                if step_is_new or old_fresh[v, rank]:
                    found[n_found] = w
                    n_found += (probed[cell[w]] != u) & (seen[w] != u)
                    seen[w] = u
        for at in range(min(AHEAD, n_found)):
            fetch_row(base, found[at], n_bytes)
        for at in range(n_found):
            if at + AHEAD < n_found:
                fetch_row(base, found[at + AHEAD], n_bytes)
            product = dot(codes[u], codes[found[at]])
            if product > best[u, kept - 1]:
                insert(best, ids, fresh, u, product, found[at])
        for j in range(kept):
            n_new += fresh[u, j]
    return n_new


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def walk(  # noqa: C901 - one walk on the same arrays
    queries: CodeArray,
    codes: CodeArray,
    links: IndexArray,
    cell: IndexArray,
    probes: IndexArray,
    n_steps: int,
    best: IndexArray,
    ids: IndexArray,
) -> None:
    """Improve each query's list (m, kept) of products and positions by the links of its `n_steps` nearest positions.

    `codes` (n, dim), `links` (n, n_links) and `cell` (n,) are by position; positions in a cell that the query has
    probed (m, n_probe) were compared there. `ids` is -1 where a list is not full. A step takes the nearest position
    whose links have not been followed yet; a walk ends when there is none.
    """
    kept = best.shape[1]
    seen = np.full(codes.shape[0], -1, np.int32)
    n_cells = 0
    for place in range(cell.shape[0]):
        n_cells = max(n_cells, cell[place] + 1)
    probed = np.full(n_cells, -1, np.int32)
    left = np.empty(kept, np.bool_)
    found = np.empty(links.shape[1], np.int32)
    base, n_bytes = address(codes), codes.shape[1]
    for q in range(queries.shape[0]):
        for at in range(kept):
            left[at] = False
        for c in probes[q]:
            probed[c] = q
        at = 0
        steps = 0
        while at < kept and steps < n_steps and ids[q, at] >= 0:
            if left[at]:
                at += 1
                continue
            left[at] = True
            steps += 1
            place = ids[q, at]
            at += 1
            n_found = 0
            for other in links[place]:
                if probed[cell[other]] != q and seen[other] != q:
                    seen[other] = q
                    fetch_row(base, other, n_bytes)
                    found[n_found] = other
                    n_found += 1
            for number in range(n_found):
                other = found[number]
                product = dot(queries[q], codes[other])
                if product > best[q, kept - 1]:
                    slot = kept - 1
                    while slot > 0 and best[q, slot - 1] < product:
                        best[q, slot] = best[q, slot - 1]
                        ids[q, slot] = ids[q, slot - 1]
                        left[slot] = left[slot - 1]
                        slot -= 1
                    best[q, slot] = product
                    ids[q, slot] = other
                    left[slot] = False
                    at = min(at, slot)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def hash_rows(words: NDArray[np.uint32], hashes: NDArray[np.uint64]) -> None:
    """Write a hash of the bits of each row (n, dim) to `hashes` (n,)."""
    for i in range(words.shape[0]):
        total = np.uint64(14695981039346656037)
        for t in range(words.shape[1]):
            total = (total ^ np.uint64(words[i, t])) * np.uint64(1099511628211)
            total ^= total >> np.uint64(29)
        hashes[i] = total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def first_equal(
    words: NDArray[np.uint32], order: NDArray[np.int64], hashes: NDArray[np.uint64], first: IndexArray
) -> None:
    """Write to `first` (n,) the lowest row with the same bits; `order` is a stable sort of the hashes.

    Two different rows with the same hash (1 in 10^7 corpora of a million rows) count as different.
    """
    head = order[0]
    for at in range(order.shape[0]):
        row = order[at]
        if hashes[row] != hashes[head]:
            head = row
        same = True
        for t in range(words.shape[1]):
            same = same and words[row, t] == words[head, t]
        first[row] = head if same else row


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def half_squared_difference(a: FloatArray, b: FloatArray) -> np.float32:
    """Return half the squared difference of two vectors (dim,)."""
    total = np.float32(0.0)
    for t in range(a.shape[0]):
        difference = a[t] - b[t]
        total += difference * difference
    return np.float32(0.5) * total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def rank_candidates(  # noqa: C901 - one insertion on the same arrays
    vectors: FloatArray,
    queries: FloatArray,
    visited: NDArray[np.int64],
    own: NDArray[np.int64],
    candidates: IndexArray,
    group_offsets: NDArray[np.int64],
    members: IndexArray,
    indices: IndexArray,
    distances: FloatArray,
) -> None:
    """Write the nearest rows among the candidates of the queries `visited`, in float32, ties by index.

    `candidates` (n_visited, kept) are groups of equal rows (-1 = none): group g is the rows
    `members[group_offsets[g]:group_offsets[g + 1]]`, ascending. `own[i]` is the row that the query is, or -1; that row
    comes first. Half the squared difference of unit vectors is their cosine distance. It is exactly 0 for equal vectors
    and loses no digits for near ones.
    """
    k, kept = indices.shape[1], candidates.shape[1]
    base, n_bytes = address(vectors), 4 * vectors.shape[1]
    for place in range(visited.shape[0]):
        i = visited[place]
        found = 0
        low = 0
        if own[i] >= 0:
            indices[i, 0] = own[i]
            distances[i, 0] = 0.0
            found = 1
            low = 1
        for j in range(kept):
            at = min(place * kept + j + AHEAD, candidates.size - 1)
            later = candidates[at // kept, at % kept]
            if later >= 0:
                fetch_row(base, members[group_offsets[later]], n_bytes)
            group = candidates[place, j]
            if group < 0:
                continue
            representative = members[group_offsets[group]]
            distance = half_squared_difference(queries[i], vectors[representative])
            for at in range(
                group_offsets[group], min(group_offsets[group + 1], group_offsets[group] + k + 1)
            ):
                row = members[at]
                if row == own[i]:
                    continue
                if found == k:
                    if distance > distances[i, k - 1] or (
                        distance == distances[i, k - 1] and row > indices[i, k - 1]
                    ):
                        break
                else:
                    found += 1
                slot = found - 1
                while slot > low and (
                    distances[i, slot - 1] > distance
                    or (distances[i, slot - 1] == distance and indices[i, slot - 1] > row)
                ):
                    distances[i, slot] = distances[i, slot - 1]
                    indices[i, slot] = indices[i, slot - 1]
                    slot -= 1
                distances[i, slot] = distance
                indices[i, slot] = row
