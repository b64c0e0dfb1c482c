"""Window counts: kernels that count in how many sliding windows words occur, alone and together.

Functions import this module when they run, because numba compiles decorated functions at import.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_windows(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    window: int,
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    occurrences: NDArray[np.int64],
    together: NDArray[np.int64],
) -> int:
    """Add the window counts of some documents to `occurrences` and `together`; return the number of windows.

    A word is followed from the window that it enters to the one that it leaves. Only then its windows are counted,
    all at once, alone and with every word still present. A leaving token removes its word even if the window contains
    the word a second time, as in gensim's accumulator (see `tasks.core.words.coherence`).

    Parameters
    ----------
    ids : ndarray
        Word ids (n_tokens,) int32, -1 for words that are not counted.
    offsets : ndarray
        Bounds of the documents (n_docs + 1,) int64.
    window : int
        Window length in tokens; a shorter document is one window.
    indptr, neighbors : ndarray
        Words to count together with word w: `neighbors[indptr[w]:indptr[w + 1]]`; symmetric.
    occurrences : ndarray
        Windows with each word (n_words,) int64; the counts are added.
    together : ndarray
        Windows with each pair, aligned with `neighbors`; the counts are added. A pair has two entries, whose sum is its
        number of windows.

    Notes
    -----
    Time O(n_tokens × neighbours of a word) for any window; memory O(n_words).
    """
    since = np.full(len(indptr) - 1, -1, np.int64)  # first window of the current stay; -1 if absent
    total = 0
    for document in range(len(offsets) - 1):
        low, high = offsets[document], offsets[document + 1]
        n_windows = max(1, high - low - window + 1)
        total += n_windows
        for position in range(low, min(high, low + window)):
            word = ids[position]
            if word >= 0 and since[word] < 0:
                since[word] = 0
        for step in range(1, n_windows):
            leaving, entering = ids[low + step - 1], ids[low + step + window - 1]
            if leaving >= 0 and since[leaving] >= 0:
                _leave(leaving, step, since, indptr, neighbors, occurrences, together)
            if entering >= 0 and since[entering] < 0:
                since[entering] = step
        for position in range(low + n_windows - 1, high):
            word = ids[position]
            if word >= 0 and since[word] >= 0:
                _leave(word, n_windows, since, indptr, neighbors, occurrences, together)
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _leave(
    word: int,
    step: int,
    since: NDArray[np.int64],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    occurrences: NDArray[np.int64],
    together: NDArray[np.int64],
) -> None:
    """Count the windows of a stay that ends before window `step`."""
    start = since[word]
    occurrences[word] += step - start
    for place in range(indptr[word], indptr[word + 1]):
        other = since[neighbors[place]]
        if other >= 0:
            together[place] += step - max(start, other)
    since[word] = -1
