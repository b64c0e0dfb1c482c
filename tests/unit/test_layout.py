"""Layouts: reproducible, faithful to planted clusters, defined for every small or degenerate input."""

import functools
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.manifold import trustworthiness
from sklearn.metrics import normalized_mutual_info_score

from tests.fakes import Corpus, save
from topicflow.configs.sections.reduce import NoReduce, ParallelUmapReduce, PcaReduce, UmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.layout.components import principal_components
from topicflow.tasks.core.layout.fuzzy import fuzzy_graph
from topicflow.tasks.core.layout.parallel_layout import (
    BLOCK_ROWS,
    EPOCHS,
    FLAGS,
    LANES,
    POOL,
    STRIDE,
    TASK_ROWS,
    _list_active,
    _mark,
    _Room,
    curve_parameters,
    parallel_layout,
)
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.execution.context import Context
from topicflow.tasks.log import DETAILS
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import layout_engine, reduce, reduce_graph, start_positions

RUNTIME = RuntimeConfig(n_threads=2)

KINDS = {
    "parallel, pca": (ParallelUmapReduce, {"method": "parallel_umap", "init": "pca"}),
    "parallel, random": (ParallelUmapReduce, {"method": "parallel_umap", "init": "random"}),
    "umap-learn, spectral": (UmapReduce, {"method": "umap", "init": "spectral"}),
    "umap-learn, pca": (UmapReduce, {"method": "umap", "init": "pca"}),
    "umap-learn, random": (UmapReduce, {"method": "umap", "init": "random"}),
}
"""Whose layout, and where it starts."""


def layout(vectors: np.ndarray, kind: str = "parallel, pca", seed: int = 1, **config: object) -> np.ndarray:
    indices, distances = exact_neighbors(vectors, min(15, len(vectors)))
    return reduce_graph(indices, distances, vectors, configured(kind, **config), seed)


def configured(kind: str, **config: object) -> ParallelUmapReduce | UmapReduce:
    section, values = KINDS[kind]
    return section(**{**values, **config})


def separated(reduced: np.ndarray, truth: np.ndarray) -> float:
    found = KMeans(len(np.unique(truth)), n_init=10, random_state=0).fit_predict(reduced)
    return normalized_mutual_info_score(truth, found)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_clusters_come_apart_and_neighbours_stay(corpus: Corpus, kind: str) -> None:
    known = corpus.truth >= 0
    vectors = corpus.embeddings[known]
    reduced = layout(vectors, kind=kind)
    assert (reduced.shape, reduced.dtype) == ((120, 5), np.float32)
    assert separated(reduced, corpus.truth[known]) == pytest.approx(1.0)
    assert trustworthiness(vectors, reduced, n_neighbors=10, metric="cosine") > 0.8
    shuffled = np.random.default_rng(0).permutation(reduced)
    assert trustworthiness(vectors, shuffled, n_neighbors=10, metric="cosine") < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(corpus: Corpus, kind: str) -> None:
    first = layout(corpus.embeddings, kind=kind, n_epochs=20)
    np.testing.assert_array_equal(layout(corpus.embeddings, kind=kind, n_epochs=20), first)
    assert (layout(corpus.embeddings, seed=2, kind=kind, n_epochs=20) != first).any()


def test_threads_do_not_change_the_result(corpus: Corpus) -> None:
    from threadpoolctl import threadpool_limits

    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads), compiled_threads(n_threads):
            found.append((layout(corpus.embeddings), principal_components(corpus.embeddings, 5)))
    for alone, two in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, two)


def test_threads_share_the_points_and_do_not_change_the_result() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 10, size=(2 * TASK_ROWS + 100, 5)).astype(np.float32)
    n = len(start)
    ring = sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1], dtype=np.float32).tocsr()
    alone = parallel_layout(ring, start, 0.0, 3, 1, n_threads=1)
    np.testing.assert_array_equal(parallel_layout(ring, start, 0.0, 3, 1, n_threads=3), alone)
    assert np.isfinite(alone).all()


# --- the moves themselves ---


