"""Exact pairs: unit vectors -> every pair with a cosine of at least `floor`, by comparing all rows in blocks.

Small corpora and GPUs use this instead of hash tables, and recall is measured against it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from topicflow.tasks.core.duplicates.hashed_pairs import FloatArray, RowArray, TwoCorpora
from topicflow.tasks.core.duplicates.pairs import Pairs, bounded, no_pairs, union
from topicflow.tasks.core.duplicates.signatures import row_codes
from topicflow.tasks.core.vectors.blocks import Workers
from topicflow.tasks.core.vectors.cells import CodeArray
from topicflow.tasks.core.vectors.integer_products import multiplied

BLOCK_ROWS, BLOCK_COLUMNS = 256, 4096
"""Rows and columns of the products computed at once: 4 MiB for each thread."""

WAVE = 16
"""Blocks whose pairs are in memory before only the most similar pairs of each row are kept."""

MOST_HELD = 2**22
"""Pairs of a block of sampled rows in memory before only the most similar pairs of each row are kept."""

GPU_ROWS, GPU_COLUMNS = 8192, 2**16
"""Rows and columns of the products computed at once on a GPU: 1 GiB in half precision."""

HALF_SLACK = 0.004
"""Maximum error of a cosine in half precision: 384 products of 11 bits, summed in float32, are off by at most .0005."""


def exact_pairs(corpora: TwoCorpora, rows: RowArray, floor: float, max_partners: int, run: Workers) -> Pairs:
    """Return all pairs with a cosine of at least `floor`.

    Parameters
    ----------
    corpora : TwoCorpora
        Unit vectors.
    rows : ndarray of shape (n,), int32
        Rows to compare, ascending; of equal rows only one.
    floor : float
        Minimum cosine, inclusive.
    max_partners : int
        Maximum number of pairs of a row.
    run : Workers
        Threads.

    Notes
    -----
    O(n² dim): products of int8 codes, 2 ns for each pair of 384 dimensions and core on a CPU with VNNI. The threshold
    allows for rounding: a code is off by at most half a step in each component, r = step / 2 √dim in total, so a
    product of two is off by r_i + r_j + r_i r_j. Pairs that may reach the floor are decided in float64: none is missed.
    """
    compare = _Comparison(corpora, rows, rows[rows >= corpora.n_base], floor, each_once=True)
    found = no_pairs()
    step = WAVE * BLOCK_ROWS
    for start in range(0, len(compare.asked), step):
        size = min(step, len(compare.asked) - start)
        parts = run(partial(compare.of, start), size, BLOCK_ROWS)
        found = bounded(union([found, *parts]), corpora.n_rows, max_partners)
    return found


def partners_of(
    corpora: TwoCorpora, rows: RowArray, sample: RowArray, floor: float, most: int, run: Workers
) -> Pairs:
    """Return the pairs of the rows `sample` with a cosine of at least `floor`, at most the `most` most similar of each.

    A pair of two sampled rows is returned once. Arguments as in `exact_pairs`; O(n_sample n dim).
    """
    compare = _Comparison(corpora, rows, sample, floor, each_once=False)
    return union(run(lambda a, b: compare(a, b, most), len(sample), BLOCK_ROWS))


class _Comparison:
    """Compares the rows `asked` with all `rows`, first by codes and then by vectors."""

    def __init__(
        self, corpora: TwoCorpora, rows: RowArray, asked: RowArray, floor: float, *, each_once: bool
    ) -> None:
        self.corpora, self.rows, self.asked = corpora, rows, asked
        self.floor, self.each_once = floor, each_once
        self.codes, steps = _codes(corpora, rows)
        own = np.searchsorted(rows, asked)
        rounding = steps * np.float32(0.5 * np.sqrt(self.codes.shape[1]))
        self.scales, self.own = steps, own
        self.slack = rounding * (1 + rounding.max(initial=0.0))
        self.bars = np.float32(floor - 1e-5) - rounding[own]

    def of(self, first: int, start: int, stop: int) -> Pairs:
        """Return the pairs of some rows `asked`, counted from `first`."""
        return self(first + start, first + stop)

    def __call__(self, start: int, stop: int, most: int | None = None) -> Pairs:
        """Return the pairs of the rows `asked` from `start` up to `stop`; at most `most` of each, if not None."""
        from topicflow.tasks.core.duplicates.pair_kernels import pair_similarities, select_close

        asked, own = self.asked[start:stop], self.own[start:stop]
        steps = self.scales[own]
        candidates = np.empty((len(asked) * BLOCK_COLUMNS, 2), np.int32)
        found, n_held = [no_pairs()], 0
        for column in range(0, len(self.rows), BLOCK_COLUMNS):
            part = slice(column, column + BLOCK_COLUMNS)
            n = select_close(
                multiplied(self.codes[own], self.codes[part]), asked, self.rows[part], self.bars[start:stop], steps,
                self.scales[part], self.slack[part], self.corpora.n_base, self.each_once, candidates,
            )  # fmt: skip
            pairs, similarities = candidates[:n].copy(), np.empty(n, np.float32)
            pair_similarities(self.corpora.base, self.corpora.own, pairs, similarities)
            found.append(Pairs(pairs, similarities).at_least(self.floor))
            n_held += len(found[-1])
            if most is not None and n_held > MOST_HELD:
                found = [_most_similar(union(found), asked, most)]
                n_held = len(found[0])
        everything = union(found)
        return everything if most is None else _most_similar(everything, asked, most)


def _codes(corpora: TwoCorpora, rows: RowArray) -> tuple[CodeArray, FloatArray]:
    """Return the rows' vectors as int8 codes (n, dim) and the size of a step of each (n,), a block at a time."""
    codes = np.empty((len(rows), corpora.own.shape[1]), np.int8)
    steps = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), 8192):
        vectors = corpora.take(rows[start : start + 8192])
        codes[start : start + 8192] = row_codes(vectors)
        steps[start : start + 8192] = np.abs(vectors).max(axis=1) / 127
    return codes, steps


