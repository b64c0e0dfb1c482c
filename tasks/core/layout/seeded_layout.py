"""Seeded layout: fuzzy graph -> positions (n, n_components) float32 by umap-learn itself, on one thread."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

FloatArray = NDArray[np.float32]


def umap_layout(
    graph: csr_matrix,
    vectors: FloatArray,
    n_components: int,
    min_dist: float,
    n_epochs: int | None,
    init: str,
    seed: int,
) -> FloatArray:
    """Return umap-learn's layout (n, n_components) float32 of a fuzzy graph, the same for the same seed.

    Parameters
    ----------
    graph : sparse matrix of shape (n, n)
        The result of `fuzzy_graph`.
    vectors : ndarray of shape (n, dim), float32
        The embeddings; they place the components of a disconnected graph and give the PCA start.
    n_components : int
        Dimensions of the layout.
    min_dist : float
        Minimum distance between points.
    n_epochs : int or None
        Passes; if None, umap-learn's choice by size.
    init : str
        `spectral`, `pca` or `random`.
    seed : int
        Seed of the start and of the negative samples.

    Notes
    -----
    Single-threaded, because umap-learn's parallel layout is not reproducible. The spectral start needs more points than
    dimensions; with fewer it falls back to random positions.
    """
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    if graph.shape[0] <= 2 * (n_components + 1) or (init == "pca" and min(vectors.shape) <= n_components):
        init = "random"
    a, b = find_ab_params(1.0, min_dist)
    with warnings.catch_warnings():
        # eigensolver and disconnected-graph notices of the spectral start; it has its own fallback
        warnings.simplefilter("ignore", category=UserWarning)
        positions, _ = simplicial_set_embedding(
            vectors,
            graph.tocoo(),
            n_components=n_components,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=n_epochs,
            init=init,
            random_state=np.random.RandomState(seed),
            metric="cosine",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            parallel=False,
            verbose=False,
            tqdm_kwds={"disable": True},
        )
    return np.ascontiguousarray(positions, dtype=np.float32)
