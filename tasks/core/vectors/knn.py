"""Nearest neighbours by cosine: vectors (n, dim) -> indices (n, k) int32 and distances (n, k) float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers

if TYPE_CHECKING:
    from torch import Tensor

    from topicflow.tasks.core.vectors.equals import EqualRows

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]

BLOCK_BYTES = 256 * 2**20
"""Similarities in memory at once on a GPU: 256 MiB."""

RESIDENT_BYTES = 8 * 2**30
"""Vectors that stay on a GPU in half precision during the comparison: 8 GiB, 11 million of 384 dimensions."""

GPU_COLUMNS = 2**17
"""Vectors that are compared with a block of rows at a time on a GPU."""

GROUP = 128
"""Columns of a group. On a GPU only the largest similarity of a group is compared at first."""

LEAST_GROUPS = 4
"""Minimum number of groups for each requested similarity for that."""

MANY_ROWS, FEW_ROWS = 1024, 256
"""Rows compared at a time, if there are more than that, and if not: the sample that measures recall is then work for
four threads."""

COLUMNS = 4096
"""Vectors that are compared with a block of 1,024 rows at a time on a CPU: 16 MiB of similarities for each thread."""


def exact_neighbors(
    vectors: FloatArray,
    k: int,
    rows: NDArray[np.int64] | None = None,
    device: str = "cpu",
    n_threads: int | None = None,
    equal: EqualRows | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Return the `k` nearest rows of each row, itself first, by comparing all pairs in blocks.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors; may be memory-mapped.
    k : int
        Neighbours of each row, including the row itself; at most n.
    rows : ndarray of shape (m,), int64, optional
        Rows whose neighbours are returned; default all.
    device : str
        Torch device for the products; on `cuda` in half precision, then half as many again are ranked in float32.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.
    equal : EqualRows, optional
        The result of `equal_rows(vectors)`, if the caller has it.

    Returns
    -------
    indices : ndarray of shape (m, k), int32
    distances : ndarray of shape (m, k), float32
        Cosine distances, at least 0, ascending, ties by index; 0 for the row itself and for equal rows.

    Notes
    -----
    O(m n dim) time. Memory in addition to the vectors and the result: 32 MiB for each thread, or `BLOCK_BYTES` and at
    most `RESIDENT_BYTES` on a GPU.
    """
    from topicflow.tasks.core.vectors.blocks import blas_workers, workers
    from topicflow.tasks.core.vectors.equals import equal_rows, rank

    with (blas_workers if device == "cpu" else workers)(n_threads) as run:
        equal = equal_rows(vectors, run) if equal is None else equal
        own = np.arange(len(vectors)) if rows is None else np.asarray(rows)
        asked, slot = np.unique(equal.group[own], return_inverse=True)
        n_kept = min(equal.n_groups, k + max(8, k // 2))
        if device == "cpu":
            candidates = _compared(vectors, equal.first_rows(0, equal.n_groups), asked, n_kept, run)
        else:
            firsts = equal.first_rows(0, equal.n_groups)
            candidates = compared_by_torch(vectors, firsts, asked, n_kept, device, half=device == "cuda")
        queries = vectors if rows is None else vectors[own]
        return rank(vectors, queries, candidates, slot, equal, k, run, own)


def _compared(
    vectors: FloatArray, firsts: IndexArray, asked: IndexArray, n_kept: int, run: Workers
) -> IndexArray:
    """Return which of the rows `firsts` are most similar (m, n_kept) to the rows `asked` of them."""
    from topicflow.tasks.core.vectors.knn_kernels import keep_best

    ids = np.full((len(asked), n_kept), -1, np.int32)

    def block(start: int, stop: int) -> None:
        queries = vectors[firsts[asked[start:stop]]]
        best = np.full((stop - start, n_kept), -np.inf, np.float32)
        for column in range(0, len(firsts), COLUMNS):
            items = vectors[firsts[column : column + COLUMNS]]
            keep_best(queries @ items.T, column, np.arange(stop - start), best, ids[start:stop])

    run(block, len(asked), MANY_ROWS if len(asked) > MANY_ROWS else FEW_ROWS)
    return ids


def compared_by_torch(
    vectors: FloatArray, firsts: IndexArray, asked: IndexArray, n_kept: int, device: str, half: bool
) -> IndexArray:
    """Return which of the rows `firsts` are most similar (m, n_kept) to the rows `asked` of them, on a torch device.

    Notes
    -----
    Half precision rounds a similarity by up to .0003; the rows kept beyond k allow for that. Products are computed in
    blocks of rows and columns, so that memory does not depend on n.
    """
    import torch

    kind = torch.float16 if half else torch.float32

    def part(rows: IndexArray) -> torch.Tensor:
        return torch.from_numpy(vectors[rows]).to(device=device, dtype=kind)

    is_resident = len(firsts) * vectors.shape[1] * kind.itemsize <= RESIDENT_BYTES
    resident = part(firsts) if is_resident else None
    n_columns = min(len(firsts), GPU_COLUMNS)
    step = max(1, BLOCK_BYTES // (kind.itemsize * n_columns))
    ids = np.empty((len(asked), n_kept), np.int32)
    for start in range(0, len(asked), step):
        queries = part(firsts[asked[start : start + step]])
        best = torch.empty((len(queries), 0), dtype=kind, device=device)
        at = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
        for column in range(0, len(firsts), n_columns):
            stop = min(len(firsts), column + n_columns)
            items = part(firsts[column:stop]) if resident is None else resident[column:stop]
            top, place = _largest(queries @ items.T, min(n_kept, stop - column))
            best, at = torch.cat([best, top], dim=1), torch.cat([at, place + column], dim=1)
            if best.shape[1] > n_kept:
                best, place = torch.topk(best, n_kept, dim=1)
                at = torch.gather(at, 1, place)
        ids[start : start + step] = at.to(torch.int32).cpu().numpy()
    return ids


def _largest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the `k` largest of each row (m, k) of similarities (m, n), descending, and their columns (m, k).

    They are in the k groups of columns with the k largest maxima, or in the columns after the last full group.
    """
    import torch

    m, n = similarities.shape
    n_grouped = n // GROUP * GROUP
    if n_grouped < LEAST_GROUPS * k * GROUP:
        return torch.topk(similarities, k, dim=1)
    largest = similarities[:, :n_grouped].view(m, -1, GROUP).amax(dim=2)
    groups = torch.topk(largest, k, dim=1, sorted=False).indices
    inside = torch.arange(GROUP, device=groups.device)
    columns = (groups[:, :, None] * GROUP + inside).view(m, -1)
    rest = torch.arange(n_grouped, n, device=groups.device).expand(m, -1)
    columns = torch.cat([columns, rest], dim=1)
    best, place = torch.topk(torch.gather(similarities, 1, columns), k, dim=1)
    return best, torch.gather(columns, 1, place)


def pynndescent_neighbors(
    vectors: FloatArray, k: int, seed: int, n_threads: int | None = None
) -> tuple[IndexArray, FloatArray]:
    """Return about the `k` nearest rows of each row, itself first, by nearest-neighbour descent.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors.
    k : int
        Neighbours of each row, including the row itself; less than n.
    seed : int
        Seed of the random projection trees and the descent.
    n_threads : int, optional
        Threads; default all cores.

    Returns
    -------
    indices : ndarray of shape (n, k), int32
    distances : ndarray of shape (n, k), float32
        Cosine distances, ascending.

    Notes
    -----
    About O(n^1.14 dim). Rows for which the descent finds too few neighbours, for example among many equal vectors, are
    searched exactly.

    References
    ----------
    Dong, Moses, Li: Efficient k-nearest neighbor graph construction for generic similarity measures (WWW 2011);
    pynndescent 0.7, whose result does not depend on the number of threads. The numbers of trees and iterations are
    those of umap-learn (`umap_.nearest_neighbors`).
    """
    from pynndescent import NNDescent

    n = len(vectors)
    index = NNDescent(
        np.ascontiguousarray(vectors),
        metric="cosine",
        n_neighbors=k,
        n_trees=min(64, 5 + round(n**0.5 / 20.0)),
        n_iters=max(5, round(np.log2(n))),
        max_candidates=60,
        low_memory=True,
        random_state=seed,
        n_jobs=n_threads or -1,
        compressed=False,
    )
    indices, distances = index.neighbor_graph
    indices, distances = indices.astype(np.int32), np.maximum(distances, 0.0).astype(np.float32)
    short = np.flatnonzero((indices < 0).any(axis=1) | ~np.isfinite(distances).all(axis=1))
    if len(short):
        indices[short], distances[short] = exact_neighbors(vectors, k, short, n_threads=n_threads)
    _self_first(indices, distances)
    return indices, distances


def _self_first(indices: IndexArray, distances: FloatArray) -> None:
    """Put each row first among its own neighbours, in place; an equal vector may be first."""
    own = np.arange(len(indices), dtype=np.int32)
    wrong = np.flatnonzero(indices[:, 0] != own)
    for row in wrong:
        at = np.flatnonzero(indices[row] == row)
        last = int(at[0]) if len(at) else indices.shape[1] - 1
        indices[row, 1 : last + 1] = indices[row, :last].copy()
        distances[row, 1 : last + 1] = distances[row, :last].copy()
        indices[row, 0], distances[row, 0] = row, 0.0


def recall(found: IndexArray, exact: IndexArray) -> float:
    """Return the share of exact neighbours (m, k), without the row itself, that are among the found ones (m, k)."""
    hits = sum(len(np.intersect1d(a[1:], b[1:])) for a, b in zip(found, exact, strict=True))
    return hits / max(1, exact[:, 1:].size)
