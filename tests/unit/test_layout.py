"""Layouts: reproducible, faithful to planted clusters, defined for every small or degenerate input."""

import itertools

import numpy as np
import pytest
from prefect.states import State
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.manifold import trustworthiness
from sklearn.metrics import normalized_mutual_info_score

from configs.models import NoReduce, ParallelUmapReduce, PcaReduce, RuntimeConfig, UmapReduce
from tasks.core.components import principal_components
from tasks.core.fuzzy import fuzzy_graph
from tasks.core.knn import exact_neighbors
from tasks.core.layout import BLOCK_ROWS, POOL, STRIDE, TASK_ROWS, curve_parameters, parallel_layout
from tasks.core.torch_layout import torch_layout
from tasks.progress import DETAILS
from tasks.recipes import map_reduce
from tasks.reduce import layout_engine, reduce, reduce_graph, start_positions
from tasks.resources import compiled_threads
from tasks.store import ArtifactRef, ArtifactStore
from tests.fakes import Corpus, save

RUNTIME = RuntimeConfig(n_threads=2)

KINDS = {
    "parallel, pca": (ParallelUmapReduce, {"init": "pca"}),
    "parallel, random": (ParallelUmapReduce, {"init": "random"}),
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


def test_threads_change_no_bit(corpus: Corpus) -> None:
    from threadpoolctl import threadpool_limits

    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads), compiled_threads(n_threads):
            found.append((layout(corpus.embeddings), principal_components(corpus.embeddings, 5)))
    for alone, two in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, two)


def test_threads_share_the_points_and_change_no_bit() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 10, size=(2 * TASK_ROWS + 100, 5)).astype(np.float32)
    n = len(start)
    ring = sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1], dtype=np.float32).tocsr()
    alone = parallel_layout(ring, start, 0.0, 3, 1, n_threads=1)
    np.testing.assert_array_equal(parallel_layout(ring, start, 0.0, 3, 1, n_threads=3), alone)
    assert np.isfinite(alone).all()


# --- on a device ---


def graph_of(vectors: np.ndarray) -> sparse.csr_matrix:
    return fuzzy_graph(*exact_neighbors(vectors, 15)).tocsr()


def test_torch_keeps_as_many_neighbours_as_the_compiled_kernel(corpus: Corpus) -> None:
    vectors, graph = corpus.embeddings, graph_of(corpus.embeddings)
    start = start_positions(vectors, 5, "pca", 1)
    laid = {
        "numba": parallel_layout(graph, start, 0.0, 60, 1),
        "torch": torch_layout(graph, start, 0.0, 60, 1, "cpu"),
    }
    kept = {name: trustworthiness(vectors, x, n_neighbors=10, metric="cosine") for name, x in laid.items()}
    assert kept["torch"] == pytest.approx(kept["numba"], abs=0.02)
    known = corpus.truth >= 0
    assert separated(laid["torch"][known], corpus.truth[known]) == pytest.approx(1.0)
    assert laid["torch"].std() == pytest.approx(laid["numba"].std(), rel=0.15)


def test_torch_gives_the_same_bits_for_the_same_seed(corpus: Corpus) -> None:
    graph, start = graph_of(corpus.embeddings), start_positions(corpus.embeddings, 2, "pca", 1)
    first = torch_layout(graph, start, 0.1, 10, 1, "cpu")
    np.testing.assert_array_equal(torch_layout(graph, start, 0.1, 10, 1, "cpu"), first)
    assert (torch_layout(graph, start, 0.1, 10, 2, "cpu") != first).any()


def test_torch_on_graphs_without_edges_or_with_equal_points() -> None:
    start = np.zeros((4, 2), np.float32)
    np.testing.assert_array_equal(
        torch_layout(sparse.csr_matrix((4, 4), dtype=np.float32), start, 0.0, 5, 1, "cpu"), start
    )
    ring = sparse.csr_matrix(np.roll(np.eye(4, dtype=np.float32), 1, axis=1))
    assert np.isfinite(torch_layout(ring, start, 0.0, 5, 1, "cpu")).all()


def test_the_pull_of_both_kernels_is_one_formula() -> None:
    start = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    graph = sparse.csr_matrix(np.array([[0, 1], [1, 0]], np.float32))
    a, b = curve_parameters(0.1)
    pulled = 2 * a * b * 25.0 ** (b - 1) / (1 + a * 25.0**b) * (start[1] - start[0])
    moved = torch_layout(graph, start, 0.1, 1, 1, "cpu")[0]
    gap = pulled - start[1]
    push = 2 * b / ((0.001 + (gap**2).sum()) * (1 + a * (gap**2).sum() ** b)) * gap
    np.testing.assert_allclose((moved - pulled) / push, np.round((moved - pulled) / push), atol=0.02)


@pytest.mark.parametrize(
    ("device", "n", "engine"),
    [("cuda", 200_000, "torch"), ("cuda", 100, "numba"), ("cpu", 10**6, "numba")],
)
def test_the_device_and_the_size_say_what_lays_out(device: str, n: int, engine: str) -> None:
    assert layout_engine(ParallelUmapReduce(), n, device) == engine
    assert layout_engine(UmapReduce(method="umap"), n, device) == "umap-learn"


