"""Token sums: rows of a table by token ids -> their sum for each text."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import bound, threads

BLOCK_TEXTS = 256


def sum_rows(
    table: NDArray[np.float32],
    ids: NDArray[np.int32],
    ends: NDArray[np.int64],
    first: NDArray[np.float32],
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Return for each text the sum (n_texts, dim) float32 of `first` and the table's rows of its tokens.

    Parameters
    ----------
    table : ndarray of shape (n_tokens, dim), float32
        A row for each token id.
    ids : ndarray of shape (n_ids,), int32
        The token ids of all texts, one text after the other.
    ends : ndarray of shape (n_texts,), int64
        End of each text's ids.
    first : ndarray of shape (dim,), float32
        Start value of each sum.
    n_threads : int, optional
        Threads; default all cores.

    Notes
    -----
    Threads share the texts, and each text is summed in order, so the result does not depend on the number of threads.
    """
    sums = np.empty((len(ends), table.shape[1]), np.float32)
    with threads(n_threads) as run:
        run(bound(_add_rows, table, ids, ends, first, sums), len(ends), BLOCK_TEXTS)
    return sums


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_rows(
    start: int,
    stop: int,
    table: NDArray[np.float32],
    ids: NDArray[np.int32],
    ends: NDArray[np.int64],
    first: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:
    """Write the sums (n_texts, dim) of the texts start..stop."""
    for text in range(start, stop):
        own = sums[text]
        for d in range(len(first)):
            own[d] = first[d]
        for place in range(ends[text - 1] if text else 0, ends[text]):
            row = table[ids[place]]
            for d in range(len(first)):
                own[d] += row[d]


def distilled_table(
    vectors: NDArray[np.float32], is_special: NDArray[np.bool_], dim: int, sif: float
) -> NDArray[np.float32]:
    """Return the table (n_tokens, dim) float32 of a static encoder: weighted principal components of token vectors.

    Parameters
    ----------
    vectors : ndarray of shape (n_tokens, width), float32
        The encoder's vectors of single tokens, in the vocabulary's order, which is the order of frequency.
    is_special : ndarray of shape (n_tokens,), bool
        Tokens that represent no text; their rows are zero.
    dim : int
        Number of principal components; the width of the vectors if that is smaller.
    sif : float
        A token of probability p has the weight sif / (sif + p); p follows Zipf's law, 1 / rank.

    References
    ----------
    Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017, section 3, for the
    weights; applying PCA before the weights, and p from Zipf's law, are from model2vec (0.10.0).
    """
    words = np.asarray(vectors[~is_special], np.float64)
    words -= words.mean(axis=0)
    _, axes = np.linalg.eigh(words.T @ words)
    axes = axes[:, ::-1][:, :dim]
    axes *= np.sign(
        axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    )  # the sign is arbitrary: always choose the same
    zipf = 1.0 / np.arange(2, len(words) + 2)
    zipf /= zipf.sum()
    table = np.zeros((len(vectors), axes.shape[1]), np.float32)
    table[~is_special] = (words @ axes) * (sif / (sif + zipf))[:, None]
    return table
