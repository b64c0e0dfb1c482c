"""MinHash: texts -> sets of word shingles and signatures -> pairs with a Jaccard similarity of at least `floor`.

The minimum of a random hash over two sets is the same with probability J, their Jaccard similarity. A band is r such
values; two documents share it with probability J^r, and at least one of b bands with 1 - (1 - J^r)^b: with r = 5 and
b = 38 that is .954 at J = .6, .999 at .7 and .0004 at .1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.pairs import Pairs, no_pairs
from topicflow.tasks.core.words.cutting import COMPARED

WordArray = NDArray[np.uint64]
RowArray = NDArray[np.int32]


@dataclass(frozen=True)
class Bands:
    """`n_bands` bands of `n_rows` values of a signature each."""

    n_bands: int
    n_rows: int

    @property
    def n_hashes(self) -> int:
        """Values of a signature."""
        return self.n_bands * self.n_rows

    def recall(self, similarity: float) -> float:
        """Return the expected share of pairs with this Jaccard similarity that share a band."""
        return 1.0 - (1.0 - similarity**self.n_rows) ** self.n_bands


def choose_bands(floor: float, recall: float, most_hashes: int) -> Bands:
    """Return the longest bands, and as few as possible, so that pairs at the floor share one at the requested recall.

    Long bands separate dissimilar documents; values beyond the needed bands are not computed. If even bands of one
    value do not reach the recall, all `most_hashes` values are such bands.
    """
    best = Bands(most_hashes, 1)
    for n_rows in range(1, most_hashes + 1):
        chance = floor**n_rows
        n_bands = 1 if chance >= recall else math.ceil(math.log(1.0 - recall) / math.log1p(-chance))
        if n_bands * n_rows > most_hashes:
            break
        best = Bands(n_bands, n_rows)
    return best


def shingled(texts: Sequence[str], width: int) -> tuple[WordArray, NDArray[np.int64]]:
    """Return the distinct hashes of each text's shingles, ascending, and the range of each text (n_texts + 1,).

    The words are those of `tasks.core.words.cutting.COMPARED`.
    """
    from topicflow.tasks.core.duplicates.shingle_kernels import shingle_sets

    cut = COMPARED.cut(texts)
    found: tuple[WordArray, NDArray[np.int64]] = shingle_sets(cut.hashes, cut.ranges, width)
    return found


def signed(shingles: WordArray, ranges: NDArray[np.int64], n_hashes: int, seed: int) -> NDArray[np.uint32]:
    """Return MinHash signatures (n_texts, n_hashes) uint32 of sets of shingles.

    Notes
    -----
    O(n_shingles n_hashes), .5 ns each on a core with AVX-512.

    References
    ----------
    Broder: On the resemblance and containment of documents (1997). Hashes of the form a x + b by their high halves:
    Dietzfelbinger: Universal hashing and k-wise independent random variables via integer arithmetic (STACS 1996).
    """
    from topicflow.tasks.core.duplicates.shingle_kernels import minhash_signatures

    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 2**64, n_hashes, np.uint64) | np.uint64(1)
    addends = rng.integers(0, 2**64, n_hashes, np.uint64)
    signatures = np.empty((len(ranges) - 1, n_hashes), np.uint32)
    minhash_signatures(shingles, ranges, factors, addends, signatures)
    return signatures


def equal_sets(shingles: WordArray, ranges: NDArray[np.int64]) -> RowArray:
    """Return the first equal set (n,) of each set; a set without shingles equals no other one."""
    heads: dict[bytes, int] = {}
    first = np.empty(len(ranges) - 1, np.int32)
    for row in range(len(first)):
        own = shingles[ranges[row] : ranges[row + 1]]
        first[row] = heads.setdefault(own.tobytes(), row) if len(own) else row
    return first


def pairs_of_band(
    signatures: NDArray[np.uint32],
    shingles: WordArray,
    ranges: NDArray[np.int64],
    rows: RowArray,
    n_base: int,
    bands: Bands,
    band: int,
    floor: float,
    window: int,
    max_partners: int,
) -> Pairs:
    """Return the pairs that share a band and have a Jaccard similarity of at least `floor`.

    Parameters as in `hashed_pairs.pairs_of_table`; `shingles[ranges[i]:ranges[i + 1]]` is the set of row i.
    """
    from topicflow.tasks.core.duplicates.shingle_kernels import band_entries, compare_band

    entries = np.empty(len(rows), np.uint64)
    band_entries(signatures, rows, band * bands.n_rows, (band + 1) * bands.n_rows, entries)
    entries.sort()
    partners = np.zeros(len(ranges) - 1, np.int32)
    pairs, similarities = np.empty((window + 2**16, 2), np.int32), np.empty(window + 2**16, np.float32)
    at, counts, found = 0, np.zeros(2, np.int64), [no_pairs()]
    while at < len(entries):
        counts[0] = 0
        at = compare_band(
            entries, at, window, n_base, shingles, ranges, np.float32(floor), partners, max_partners, pairs,
            similarities, counts,
        )  # fmt: skip
        found.append(Pairs(pairs[: counts[0]].copy(), similarities[: counts[0]].copy()))
    return Pairs(
        np.concatenate([part.rows for part in found]), np.concatenate([part.similarities for part in found])
    )