def mixed(x: int) -> int:
    """splitmix64's finalizer."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def drawn(state: int, n: int) -> int:
    return ((mixed(state % 2**64) >> 32) * n) >> 32


def one_point_after_another(
    graph: sparse.csr_matrix, start: np.ndarray, min_dist: float, n_epochs: int, seed: int
) -> np.ndarray:
    """The layout as its docstring has it, in float64."""
    a, b = curve_parameters(min_dist)
    old, stride = start.astype(float), int(STRIDE)
    rates = (graph.data / graph.data.max()).astype(np.float32)
    for epoch in range(n_epochs):
        new, step = old.copy(), 1.0 - epoch / n_epochs
        for i in range(len(old)):
            first = i // BLOCK_ROWS * BLOCK_ROWS
            state = mixed((mixed(seed + (epoch << 32)) + first) % 2**64)
            pool = [drawn(state + (at + 1) * stride, len(old)) for at in range(POOL)]
            state = mixed((state + POOL * stride + i - first) % 2**64)
            for edge in range(graph.indptr[i], graph.indptr[i + 1]):
                if int(np.float32(epoch + 1) * rates[edge]) == int(np.float32(epoch) * rates[edge]):
                    continue
                gap = new[i] - old[graph.indices[edge]]
                squared = gap @ gap + 1e-12
                pull = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b) * gap
                new[i] += step * np.clip(pull, -4, 4)
                state += stride
                begin, push = drawn(state, POOL - 5 + 1), 0.0
                for other in pool[begin : begin + 5]:
                    gap = new[i] - old[other]
                    squared = gap @ gap
                    factor = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
                    push = push + (np.clip(factor * gap, -4, 4) if other != i else 0.0)
                new[i] += step * push
        old = new
    return old


@pytest.mark.parametrize("dim", [2, 5])
def test_points_side_by_side_move_as_one_after_another(dim: int) -> None:
    rng = np.random.default_rng(dim)
    n = 256 + 70  # two blocks, of which one ends within a group
    weights = sparse.random(n, n, 0.02, random_state=1, dtype=np.float32).toarray()
    weights[3, :] = weights[300, :] = 1.0  # two that follow all others
    weights[17, :] = 0.0  # one that follows none
    graph = sparse.csr_matrix(weights)
    start = rng.normal(scale=40.0, size=(n, dim)).astype(
        np.float32
    )  # so far apart no push turns a rounding into a leap
    moved = parallel_layout(graph, start, 0.1, 2, 7)
    np.testing.assert_allclose(moved, one_point_after_another(graph, start, 0.1, 2, 7), atol=5e-3)
    assert (moved[17] == start[17]).all()


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
        ValueError, match=r"indices \(132, 15\) and distances \(132, 14\) must have one shape"
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
def test_equal_documents_lie_in_one_place(corpus: Corpus, n: int) -> None:
    vectors = np.repeat(corpus.embeddings[:1], n, axis=0)
    assert (layout(vectors) == 0).all()
    assert (principal_components(vectors, 5) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_two_texts_with_many_copies_lie_apart(corpus: Corpus, kind: str) -> None:
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


# --- the stage ---


@pytest.fixture
def inputs(store: ArtifactStore, corpus: Corpus) -> tuple[ArtifactRef, ArtifactRef]:
    indices, distances = exact_neighbors(corpus.embeddings, 15)
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings})
    return embeddings, save(store, "neighbors", {"indices": indices, "distances": distances})


@pytest.mark.parametrize(
    ("config", "width"),
    [
        (ParallelUmapReduce(n_epochs=20), 5),
        (UmapReduce(method="umap", n_epochs=20), 5),
        (PcaReduce(method="pca", n_components=3), 3),
        (NoReduce(method="none"), 16),
    ],
)
def test_the_task_saves_what_its_function_returns(
    store: ArtifactStore, corpus: Corpus, inputs: tuple[ArtifactRef, ArtifactRef], config: object, width: int
) -> None:
    made = reduce.fn(store, *inputs, config, 1, RUNTIME)
    expected = {
        "parallel_umap": lambda: layout(corpus.embeddings, n_epochs=20),
        "umap": lambda: layout(corpus.embeddings, "umap-learn, pca", n_epochs=20),
        "pca": lambda: principal_components(corpus.embeddings, 3),
        "none": lambda: corpus.embeddings,
    }[config.method]()
    np.testing.assert_array_equal(store.array(made, "reduced"), expected)
    engine = {"parallel_umap": {"engine": "numba"}, "umap": {"engine": "umap-learn"}}.get(config.method, {})
    assert store.meta(made) == {"method": config.method, "n_components": width, **engine}
    again = reduce.fn(store, *inputs, config, 1, RUNTIME)
    assert isinstance(again, State)
    assert (again.name, again.data) == ("Cached", made)
    assert not isinstance(reduce.fn(store, *inputs, config, 2, RUNTIME), State)


def test_a_device_that_is_there_lays_out_and_the_log_says_so(
    store: ArtifactStore,
    inputs: tuple[ArtifactRef, ArtifactRef],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tasks import reduce as stage

    monkeypatch.setattr(stage, "TORCH_FROM", 100)
    monkeypatch.setattr(stage, "resolve_device", lambda _: "cuda")
    monkeypatch.setattr(stage, "torch_layout", lambda *given: torch_layout(*given[:-1], "cpu"))
    monkeypatch.setattr(DETAILS, "propagate", True)
    ref = reduce.fn(store, *inputs, ParallelUmapReduce(n_epochs=5), 1, RUNTIME)
    assert store.meta(ref)["engine"] == "torch"
    assert "layout of 132 points by torch" in caplog.text


def test_the_map_is_a_two_dimensional_layout_of_the_same_graph(
    store: ArtifactStore, corpus: Corpus, inputs: tuple[ArtifactRef, ArtifactRef]
) -> None:
    from configs.models import MapConfig

    made = reduce.fn(store, *inputs, map_reduce(MapConfig(n_epochs=20)), 1, RUNTIME)
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
