"""Quality: vectors, layout, clusters and known classes -> measures of how well they agree, floats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 512
"""Rows of a distance matrix in memory at a time: 512 × 5,000 float64 are 20 MB."""


def sample_rows(n: int, size: int, seed: int) -> NDArray[np.int64]:
    """Return `size` of n row numbers, ascending, drawn without replacement; all if n is smaller."""
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def trustworthiness(
    vectors: NDArray[np.floating], reduced: NDArray[np.floating], n_neighbors: int = 15
) -> float:
    """Return the trustworthiness of a layout, 0 to 1: whether neighbours in the layout are neighbours in the vectors.

    Parameters
    ----------
    vectors : ndarray
        Unit vectors (n, dim); their distance is 1 minus the cosine.
    reduced : ndarray
        The layout (n, d); its distance is Euclidean.
    n_neighbors : int
        Neighbours in the layout that are checked in the vectors; fewer than half of n, which the measure requires.

    Returns
    -------
    float
        NaN for fewer than three rows. Similarities within 1e-12 tie for the better rank, so equal vectors give 1.

    Notes
    -----
    O(n² (dim + n_neighbors)) time, O(BLOCK_ROWS × n) memory. On a sample the neighbours are those inside the sample,
    which are further apart than in the whole corpus: a smaller sample gives a coarser view of the layout.

    References
    ----------
    Venna and Kaski (2001), Neighborhood preservation in nonlinear projection methods, section 2;
    scikit-learn, sklearn.manifold.trustworthiness.
    """
    n = len(vectors)
    k = min(n_neighbors, (n - 1) // 2)
    if k < 1:
        return float("nan")
    true, shown = np.asarray(vectors, np.float64), np.asarray(reduced, np.float64)
    penalty = 0
    for start in range(0, n, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, n))
        closeness = true[rows] @ true.T
        closeness[np.arange(len(rows)), rows] = -np.inf
        for neighbors in _nearest(shown, rows, k).T:
            bound = closeness[np.arange(len(rows)), neighbors] + 1e-12
            ranks = 1 + (closeness > bound[:, None]).sum(axis=1)
            penalty += int(np.maximum(0, ranks - k).sum())
    return 1.0 - penalty * 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0))


def neighbor_preservation(
    neighbors: NDArray[np.integer], reduced: NDArray[np.floating], rows: NDArray[np.integer]
) -> float:
    """Return the share of graph neighbours that are also among the k nearest in the layout, over some rows.

    Parameters
    ----------
    neighbors : ndarray
        Neighbour graph (n, k) int, without the rows themselves.
    reduced : ndarray
        The layout (n, d).
    rows : ndarray
        Rows that are measured, (m,) int; their neighbours are searched among all n.

    Returns
    -------
    float
        0 to 1; NaN if there are no rows or neighbours.

    Notes
    -----
    O(m × n × d) time, O(BLOCK_ROWS × n) memory.
    """
    k = neighbors.shape[1]
    if not len(rows) or not k:
        return float("nan")
    shown = np.asarray(reduced, np.float64)
    kept = 0
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        nearest = _nearest(shown, part, k)
        kept += int((neighbors[part][:, :, None] == nearest[:, None, :]).any(axis=2).sum())
    return float(kept / (len(rows) * k))


def _nearest(points: NDArray[np.float64], rows: NDArray[np.integer], k: int) -> NDArray[np.intp]:
    """Return the k nearest other points of some rows (len(rows), k), in no particular order."""
    distances = _distances(points[rows], points)
    distances[np.arange(len(rows)), rows] = np.inf
    nearest: NDArray[np.intp] = np.argpartition(distances, k - 1, axis=1)[:, :k]
    return nearest


def outlier_share(labels: NDArray[np.integer]) -> float:
    """Return the share of documents without a topic (label below 0); NaN without documents."""
    return float((labels < 0).mean()) if len(labels) else float("nan")


def agreement(labels: NDArray[np.integer], classes: NDArray[np.integer]) -> dict[str, float]:
    """Return NMI, ARI and purity of clusters against known classes; each label value, also -1, is a cluster.

    Parameters
    ----------
    labels, classes : ndarray
        (n,) int each.

    Returns
    -------
    dict
        `nmi` (divided by the mean of the entropies), `ari`, `purity`. NMI and ARI are NaN with fewer than two classes;
        all three are NaN without documents.

    Notes
    -----
    Equal to scikit-learn's `normalized_mutual_info_score` and `adjusted_rand_score`, whose import took half of the time
    of the stage `evaluate` at 6,400 documents (tests/benchmarks/README.md).

    References
    ----------
    Vinh, Epps and Bailey: Information theoretic measures for clusterings comparison (2010); Hubert and Arabie:
    Comparing partitions (1985); Manning, Raghavan and Schütze: Introduction to information retrieval (2008), section
    16.3 (purity).
    """
    nan, n = float("nan"), len(labels)
    if not n:
        return {"nmi": nan, "ari": nan, "purity": nan}
    found = _contingency(labels, classes)
    largest = np.zeros(len(found.sizes[0]), np.int64)
    np.maximum.at(largest, found.clusters, found.shared)
    purity = float(largest.sum() / n)
    if len(found.sizes[1]) < 2:
        return {"nmi": nan, "ari": nan, "purity": purity}
    mean_entropy = sum(map(_entropy, found.sizes)) / 2
    nmi = _information(found, n) / mean_entropy
    return {"nmi": nmi, "ari": _adjusted_rand(found.shared, *found.sizes), "purity": purity}


def mutual_information(labels: NDArray[np.integer], classes: NDArray[np.integer]) -> float:
    """Return the mutual information of two labellings (n,) of the same documents, in nats; at least 0."""
    return _information(_contingency(labels, classes), len(labels))


class _Contingency(NamedTuple):
    """Documents that a cluster and a class share, without empty pairs, and the sizes of clusters and of classes."""

    clusters: NDArray[np.int64]
    classes: NDArray[np.int64]
    shared: NDArray[np.int64]
    sizes: tuple[NDArray[np.int64], NDArray[np.int64]]


def _contingency(labels: NDArray[np.integer], classes: NDArray[np.integer]) -> _Contingency:
    _, clusters, n_in_cluster = np.unique(labels, return_inverse=True, return_counts=True)
    _, known, n_in_class = np.unique(classes, return_inverse=True, return_counts=True)
    pairs, shared = np.unique(clusters * np.int64(len(n_in_class)) + known, return_counts=True)
    return _Contingency(*np.divmod(pairs, len(n_in_class)), shared, (n_in_cluster, n_in_class))


def _information(found: _Contingency, n: int) -> float:
    """Return the mutual information of the two labellings of n documents, in nats."""
    if_independent = found.sizes[0][found.clusters] * found.sizes[1][found.classes] / n
    return max(0.0, float((found.shared / n * np.log(found.shared / if_independent)).sum()))


def _entropy(sizes: NDArray[np.int64]) -> float:
    """Return the entropy of a partition into sets of these sizes, in nats."""
    shares = sizes / sizes.sum()
    return float(-(shares * np.log(shares)).sum())


def _adjusted_rand(shared: NDArray[np.int64], *sizes: NDArray[np.int64]) -> float:
    """Return the adjusted Rand index of two partitions from the sizes of their sets and of what these share."""
    together, first, second = (float((each * (each - 1.0)).sum()) for each in (shared, *sizes))
    n = float(sizes[0].sum())
    expected, most = first * second / (n * (n - 1.0)), (first + second) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def sample_clusters(labels: NDArray[np.integer], size: int, seed: int) -> NDArray[np.int64]:
    """Return row numbers, ascending, of about `size` documents with a topic, in proportion to the topics' sizes.

    Parameters
    ----------
    labels : ndarray
        Topic of each document (n_docs,) int, below 0 for none.
    size : int
        Rows wanted. A topic gets at least 10 of its rows (2 if there are many topics), so that it has a shape; the
        result can therefore be twice as large. Of more than size / 2 topics only size / 2 are drawn.
    seed : int
        Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    topics, sizes = np.unique(labels[labels >= 0], return_counts=True)
    if len(topics) > size // 2:
        drawn = np.sort(rng.choice(len(topics), size // 2, replace=False))
        topics, sizes = topics[drawn], sizes[drawn]
    least = max(2, min(10, size // max(1, len(topics))))
    wanted = np.maximum(least, size * sizes // max(1, int(sizes.sum())))
    rows = np.flatnonzero(np.isin(labels, topics))
    order = np.lexsort((rng.random(len(rows)), labels[rows]))  # by topic, shuffled within
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(rows[order][place < np.repeat(wanted, sizes)])


def dbcv(
    points: NDArray[np.floating], labels: NDArray[np.integer], all_labels: NDArray[np.integer] | None = None
) -> float:
    """Return the density-based validity of clusters, -1 to 1: whether they are denser inside than between each other.

    Parameters
    ----------
    points : ndarray
        The clustered points, or a sample of them, (n, d) float.
    labels : ndarray
        Clusters of these points (n,) int; below 0 is noise.
    all_labels : ndarray or None
        Clusters of all points, (n_docs,) int, if `points` are a sample. A cluster's weight is its share of all these,
        including noise; drawn clusters also represent those that were not drawn.

    Returns
    -------
    float
        NaN for fewer than two clusters of two points. Noise and single points count as zero, so that leaving points
        out does not improve the result.

    Notes
    -----
    O(n² d) time, O(BLOCK_ROWS × n) memory. The values equal those of `hdbscan.validity.validity_index`, which takes
    O(clusters² × n) time and overflows in many dimensions; here powers are summed as logarithms. Clusters look sparser
    on a sample: compare only values from samples of one size.

    References
    ----------
    Moulavi et al. (2014), Density-based clustering validation, definitions 1 to 6; hdbscan 0.8, validity.py.
    """
    drawn, sizes = np.unique(labels[labels >= 0], return_counts=True)
    clusters = drawn[sizes > 1]
    if len(clusters) < 2:
        return float("nan")
    inner, cores, owner = [], [], []
    sparseness = np.zeros(len(clusters))
    for i, cluster in enumerate(clusters):
        members = np.asarray(points[labels == cluster], np.float64)
        core, nodes, sparseness[i] = _density_tree(members)
        inner.append(members[nodes])
        cores.append(core[nodes])
        owner.append(np.full(len(nodes), i))
    separation = _separation(np.concatenate(inner), np.concatenate(cores), np.concatenate(owner))
    larger = np.maximum(separation, sparseness)
    validity = np.divide(separation - sparseness, larger, out=np.zeros(len(clusters)), where=larger > 0)
    everyone = labels if all_labels is None else all_labels
    _, counts = np.unique(everyone[np.isin(everyone, drawn)], return_counts=True)
    return float(validity @ counts[sizes > 1] / counts.sum() * (everyone >= 0).mean())


def _density_tree(members: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp], float]:
    """Return a cluster's core distances (n,), the inner nodes of its spanning tree, and its sparseness."""
    core = _core_distances(members)
    ends, lengths = _spanning_tree(members, core)
    nodes = np.flatnonzero(np.bincount(ends.ravel(), minlength=len(members)) > 1)
    if not len(nodes):  # a pair of points has no inner node
        nodes = np.zeros(1, np.intp)
    inside = np.isin(ends, nodes).all(axis=1)
    return core, nodes, float(lengths[inside].max() if inside.any() else lengths.max())


def _core_distances(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all-points core distances (n,): the power mean of order -dim, distances of 0 add nothing."""
    from scipy.special import logsumexp

    n, dim = members.shape
    core = np.zeros(n)
    for start in range(0, n, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        distances = _distances(members[rows], members)
        apart = (distances > 0).any(axis=1)  # if all points coincide, the core distance is 0
        logs = np.log(
            distances[apart], out=np.full((int(apart.sum()), n), np.inf), where=distances[apart] > 0
        )
        core[rows][apart] = np.exp((np.log(n - 1) - logsumexp(-dim * logs, axis=1)) / dim)
    return core


def _spanning_tree(
    members: NDArray[np.float64], core: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the ends (n - 1, 2) and lengths (n - 1,) of a minimum spanning tree by mutual reachability.

    Prim's algorithm, one row of the matrix at a time. Many reachabilities are equal, so there are many such trees. This
    function returns the tree of hdbscan: a node is attached to the first node of the tree at its distance, within the
    tolerance of `numpy.isclose`.
    """
    n = len(members)
    in_tree = np.zeros(n, bool)
    nearest = np.full(n, np.inf)
    ends, lengths = np.zeros((n, 2), np.intp), np.zeros(n)
    node = 0
    for step in range(n):
        reach = np.maximum(_distances(members[node : node + 1], members)[0], np.maximum(core, core[node]))
        if step:
            lengths[step] = nearest[node]
            ends[step] = np.flatnonzero(in_tree & np.isclose(reach, nearest[node]))[0], node
        in_tree[node] = True
        nearest = np.where(in_tree, np.inf, np.minimum(nearest, reach))
        node = int(nearest.argmin())
    return ends[1:], lengths[1:]


def _separation(
    points: NDArray[np.float64], core: NDArray[np.float64], owner: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return each cluster's smallest mutual reachability to another cluster's inner nodes, (n_clusters,)."""
    separation = np.full(int(owner.max()) + 1, np.inf)
    for start in range(0, len(points), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        reach = np.maximum(_distances(points[rows], points), np.maximum.outer(core[rows], core))
        reach[owner[rows][:, None] == owner] = np.inf
        np.minimum.at(separation, owner[rows], reach.min(axis=1))
    return separation


def _distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Euclidean distances (len(left), len(right)): exact in few dimensions, by products in many.

    Beyond 32 dimensions products are ten times as fast, but they leave 1e-8 of a vector's length between equal vectors;
    distances below 1e-7 of the length count as 0.
    """
    from scipy.spatial.distance import cdist

    if left.shape[1] <= 32:
        exact: NDArray[np.float64] = cdist(left, right)
        return exact
    lengths = np.einsum("ij,ij->i", right, right)
    squares = np.einsum("ij,ij->i", left, left)[:, None] + lengths - 2 * (left @ right.T)
    squares[squares < 1e-14 * lengths.max()] = 0
    distances: NDArray[np.float64] = np.sqrt(squares)
    return distances
