"""Exact products of int8 codes: (m, dim) and (w, dim) -> (m, w) int32, by what is fast on this processor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, threads, workers
from topicflow.tasks.core.vectors.processor import has_tiles, has_vnni, x86_features

CodeArray = NDArray[np.int8]
ProductArray = NDArray[np.int32]

EXACT_DIMS = 2**24 // 128**2
"""Dimensions up to which a float32 sum of products of codes is exact: every partial sum is an integer below 2^24."""

MOST_PRODUCTS = 2**22
"""Products computed at once: 16 MiB."""

Multiply = Callable[[CodeArray, CodeArray], ProductArray]


def multiplied(codes: CodeArray, others: CodeArray) -> ProductArray:
    """Return the exact products of codes.

    Parameters
    ----------
    codes : ndarray of shape (m, dim), int8
        Codes.
    others : ndarray of shape (w, dim), int8
        The same.

    Returns
    -------
    products : ndarray of shape (m, w), int32

    Notes
    -----
    Our own product and torch's take 1.2 ns for a pair of 384 dimensions on a core with VNNI, AVX2 and float32 6; ours
    needs no import of torch. On a core without VNNI torch's is a plain loop and takes 270 to 360 ns; there AVX2 takes
    7 to 10 and float32, for other processors, 12 (tests/benchmarks/neighbor_peers.py, `products`). All are exact, so
    that the choice changes the time and never the result.
    """
    return _way()(codes, others)


def keep_nearest(
    codes: CodeArray,
    rows: NDArray[np.int64],
    items: CodeArray,
    first: int,
    best: ProductArray,
    ids: ProductArray,
) -> None:
    """Insert the products of rows of codes and items into the best of each row, descending.

    Parameters
    ----------
    codes : ndarray of shape (n, dim), int8
        Codes; only `rows` (m,) of them are multiplied.
    items : ndarray of shape (w, dim), int8
        Codes that are numbered from `first` on.
    best, ids : ndarray of shape (n, kept), int32
        The best products of each row, and the numbers of their items; changed in place. Equal products stay in their
        order of arrival.

    Notes
    -----
    Processors with AMX or VNNI compare the products while they are in the first cache, others write them as a matrix
    first. The result is the same.
    """
    if in_blocks(codes.shape[1]):
        _in_blocks()(codes, rows, items, first, best, ids)
        return
    from topicflow.tasks.core.vectors.knn_kernels import keep_best

    step = max(256, MOST_PRODUCTS // max(1, len(items)))
    for at in range(0, len(rows), step):
        asked = rows[at : at + step]
        keep_best(multiplied(codes[asked], items), first, asked, best, ids)


def code_workers(dim: int, n_threads: int | None) -> AbstractContextManager[Workers]:
    """Return a runner of blocks that multiply codes of `dim` dimensions; torch is imported only if it multiplies."""
    uses_torch = not in_blocks(dim) and _way() in {by_integers, by_floats}
    return workers(n_threads) if uses_torch else threads(n_threads)


def in_blocks(dim: int) -> bool:
    """Return whether codes of `dim` dimensions are compared block by block, as their products are computed."""
    return dim % 64 == 0 and (has_tiles() or has_vnni())


def _in_blocks() -> Callable[..., None]:
    if has_tiles():
        from topicflow.tasks.core.tiles.code_search import keep_nearest_in_tiles

        return keep_nearest_in_tiles
    from topicflow.tasks.core.integers.code_search import keep_nearest_by_vnni

    return keep_nearest_by_vnni


@cache
def _way() -> Multiply:
    """Return the fast way of this processor."""
    if has_vnni() and not has_tiles():  # torch may multiply in tiles
        from topicflow.tasks.core.integers.code_search import by_vnni

        return by_vnni
    features = x86_features() or {}
    if features.get("avx512vnni"):  # the condition under which torch's product of integers is fast
        return by_integers
    if features.get("avx2"):
        from topicflow.tasks.core.vectors.avx2_products import by_avx2

        return by_avx2
    return by_floats


def by_integers(codes: CodeArray, others: CodeArray) -> ProductArray:
    """Return the products (m, w) int32 by torch's product of integers.

    Notes
    -----
    It is not in torch's documentation; tests compare it with numpy's.
    """
    import torch

    multiply = torch._int_mm  # noqa: SLF001
    products: ProductArray = multiply(torch.from_numpy(codes), torch.from_numpy(others).T).numpy()
    return products


def by_floats(codes: CodeArray, others: CodeArray) -> ProductArray:
    """Return the products (m, w) int32 by float32 products of at most `EXACT_DIMS` dimensions, which are exact."""
    import torch

    def product(start: int) -> torch.Tensor:
        part = slice(start, start + EXACT_DIMS)
        left, right = (torch.from_numpy(side[:, part]).to(torch.float32) for side in (codes, others))
        return (left @ right.T).to(torch.int32)

    products = product(0)
    for start in range(EXACT_DIMS, codes.shape[1], EXACT_DIMS):
        products += product(start)
    exact: ProductArray = products.numpy()
    return exact