def _most_similar(pairs: Pairs, asked: RowArray, most: int) -> Pairs:
    """Return the pairs that are among the `most` most similar ones of a row in `asked`."""
    kept = np.zeros(len(pairs), bool)
    for side in (0, 1):
        row = pairs.rows[:, side]
        mine = np.flatnonzero(np.isin(row, asked))
        order = mine[np.lexsort((-pairs.similarities[mine], row[mine]))]
        starts = np.flatnonzero(np.diff(row[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        kept[order[rank < most]] = True
    return Pairs(pairs.rows[kept], pairs.similarities[kept])


def exact_pairs_by_torch(
    corpora: TwoCorpora, rows: RowArray, floor: float, max_partners: int, device: str, *, half: bool
) -> Pairs:
    """Return all pairs with a cosine of at least `floor`, by products on a torch device; arguments as in `exact_pairs`.

    Notes
    -----
    On `cuda` in half precision; the threshold is lower by `HALF_SLACK`, and the host decides the pairs in float64. One
    block of columns is sent at a time, so that memory does not depend on n.
    """
    import torch

    from topicflow.tasks.core.duplicates.pair_kernels import pair_similarities

    kind = torch.float16 if half else torch.float32
    own = rows[rows >= corpora.n_base]
    bar = floor - (HALF_SLACK if half else 1e-5)
    found = no_pairs()
    for column in range(0, len(rows), GPU_COLUMNS):
        others = rows[column : column + GPU_COLUMNS]
        items = torch.from_numpy(corpora.take(others)).to(device=device, dtype=kind)
        parts = [found]
        for start in range(0, len(own), GPU_ROWS):
            asked = own[start : start + GPU_ROWS]
            if corpora.n_base <= others[-1] <= asked[0]:
                continue
            queries = torch.from_numpy(corpora.take(asked)).to(device=device, dtype=kind)
            close = torch.nonzero(queries @ items.T >= bar).cpu().numpy()
            row, other = asked[close[:, 0]], others[close[:, 1]]
            new = (other > row) | (other < corpora.n_base)
            pairs = np.stack([np.minimum(row, other), np.maximum(row, other)], axis=1)[new]
            similarities = np.empty(len(pairs), np.float32)
            pair_similarities(corpora.base, corpora.own, pairs, similarities)
            parts.append(Pairs(pairs, similarities).at_least(floor))
        found = bounded(union(parts), corpora.n_rows, max_partners)
    return found
