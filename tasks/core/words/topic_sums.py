"""Topic sums: a kernel that adds up word counts by topic, n_docs rows -> n_topics rows.

Functions import this module when they run, because numba compiles decorated functions at import.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.words.tokens import sort_values

DENSE = 16
"""A group that has more than one in DENSE of all columns looks at all in order instead of sorting its own."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def join_rows(  # noqa: C901, PLR0912  (two passes over the groups on the same arrays)
    data: NDArray[np.integer],
    indices: NDArray[np.int32],
    indptr: NDArray[np.integer],
    rows: NDArray[np.int64],
    bounds: NDArray[np.int64],
    n_columns: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return sums and numbers of entries for each group of rows, their columns, ascending, and each group's range.

    Parameters
    ----------
    data, indices, indptr : ndarray
        A sparse matrix (n_docs, n_columns) by rows.
    rows, bounds : ndarray
        The rows of group g are `rows[bounds[g]:bounds[g + 1]]`.
    n_columns : int
        Columns of the matrix.

    Notes
    -----
    Time O(entries + result log result); memory 12 bytes for each column in addition to the result.
    """
    n_groups = len(bounds) - 1
    n_entries = 0
    for row in rows:
        n_entries += indptr[row + 1] - indptr[row]
    columns = np.empty(n_entries, np.int32)  # the pages after the result are never touched
    seen, place = np.full(n_columns, -1, np.int32), np.empty(n_columns, np.int64)
    ranges = np.zeros(n_groups + 1, np.int64)
    n = 0
    for group in range(n_groups):
        for row in rows[bounds[group] : bounds[group + 1]]:
            for entry in range(indptr[row], indptr[row + 1]):
                column = indices[entry]
                if seen[column] != group:
                    seen[column] = group
                    columns[n] = column
                    n += 1
        if DENSE * (n - ranges[group]) > n_columns:
            n = ranges[group]
            for column in range(n_columns):
                if seen[column] == group:
                    columns[n] = column
                    n += 1
        else:
            sort_values(columns[ranges[group] : n])
        ranges[group + 1] = n
    sums, numbers = np.zeros(n, np.int64), np.zeros(n, np.int32)
    for group in range(n_groups):
        for at in range(ranges[group], ranges[group + 1]):
            place[columns[at]] = at
        for row in rows[bounds[group] : bounds[group + 1]]:
            for entry in range(indptr[row], indptr[row + 1]):
                at = place[indices[entry]]
                sums[at] += np.int64(data[entry])
                numbers[at] += 1
    return sums, numbers, columns[:n].copy(), ranges