def mixed(x: int) -> int:
    """splitmix64's finalizer."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def lowbias32(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
    x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
    return x ^ (x >> 16)


def active_edges(graph: sparse.csr_matrix, epoch: int, i: int) -> list[int]:
    """The edges of a point that are used in an epoch."""
    rates = (graph.data / graph.data.max()).astype(np.float32)
    edges = range(graph.indptr[i], graph.indptr[i + 1])
    return [e for e in edges if int(np.float32(epoch + 1) * rates[e]) != int(np.float32(epoch) * rates[e])]


def from_pools(graph: sparse.csr_matrix) -> Callable[[int, int, int, int, int, int], list[int]]:
    """The points that push in `parallel_layout`: for each lane of a group five of a block's pool, LANES apart."""

    def drawn(state: int, bound: int) -> int:
        return ((mixed(state % 2**64) >> 32) * bound) >> 32

    @functools.cache
    def by_edges(epoch: int, first: int) -> list[int]:
        block = range(first, min(first + BLOCK_ROWS, graph.shape[0]))
        return sorted(block, key=lambda i: -len(active_edges(graph, epoch, i)))

    def pushing(epoch: int, i: int, edge: int, turn: int, n: int, seed: int) -> list[int]:
        first, stride = i // BLOCK_ROWS * BLOCK_ROWS, int(STRIDE)
        group, lane = divmod(by_edges(epoch, first).index(i), LANES)
        state = mixed((mixed(seed + (epoch << 32)) + first) % 2**64)
        own = mixed((state + POOL * stride + group * LANES) % 2**64)
        begin = drawn(own + (turn + 1) * stride, POOL - 5 * LANES + 1) + lane
        return [drawn(state + (begin + LANES * nth + 1) * stride, n) for nth in range(5)]

    return pushing


def by_hash(epoch: int, i: int, edge: int, turn: int, n: int, seed: int) -> list[int]:
    """The points that push in `cuda_layout`: five of all points."""
    salt = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    return [(lowbias32(lowbias32(edge * 5 + number) ^ salt) * n) >> 32 for number in range(5)]


def one_point_after_another(
    graph: sparse.csr_matrix,
    start: np.ndarray,
    min_dist: float,
    n_epochs: int,
    seed: int,
    pushing: Callable[[int, int, int, int, int, int], list[int]],
) -> np.ndarray:
    """The layout as described in the docstring of `parallel_layout`, in float64."""
    a, b = curve_parameters(min_dist)
    old = start.astype(float)
    for epoch in range(n_epochs):
        new, step = old.copy(), 1.0 - epoch / n_epochs
        for i in range(len(old)):
            for turn, edge in enumerate(active_edges(graph, epoch, i)):
                gap = new[i] - old[graph.indices[edge]]
                squared = gap @ gap + 1e-12
                pull = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b) * gap
                new[i] += step * np.clip(pull, -4, 4)
                push = np.zeros_like(gap)
                for other in pushing(epoch, i, edge, turn, len(old), seed):
                    gap = new[i] - old[other]
                    squared = gap @ gap
                    factor = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
                    push += np.clip(factor * gap, -4, 4) if other != i else 0.0
                new[i] += step * push
        old = new
    return old


def crossing_groups(dim: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """A graph of two blocks, the second ending within a group, with two that follow all others and one none.

    So far apart no push turns a rounding into a leap.
    """
    n = BLOCK_ROWS + 70
    weights = sparse.random(n, n, 0.02, random_state=1, dtype=np.float32).toarray()
    weights[3, :] = weights[BLOCK_ROWS + 44, :] = 1.0
    weights[17, :] = 0.0
    start = np.random.default_rng(dim).normal(scale=40.0, size=(n, dim)).astype(np.float32)
    return sparse.csr_matrix(weights), start


@pytest.mark.parametrize("dim", [2, 5])
def test_points_side_by_side_move_as_one_after_another(dim: int) -> None:
    graph, start = crossing_groups(dim)
    moved = parallel_layout(graph, start, 0.1, 2, 7)
    expected = one_point_after_another(graph, start, 0.1, 2, 7, from_pools(graph))
    np.testing.assert_allclose(moved, expected, atol=5e-3)
    assert (moved[17] == start[17]).all()


def test_the_edges_of_each_epoch_are_those_whose_share_is_due() -> None:
    weights = sparse.random(BLOCK_ROWS, BLOCK_ROWS, 0.02, random_state=1, dtype=np.float32).toarray()
    weights[5, :], weights[6, :] = (
        np.linspace(1e-6, 1, BLOCK_ROWS),
        0.0,
    )  # more edges than are read at once, and none
    graph = sparse.csr_matrix(weights)
    rates, flags = graph.data / graph.data.max(), np.zeros(graph.nnz + FLAGS, np.uint8)
    indptr = graph.indptr.astype(np.int64)
    active = _Room.of(indptr, 2).arrays()[1]
    for epoch in range(20):
        if epoch % EPOCHS == 0:
            _mark(0, graph.nnz, rates, epoch, flags)
        _list_active(0, BLOCK_ROWS, indptr, graph.indices, flags, 1 << (epoch % EPOCHS), active)
        for i in range(BLOCK_ROWS):
            found = active.neighbors[active.bounds[i] : active.bounds[i + 1]]
            assert found.tolist() == graph.indices[active_edges(graph, epoch, i)].tolist()


IN_SIMULATOR = """
import sys
import time
import numpy as np
from scipy import sparse
from topicflow.tasks.core.layout.cuda_layout import cuda_layout, what_is_missing

assert what_is_missing() is None
folder = sys.argv[1]
start, settings = np.load(folder + "/start.npy"), (0.1, 2, 7)
graph = sparse.load_npz(folder + "/graph.npz")
np.save(folder + "/moved.npy", cuda_layout(graph, start, *settings))
np.save(folder + "/again.npy", cuda_layout(graph, start, *settings))
nothing = sparse.csr_matrix((4, 4), dtype=np.float32)
assert (cuda_layout(nothing, start[:4], *settings) == start[:4]).all()
"""


def test_the_kernel_of_a_gpu_moves_points_so_too(tmp_path: Path) -> None:
    graph, start = crossing_groups(3)
    np.save(tmp_path / "start.npy", start)
    sparse.save_npz(tmp_path / "graph.npz", graph)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_SIMULATOR, str(tmp_path)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        check=True,
        timeout=300,
    )
    moved = np.load(tmp_path / "moved.npy")
    expected = one_point_after_another(graph, start, 0.1, 2, 7, by_hash)
    np.testing.assert_allclose(moved, expected, atol=5e-3)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), moved)


