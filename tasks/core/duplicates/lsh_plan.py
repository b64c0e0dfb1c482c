"""LSH plan: threshold, corpus and recall -> the number of bits in a table's key, the number of tables, and the bits.

Two unit vectors of cosine t lie on different sides of a random hyperplane with probability q = acos(t) / pi (.177 at
.85, .144 at .9), so their signatures of m bits differ in h ~ Binomial(m, q) bits. A table's key is k of these m bits,
drawn without replacement: it is the same for both with probability

    c(h) = C(m - h, k) / C(m, k),    and one of L tables finds the pair with probability 1 - (1 - c(h))^L.

The mean over h is the recall at t. With m = 512, k = 14 and t = .85, 99 % needs 83 tables and 95 % needs 51; with L k
independent bits it would be 68 and 44. Sampling from one pool needs a fifth more tables but saves most of the products,
and the pool is also the signature that rejects candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

KEY_BITS = 32
"""Bits of an entry's key: the first k form buckets, the others sort similar entries of a bucket together."""

FEWEST_BITS, MOST_BITS = 4, 28
MOST_TABLES = 4096

LIMIT_SIGMAS = 4.0
"""Pairs are not compared if their signatures differ by more than this many standard deviations above the mean at the
floor: 3 in 100,000 of the pairs at the floor."""

ROW_NS, SIGNATURE_NS, VECTOR_NS = 150.0, 4.0, 250.0
"""Processor time of one row of a table, one comparison of 512-bit signatures and one of 384 dimensions (AVX-512,
2026-11). They are the costs for choosing k; they affect only the speed, never which pairs are correct."""


@dataclass(frozen=True)
class TablePlan:
    """A search plan: bits of a signature, bits of a bucket, number of tables, and how many bits may differ."""

    pool: int
    n_bits: int
    n_tables: int
    limit: int

    def recall(self, similarity: float) -> float:
        """Return the expected share of pairs with this cosine that the tables find."""
        return expected_recall(similarity, self.pool, self.n_bits, self.n_tables, self.limit)

    def bits(self, table: int, seed: int) -> NDArray[np.int64]:
        """Return the bits (KEY_BITS,) of a table's key; the bits of its buckets come first."""
        return np.random.default_rng((seed, table)).permutation(self.pool)[:KEY_BITS].astype(np.int64)


def differing_probability(similarity: float) -> float:
    """Return the probability that a random hyperplane separates two vectors with this cosine: angle / pi."""
    return math.acos(max(-1.0, min(1.0, similarity))) / math.pi


def expected_recall(
    similarity: float, pool: int, n_bits: int, n_tables: int, limit: int | None = None
) -> float:
    """Return the expected share of pairs with a given cosine that the tables find.

    Parameters
    ----------
    similarity : float
        Cosine of the pairs.
    pool, n_bits, n_tables : int
        Bits of a signature, bits of a bucket's key, and number of tables.
    limit : int, optional
        Bits in which a pair may differ; default no limit.
    """
    differing = np.arange(pool + 1)
    chances = _binomial(pool, differing_probability(similarity))
    found = 1.0 - (1.0 - same_key(pool, n_bits)) ** n_tables
    if limit is not None:
        found[limit + 1 :] = 0.0
    return float((chances * found)[differing].sum())


def same_key(pool: int, n_bits: int) -> FloatArray:
    """Return the probability (pool + 1,) that signatures that differ in h bits have the same key of `n_bits`."""
    differing = np.arange(pool + 1)
    log = _log_factorial(pool)
    same = np.zeros(pool + 1)
    can = differing <= pool - n_bits
    left = pool - differing[can]
    same[can] = np.exp(log[left] - log[left - n_bits] - log[pool] + log[pool - n_bits])
    return same


def choose_tables(
    floor: float, recall: float, pool: int, distances: NDArray[np.int64], n_rows: int, n_pairs: float
) -> TablePlan:
    """Return the cheapest tables that find pairs at the floor with the requested recall.

    Parameters
    ----------
    floor : float
        Minimum cosine of the search.
    recall : float
        Share of the pairs at the floor that the tables should find.
    pool : int
        Bits of a signature.
    distances : ndarray of shape (pool + 1,), int64
        Number of pairs in a sample of the corpus that differ in 0 to `pool` bits; it predicts the size of buckets.
    n_rows : int
        Rows of a table.
    n_pairs : float
        Number of pairs in the corpus.
    """
    q = differing_probability(floor)
    limit = min(pool, math.ceil(pool * q + LIMIT_SIGMAS * math.sqrt(pool * q * (1.0 - q))))
    share = distances / max(1, distances.sum())
    best, least = None, math.inf
    for n_bits in range(FEWEST_BITS, min(MOST_BITS, pool) + 1):
        n_tables = _fewest_tables(floor, recall, pool, n_bits, limit)
        if n_tables is None:
            break
        colliding = n_pairs * share * same_key(pool, n_bits)
        cost = n_tables * (
            ROW_NS * n_rows + SIGNATURE_NS * colliding.sum() + VECTOR_NS * colliding[: limit + 1].sum()
        )
        if cost < least:
            best, least = TablePlan(pool, n_bits, n_tables, limit), cost
    return best or TablePlan(pool, FEWEST_BITS, MOST_TABLES, limit)


def _fewest_tables(floor: float, recall: float, pool: int, n_bits: int, limit: int) -> int | None:
    """Return the smallest number of tables that reaches the recall at the floor; None if MOST_TABLES do not."""
    low, high = 1, MOST_TABLES
    if expected_recall(floor, pool, n_bits, high, limit) < recall:
        return None
    while low < high:
        middle = (low + high) // 2
        if expected_recall(floor, pool, n_bits, middle, limit) >= recall:
            high = middle
        else:
            low = middle + 1
    return low


def _binomial(n: int, p: float) -> FloatArray:
    """Return the probabilities (n + 1,) of 0 to n successes."""
    if p <= 0.0:
        none: FloatArray = np.eye(1, n + 1)[0]
        return none
    k = np.arange(n + 1)
    log = _log_factorial(n)
    chances: FloatArray = np.exp(log[n] - log[k] - log[n - k] + k * math.log(p) + (n - k) * math.log1p(-p))
    return chances


def _log_factorial(n: int) -> FloatArray:
    """Return log(i!) for i = 0 to n, (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
