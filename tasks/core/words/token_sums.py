"""Bags: rows of a table by token ids -> their sum for each text."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray


@njit(cache=True, parallel=True, nogil=True)  # type: ignore[untyped-decorator]
def sum_rows(
    table: NDArray[np.float32], ids: NDArray[np.int32], ends: NDArray[np.int64], first: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the sums (n_texts, dim) float32 of the rows of a table that each text names, added to `first`.

    Parameters
    ----------
    table : ndarray of shape (n_tokens, dim), float32
        A row for each token id.
    ids : ndarray of shape (n_ids,), int32
        The token ids of all texts, one text after the other.
    ends : ndarray of shape (n_texts,), int64
        Where each text's ids end.
    first : ndarray of shape (dim,), float32
        What each sum starts from.

    Notes
    -----
    Texts are shared out over threads and each is summed in its own order, so the number of threads changes no bit.
    """
    sums = np.empty((len(ends), table.shape[1]), np.float32)
    for text in prange(len(ends)):
        begin = ends[text - 1] if text else 0
        sums[text] = first
        for place in range(begin, ends[text]):
            sums[text] += table[ids[place]]
    return sums


def distilled_table(
    vectors: NDArray[np.float32], is_special: NDArray[np.bool_], dim: int, sif: float
) -> NDArray[np.float32]:
    """Return the table (n_tokens, dim) float32 of a static encoder: tokens' vectors on their main axes, weighted.

    Parameters
    ----------
    vectors : ndarray of shape (n_tokens, width), float32
        What the encoder gives for each token alone, in the vocabulary's order, which is that of frequency.
    is_special : ndarray of shape (n_tokens,), bool
        Tokens that stand for no text; their rows are zero.
    dim : int
        Principal axes kept; the width of the vectors where they have less.
    sif : float
        A token of probability p counts sif / (sif + p); p is Zipf's, 1 / rank.

    References
    ----------
    Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017, section 3, for the
    weights; the order PCA, then weights, and Zipf's p are model2vec's (0.10.0).
    """
    words = np.asarray(vectors[~is_special], np.float64)
    words -= words.mean(axis=0)
    _, axes = np.linalg.eigh(words.T @ words)
    axes = axes[:, ::-1][:, :dim]
    axes *= np.sign(
        axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    )  # a sign is free: the same each time
    zipf = 1.0 / np.arange(2, len(words) + 2)
    zipf /= zipf.sum()
    table = np.zeros((len(vectors), axes.shape[1]), np.float32)
    table[~is_special] = (words @ axes) * (sif / (sif + zipf))[:, None]
    return table