# --- what lays out ---


@pytest.mark.parametrize(
    ("device", "n", "missing", "engine"),
    [
        ("cuda", 50_000, None, "cuda"),
        ("cuda", 50_000, "CudaSupportError: no driver", "numba"),
        ("cuda", 100, None, "numba"),
        ("cpu", 10**6, None, "numba"),
    ],
)
def test_the_device_and_the_size_say_what_lays_out(
    device: str, n: int, missing: str | None, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topicflow.tasks.core.layout.cuda_layout.what_is_missing", lambda: missing)
    assert layout_engine(ParallelUmapReduce(method="parallel_umap"), n, device) == engine
    assert layout_engine(UmapReduce(method="umap"), n, device) == "umap-learn"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_error_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(DETAILS, "propagate", True)
    assert layout_engine(ParallelUmapReduce(method="parallel_umap"), 10**6, "cuda") == "numba"
    assert "the CPU computes the layout, because numba finds no CUDA here (CudaSupportError: " in caplog.text


def test_a_move_by_hand() -> None:
    a, b = curve_parameters(0.1)
    start = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    moved = parallel_layout(sparse.csr_matrix(np.array([[0, 1], [1, 0]], np.float32)), start, 0.1, 1, 1)
    squared = 25.0
    pulled = start[0] + 2 * a * b * squared ** (b - 1) / (1 + a * squared**b) * (start[1] - start[0])
    gap = pulled - start[1]
    squared = (gap**2).sum()
    push = 2 * b / ((0.001 + squared) * (1 + a * squared**b)) * gap
    times = (moved[0] - pulled) / push  # of the five that push, those that are not the point itself
    np.testing.assert_allclose(times[0], times[1], rtol=1e-3)
    np.testing.assert_allclose(times, np.round(times), atol=0.02)
    assert 0 <= round(float(times[0])) <= 5


def test_starts_dimensions_distance_and_passes_all_matter(corpus: Corpus) -> None:
    layouts = [layout(corpus.embeddings, kind) for kind in KINDS]
    layouts += [layout(corpus.embeddings, min_dist=0.5), layout(corpus.embeddings, n_epochs=20)]
    for first, second in itertools.combinations(layouts, 2):
        assert (first != second).any()
    assert layout(corpus.embeddings, n_components=2, n_epochs=20).shape == (132, 2)


def test_the_fuzzy_graph_is_symmetric_with_weights_up_to_one(corpus: Corpus) -> None:
    graph = fuzzy_graph(*exact_neighbors(corpus.embeddings, 15)).tocsr()
    assert (graph != graph.T).nnz == 0
    assert 0 < graph.data.min() < graph.data.max() <= 1
    nearest = exact_neighbors(corpus.embeddings, 2)[0][:, 1]
    assert graph[np.arange(132), nearest].min() == pytest.approx(1.0)  # UMAP: the nearest has weight 1


def test_the_fuzzy_graph_is_that_of_umap_learn(corpus: Corpus) -> None:
    from umap.umap_ import fuzzy_simplicial_set

    copies = np.repeat(corpus.embeddings[:20], 3, axis=0)  # neighbours at distance 0
    for vectors in (corpus.embeddings, copies):
        indices, distances = exact_neighbors(vectors, 15)
        theirs, _, _ = fuzzy_simplicial_set(
            X=indices, n_neighbors=15, random_state=None, metric="precomputed", knn_indices=indices,
            knn_dists=distances,
        )  # fmt: skip
        ours = fuzzy_graph(indices, distances)
        assert ours.nnz == theirs.nnz
        np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-5)


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 0.5, 1.0])
def test_the_curve_is_that_of_umap_learn(min_dist: float) -> None:
    from umap.umap_ import find_ab_params

    np.testing.assert_allclose(curve_parameters(min_dist), find_ab_params(1.0, min_dist), rtol=1e-6)


