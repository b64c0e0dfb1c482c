"""Hashed pairs: two corpora of unit vectors -> pairs of rows with a cosine of at least `floor`.

Rows below `n_base` belong to the first corpus. Its rows are not compared with each other: no pair has both rows there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.lsh_plan import KEY_BITS, TablePlan, choose_tables
from topicflow.tasks.core.duplicates.pairs import Pairs, no_pairs, union
from topicflow.tasks.core.vectors.blocks import Workers
from topicflow.tasks.core.vectors.equals import row_hashes

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int32]
WordArray = NDArray[np.uint64]

SAMPLE_ROWS = 2048
"""Rows whose signatures are compared to estimate the size of buckets: two million pairs, 10 ms."""

PART_ROWS = 2**24
"""Entries of a table in memory at once: 128 MiB for each thread; more rows take several passes over the signatures."""


@dataclass(frozen=True)
class TwoCorpora:
    """Unit vectors of a base corpus, and unit vectors that are compared with these and with each other.

    Attributes
    ----------
    base, own : ndarray of shape (n_base, dim) and (n_own, dim), float32
    """

    base: FloatArray
    own: FloatArray

    @property
    def n_base(self) -> int:
        """Rows of the base corpus."""
        return len(self.base)

    @property
    def n_rows(self) -> int:
        """Rows of both corpora."""
        return len(self.base) + len(self.own)

    def n_pairs(self) -> float:
        """Return the number of possible pairs."""
        return len(self.own) * (len(self.base) + (len(self.own) - 1) / 2)

    def take(self, rows: RowArray) -> FloatArray:
        """Return the vectors (n, dim) of rows."""
        out = np.empty((len(rows), self.own.shape[1]), np.float32)
        in_base = rows < self.n_base
        out[in_base] = self.base[rows[in_base]]
        out[~in_base] = self.own[rows[~in_base] - self.n_base]
        return out


def equal_firsts(corpora: TwoCorpora, run: Workers) -> RowArray:
    """Return the first row (n_rows,) with the same bits as each row; O(n dim) time, 28 bytes for each row."""
    from topicflow.tasks.core.duplicates.pair_kernels import first_of_equals

    hashes = np.concatenate([row_hashes(part, run) for part in (corpora.base, corpora.own)])
    first = np.empty(corpora.n_rows, np.int32)
    if len(first):
        words = corpora.base.view(np.uint32), corpora.own.view(np.uint32)
        first_of_equals(*words, np.argsort(hashes, kind="stable"), hashes, first)
    return first


def plan_tables(
    signatures: WordArray, rows: RowArray, floor: float, recall: float, n_pairs: float, seed: int
) -> TablePlan:
    """Return the tables for the signatures (n_rows, n_words) of `rows`, based on the distances in a sample."""
    from topicflow.tasks.core.duplicates.pair_kernels import distance_histogram

    pool = 64 * signatures.shape[1]
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE_ROWS])
    distances = np.zeros(pool + 1, np.int64)
    distance_histogram(np.ascontiguousarray(signatures[sample]), distances)
    return choose_tables(floor, recall, pool, distances, len(rows), n_pairs)


def pairs_of_table(
    corpora: TwoCorpora,
    signatures: WordArray,
    rows: RowArray,
    bits: NDArray[np.int64],
    plan: TablePlan,
    floor: float,
    window: int,
    max_partners: int,
) -> Pairs:
    """Return the pairs that one table finds.

    Parameters
    ----------
    corpora : TwoCorpora
        The vectors, whose cosine decides.
    signatures : ndarray of shape (n_rows, n_words), uint64
    rows : ndarray of shape (n,), int32
        Rows to compare; of equal rows only one.
    bits : ndarray of shape (KEY_BITS,), int64
        The table's key.
    plan : TablePlan
        Bits of a bucket, and how many bits of a pair may differ.
    floor : float
        Minimum cosine of a pair.
    window, max_partners : int
        Maximum number of rows of the same bucket that each row is compared with, and of pairs of a row.

    Notes
    -----
    Rows are sorted by the table's 32 bits, and each row is compared with those after it in its bucket. In a bucket
    larger than `window` it is thus compared with the rows whose other bits are most similar. O(n (log n + window)) at
    worst; 12 bytes for each row.
    """
    from topicflow.tasks.core.duplicates.pair_kernels import compare_entries, table_entries

    partners = np.zeros(corpora.n_rows, np.int32)
    n_passes = max(1, -(-len(rows) // PART_ROWS))
    edges = [
        (2**plan.n_bits * number // n_passes) << (KEY_BITS - plan.n_bits) for number in range(n_passes + 1)
    ]
    found: list[Pairs] = [no_pairs()]
    for low, high in itertools.pairwise(edges):
        room = np.empty(len(rows), np.uint64)  # the pages after the last entry are never touched
        entries = room[: table_entries(signatures, rows, bits, low, high, room)]
        entries.sort()
        shift = 64 - plan.n_bits
        pairs, similarities = np.empty((window + 2**16, 2), np.int32), np.empty(window + 2**16, np.float32)
        at, counts = 0, np.zeros(3, np.int64)
        while at < len(entries):
            counts[0] = 0
            at = compare_entries(
                entries, at, shift, window, corpora.n_base, signatures, plan.limit, corpora.base, corpora.own,
                np.float32(floor), partners, max_partners, pairs, similarities, counts,
            )  # fmt: skip
            found.append(Pairs(pairs[: counts[0]].copy(), similarities[: counts[0]].copy()))
    return Pairs(
        np.concatenate([part.rows for part in found]), np.concatenate([part.similarities for part in found])
    )


def pairs_of_tables(
    tables: range,
    plan: TablePlan,
    seed: int,
    find: Callable[[NDArray[np.int64]], Pairs],
    run: Workers,
) -> Pairs:
    """Return the pairs that some tables find, each once; every table is one thread's."""
    return union(run(lambda table, _: find(plan.bits(tables.start + table, seed)), len(tables), 1))