def test_shapes_that_differ_are_refused(corpus: Corpus) -> None:
    indices, distances = exact_neighbors(corpus.embeddings, 15)
    with pytest.raises(
        ValueError, match=r"indices \(132, 15\) and distances \(132, 14\) must have the same shape"
    ):
        fuzzy_graph(indices, distances[:, 1:])


# --- small and degenerate ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12, 13, 20])
def test_hardly_any_documents_have_a_layout(corpus: Corpus, n: int, kind: str) -> None:
    reduced = layout(corpus.embeddings[:n], kind=kind)
    assert reduced.shape == (n, 5)
    assert np.isfinite(reduced).all()
    assert (len(np.unique(reduced, axis=0)) == n) == (n > 2 or n == 1)


@pytest.mark.parametrize("n", [3, 50])
def test_equal_documents_have_one_place(corpus: Corpus, n: int) -> None:
    vectors = np.repeat(corpus.embeddings[:1], n, axis=0)
    assert (layout(vectors) == 0).all()
    assert (principal_components(vectors, 5) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_dims", [1, 2, 4])
def test_a_component_without_extent_is_not_nan(n_dims: int, kind: str) -> None:
    vectors = np.zeros((60, 8), np.float32)
    vectors[:, :n_dims] = np.random.default_rng(0).uniform(0.5, 1.5, size=(60, n_dims))
    assert np.isfinite(start_positions(vectors, 5, "pca", 1)).all()
    assert np.isfinite(layout(vectors, kind=kind)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_two_texts_with_many_copies_are_apart(corpus: Corpus, kind: str) -> None:
    truth = np.repeat([0, 1], 40)
    vectors = corpus.embeddings[truth]
    indices, distances = exact_neighbors(vectors, 15)
    for given in (distances, np.zeros_like(distances)):  # descent gives exact zeros
        reduced = reduce_graph(indices, given, vectors, configured(kind), 1)
        assert separated(reduced, truth) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disconnected_graph_has_a_layout(kind: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(6), 30)
    vectors = np.eye(6, 8)[truth] + 0.01 * rng.normal(size=(180, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    reduced = layout(vectors, kind=kind)
    assert np.isfinite(reduced).all()
    assert separated(reduced, truth) > 0.9


# --- principal components ---


def test_principal_components_are_those_of_the_singular_values(corpus: Corpus) -> None:
    found = principal_components(corpus.embeddings, 5)
    centred = corpus.embeddings - corpus.embeddings.mean(axis=0)
    left, values, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :5] * values[:5]), atol=1e-5)


@pytest.mark.parametrize(("n", "width"), [(1, 1), (2, 2), (3, 3), (20, 16)])
def test_there_are_no_more_components_than_documents_or_dimensions(
    corpus: Corpus, n: int, width: int
) -> None:
    found = principal_components(corpus.embeddings[:n], 500)
    assert found.shape == (n, width)
    assert np.isfinite(found).all()


def wide(n: int, dim: int = 4_096, rank: int = 40) -> np.ndarray:
    """Unit vectors of many columns in a space of `rank` dimensions."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(n, rank)) * np.linspace(3, 0.1, rank)) @ rng.normal(size=(rank, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "dim"), [(300, 4_096), (1_300, 1_100)])
def test_wide_vectors_have_the_components_of_their_singular_values(n: int, dim: int) -> None:
    vectors = wide(n, dim)
    started = time.perf_counter()
    found = principal_components(vectors, 5, 1)
    assert time.perf_counter() - started < 5  # 4,096 x 4,096 on one thread take a minute
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :5] * values[:5]), atol=1e-5)
    np.testing.assert_array_equal(found, principal_components(vectors, 5, 2))
    np.testing.assert_array_equal(found, principal_components(vectors, 5, 5))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_beyond_the_rank_of_wide_vectors_components_are_zero(n: int) -> None:
    found = principal_components(wide(n), 10)
    assert found.shape == (n, n)
    assert np.isfinite(found).all()
    assert (np.abs(found[:, n - 1 :]) < 1e-6).all()  # n points are in n - 1 dimensions
    assert (np.abs(principal_components(np.repeat(wide(1), 9, axis=0), 5)) < 1e-6).all()


def test_only_the_rows_that_count_set_the_directions(corpus: Corpus) -> None:
    rows = np.append(np.arange(132), np.full(2_000, 7))
    expected = principal_components(corpus.embeddings, 5)
    found = principal_components(corpus.embeddings[rows], 5, among=np.arange(132))
    np.testing.assert_allclose(found[:132], expected, atol=1e-6)
    assert np.abs(principal_components(corpus.embeddings[rows], 5)[:132] - expected).max() > 0.1


# --- the stage ---


@pytest.fixture
def inputs(store: ArtifactStore, corpus: Corpus) -> tuple[ArtifactRef, ArtifactRef]:
    indices, distances = exact_neighbors(corpus.embeddings, 15)
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings})
    return embeddings, save(store, "neighbors", {"indices": indices, "distances": distances})


@pytest.mark.parametrize(
    ("config", "width"),
    [
        (ParallelUmapReduce(method="parallel_umap", n_epochs=20), 5),
        (UmapReduce(method="umap", n_epochs=20), 5),
        (PcaReduce(method="pca", n_components=3), 3),
        (NoReduce(method="none"), 16),
    ],
)
def test_the_task_saves_what_its_function_returns(
    store: ArtifactStore, corpus: Corpus, inputs: tuple[ArtifactRef, ArtifactRef], config: object, width: int
) -> None:
    made = reduce.fn(Context(store, 1, RUNTIME), *inputs, config)
    expected = {
        "parallel_umap": lambda: layout(corpus.embeddings, n_epochs=20),
        "umap": lambda: layout(corpus.embeddings, "umap-learn, pca", n_epochs=20),
        "pca": lambda: principal_components(corpus.embeddings, 3),
        "none": lambda: corpus.embeddings,
    }[config.method]()
    np.testing.assert_array_equal(store.array(made, "reduced"), expected)
    engine = {"parallel_umap": {"engine": "numba"}, "umap": {"engine": "umap-learn"}}.get(config.method, {})
    assert store.meta(made) == {"method": config.method, "n_components": width, **engine}
    again = reduce.fn(Context(store, 1, RUNTIME), *inputs, config)
    assert (again.cached, again) == (True, made)
    other_seed = reduce.fn(Context(store, 2, RUNTIME), *inputs, config)
    assert other_seed.cached == (config.method in {"pca", "none"})  # they draw nothing


def test_a_device_that_is_there_lays_out_and_the_log_says_so(
    store: ArtifactStore,
    inputs: tuple[ArtifactRef, ArtifactRef],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from topicflow.tasks.topics import reduce as stage

    def on_a_gpu(*given: object) -> np.ndarray:
        return parallel_layout(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "CUDA_FROM", 100)
    monkeypatch.setattr(stage, "resolve_device", lambda _: "cuda")
    monkeypatch.setattr("topicflow.tasks.core.layout.cuda_layout.what_is_missing", lambda: None)
    monkeypatch.setattr("topicflow.tasks.core.layout.cuda_layout.cuda_layout", on_a_gpu)
    monkeypatch.setattr(DETAILS, "propagate", True)
    ref = reduce.fn(
        Context(store, 1, RUNTIME), *inputs, ParallelUmapReduce(method="parallel_umap", n_epochs=5)
    )
    assert store.meta(ref)["engine"] == "cuda"
    assert "layout of 132 points by cuda" in caplog.text


def test_the_map_is_a_two_dimensional_layout_of_the_same_graph(
    store: ArtifactStore, corpus: Corpus, inputs: tuple[ArtifactRef, ArtifactRef]
) -> None:
    from topicflow.configs.sections.reduce import MapConfig

    made = reduce.fn(Context(store, 1, RUNTIME), *inputs, map_reduce(MapConfig(n_epochs=20)))
    expected = layout(corpus.embeddings, n_components=2, min_dist=0.1, n_epochs=20)
    np.testing.assert_array_equal(store.array(made, "reduced"), expected)


def test_compiled_loops_run_on_as_many_threads_as_asked_for_and_there_are() -> None:
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    for asked, given in ((1, 1), (most, most), (most + 50, most), (None, most)):
        with compiled_threads(asked):
            assert numba.get_num_threads() == given
    with pytest.raises(KeyError), compiled_threads(1):
        raise KeyError
    assert numba.get_num_threads() == most
