"""The neighbour graph against brute force, with duplicates, at small sizes, and its recall."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fakes import save
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.integers.code_search import by_vnni
from topicflow.tasks.core.vectors import blocks, descent, equals, integer_products, knn
from topicflow.tasks.core.vectors.avx2_products import by_avx2
from topicflow.tasks.core.vectors.blocks import threads
from topicflow.tasks.core.vectors.cells import NONE, Cells, code_scale, encode, fill_cells, search_cells
from topicflow.tasks.core.vectors.descent import descent_neighbors
from topicflow.tasks.core.vectors.equals import EqualRows, equal_rows
from topicflow.tasks.core.vectors.integer_products import (
    EXACT_DIMS,
    Multiply,
    by_floats,
    by_integers,
    multiplied,
)
from topicflow.tasks.core.vectors.knn import compared_by_torch, exact_neighbors, pynndescent_neighbors, recall
from topicflow.tasks.core.vectors.knn_kernels import descend, reverse_lists
from topicflow.tasks.core.vectors.processor import has_vnni, x86_features
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics import neighbors as stage
from topicflow.tasks.topics.neighbors import find_neighbors, neighbors

RUNTIME = RuntimeConfig(device="cpu")


def sphere(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clumps(n: int = 600, seed: int = 0) -> np.ndarray:
    """Vectors in thirty groups, like those of texts."""
    rng = np.random.default_rng(seed)
    vectors = sphere(30, seed=seed)[rng.integers(30, size=n)] + 0.1 * rng.normal(size=(n, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = 1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(distances, -1.0)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.maximum(0.0, np.take_along_axis(distances, order, axis=1))


def check_graph(indices: np.ndarray, distances: np.ndarray, n: int, k: int) -> None:
    assert (indices.shape, indices.dtype) == ((n, k), np.int32)
    assert (distances.shape, distances.dtype) == ((n, k), np.float32)
    assert (indices[:, 0] == np.arange(n)).all()
    assert (distances[:, 0] == 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    assert distances.min() >= 0
    assert indices.min() >= 0
    assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("k", [1, 2, 7])
def test_exact_neighbours_are_those_of_brute_force(k: int) -> None:
    vectors = sphere(200)
    indices, distances = exact_neighbors(vectors, k)
    check_graph(indices, distances, 200, k)
    expected, expected_distances = brute_force(vectors, k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, expected_distances, atol=1e-6)


def test_blocks_and_chosen_rows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = sphere(100)
    whole = exact_neighbors(vectors, 5)
    monkeypatch.setattr(knn, "COLUMNS", 7)
    np.testing.assert_array_equal(exact_neighbors(vectors, 5)[0], whole[0])
    rows = np.array([99, 3, 50])
    np.testing.assert_array_equal(exact_neighbors(vectors, 5, rows)[0], whole[0][rows])


@pytest.mark.parametrize(
    ("block_bytes", "resident_bytes"), [(2**28, 2**33), (4 * 100 * 7, 2**33), (2**28, 0)]
)
@pytest.mark.parametrize("n_columns", [2**17, 7])
def test_the_way_of_a_gpu_finds_the_same(
    block_bytes: int, resident_bytes: int, n_columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(knn, "RESIDENT_BYTES", resident_bytes)
    monkeypatch.setattr(knn, "GPU_COLUMNS", n_columns)
    vectors = sphere(100)
    firsts, asked = np.arange(100, dtype=np.int32), np.array([7, 3, 99], np.int32)
    expected = np.argsort(-(vectors.astype(float) @ vectors.T), axis=1, kind="stable")[asked, :12]
    found = compared_by_torch(vectors, firsts, asked, 12, "cpu", half=False)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n", "k"), [(1000, 5), (1024, 5), (130, 3), (60, 20), (333, 40), (24, 24)])
def test_the_largest_of_groups_are_the_largest(n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "GROUP", 4)
    values = torch.from_numpy(
        np.random.default_rng(n).permuted(np.tile(np.arange(n, dtype=np.float32), (7, 1)), axis=1)
    )
    best, columns = knn._largest(values, k)
    expected = torch.topk(values, k, dim=1)
    assert torch.equal(best, expected.values)
    assert torch.equal(columns, expected.indices)


def test_half_precision_and_ranking_again_find_the_exact_neighbours() -> None:
    vectors = sphere(400, dim=32)
    every = np.arange(400, dtype=np.int32)
    kept = compared_by_torch(vectors, every, every, 18, "cpu", half=True)
    expected, _ = brute_force(vectors, 10)
    assert all(set(expected[row]) <= set(kept[row]) for row in range(400))


@pytest.mark.parametrize("n_copies", [2, 20])
def test_a_row_is_its_own_first_neighbour_among_copies(n_copies: int) -> None:
    vectors = np.repeat(sphere(10), n_copies, axis=0)
    check_graph(*exact_neighbors(vectors, 5), n=10 * n_copies, k=5)


@pytest.mark.parametrize("n_copies", [2, 20, 700])
@pytest.mark.parametrize("way", ["exact", "descent"])
def test_equal_rows_are_at_zero_in_order_of_index(way: str, n_copies: int) -> None:
    vectors = np.tile(sphere(40, seed=3), (n_copies, 1))
    n = len(vectors)
    indices, distances = (
        exact_neighbors(vectors, 15) if way == "exact" else descent_neighbors(vectors, 15, seed=1)
    )
    check_graph(indices, distances, n, 15)
    row = n - 3
    copies = [other for other in range(row % 40, n, 40) if other != row][:14]
    assert indices[row].tolist()[: len(copies) + 1] == [row, *copies]
    assert (distances[row, : len(copies) + 1] == 0).all()
    if len(copies) < 14:
        assert distances[row, len(copies) + 1] > 0


@pytest.mark.parametrize("n_copies", [1, 3])
def test_equal_rows_that_the_caller_knows_are_not_looked_for(
    n_copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.tile(sphere(700, seed=3), (n_copies, 1))
    with threads(1) as run:
        known = equal_rows(vectors, run)
        found = [exact_neighbors(vectors, 5), descent_neighbors(vectors, 5, 1)]
    if n_copies == 1:
        known = EqualRows.all_distinct(700)
    monkeypatch.setattr("topicflow.tasks.core.vectors.equals.row_hashes", None)
    again = [exact_neighbors(vectors, 5, equal=known), descent_neighbors(vectors, 5, 1, equal=known)]
    for first, second in zip(found, again, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_threads_do_not_change_the_exact_graph() -> None:
    alone, three = (
        exact_neighbors(clumps(3000), 15, n_threads=1),
        exact_neighbors(clumps(3000), 15, n_threads=3),
    )
    np.testing.assert_array_equal(alone[0], three[0])
    np.testing.assert_array_equal(alone[1], three[1])


def test_recall_by_hand() -> None:
    exact = np.array([[0, 1, 2], [1, 0, 3]], np.int32)
    found = np.array([[0, 2, 9], [1, 3, 0]], np.int32)
    assert recall(found, exact) == 3 / 4
    assert recall(exact, exact) == 1.0
    assert recall(exact[:, :1], exact[:, :1]) == 0.0  # nothing to find


# --- descent; pynndescent takes some seconds to compile ---

DESCENTS = {"descent": descent_neighbors, "pynndescent": pynndescent_neighbors}
METHODS = ["descent", pytest.param("pynndescent", marks=pytest.mark.slow)]  # it compiles for half a minute


@pytest.mark.parametrize("method", METHODS)
def test_descent_finds_nine_of_ten_and_records_what_it_found(method: str) -> None:
    vectors = clumps()
    config = NeighborsConfig(method=method, n_neighbors=10)
    graph = find_neighbors(vectors, config, 1, RUNTIME)
    check_graph(graph.indices, graph.distances, 600, 10)
    expected, _ = brute_force(vectors, 10)
    rows = np.random.default_rng(1).choice(600, size=500, replace=False)
    pairs = [(set(graph.indices[row][1:]), set(expected[row][1:])) for row in rows]
    independent = sum(len(found & true) for found, true in pairs) / (500 * 9)
    assert graph.method == method
    assert graph.recall == pytest.approx(independent, abs=1e-3)
    assert 0.9 <= graph.recall <= 1.0


def test_descent_finds_95_of_100_among_many_cells() -> None:
    vectors = sphere(6000, dim=16, seed=2)  # no clusters at all: harder than texts
    indices, distances = descent_neighbors(vectors, 15, seed=1)
    check_graph(indices, distances, 6000, 15)
    exact, exact_distances = exact_neighbors(vectors, 15)
    assert recall(indices, exact) >= 0.95
    assert (distances >= exact_distances - 1e-6).all()


@pytest.mark.parametrize("method", METHODS)
def test_descent_is_the_same_on_one_thread_and_two_and_differs_by_seed(method: str) -> None:
    vectors = sphere(9000, dim=48)  # hard enough that the descent misses some, two blocks of rows
    vectors = vectors if method == "descent" else vectors[:600]
    alone, two = DESCENTS[method](vectors, 10, 1, 1), DESCENTS[method](vectors, 10, 1, 2)
    np.testing.assert_array_equal(alone[0], two[0])
    np.testing.assert_array_equal(alone[1], two[1])
    assert (DESCENTS[method](vectors, 10, 2, 2)[0] != two[0]).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_copies", [2, 50])
def test_descent_among_copies(n_copies: int, method: str) -> None:
    vectors = np.repeat(sphere(120 // n_copies), n_copies, axis=0)
    check_graph(*DESCENTS[method](vectors, 10, 1), n=len(vectors), k=10)


@pytest.mark.parametrize("method", METHODS)
def test_descent_among_equal_vectors(method: str) -> None:
    check_graph(*DESCENTS[method](np.repeat(sphere(1), 100, axis=0), 10, 1), n=100, k=10)


def test_a_crowd_of_all_but_equal_vectors_is_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    search = descent.search_cells

    def counting(
        codes: np.ndarray, probes: np.ndarray, cells: Cells, best: np.ndarray, ids: np.ndarray
    ) -> None:
        asked.append(np.diff(cells.offsets)[probes].sum())
        search(codes, probes, cells, best, ids)

    monkeypatch.setattr(descent, "search_cells", counting)
    rng = np.random.default_rng(0)
    crowd = sphere(1) + 1e-7 * rng.normal(size=(20_000, 16)).astype(np.float32)
    vectors = np.concatenate([crowd, sphere(500)])
    check_graph(*descent_neighbors(vectors, 15, 1), n=20_500, k=15)
    assert sum(asked) <= 20_500 * 3 * descent.CELL_ROWS * 8  # uncut, 20,000 x 20,000


@pytest.mark.parametrize("few_bytes", [2**28, 0])
def test_equal_rows_of_a_mapped_file_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_bytes: int
) -> None:
    monkeypatch.setattr(equals, "FEW_BYTES", few_bytes)
    vectors = sphere(3000)
    vectors[[5, 90, 2999]] = vectors[17]
    vectors[1000:1040] = vectors[2000]
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    inside, found = (stage.distinct_points(array, 2) for array in (vectors, mapped))
    assert inside.n_groups == 3000 - 3 - 40
    for name in ("group", "offsets", "members"):
        np.testing.assert_array_equal(getattr(found, name), getattr(inside, name))


def test_few_rows_of_a_mapped_file_are_compared_as_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing them where they lie would map much of the file; the array must not lose its file on the way."""
    copied = []

    def counting(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        copied.append(rows.tolist())
        return blocks.gathered(array, rows)

    monkeypatch.setattr(equals, "gathered", counting)
    vectors = sphere(3000)
    vectors[2999] = vectors[17]
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert stage.ordered_points(mapped, 2)[1].max() == 2
    assert stage.distinct_points(mapped, 2).n_groups == 2999
    assert copied == [[17, 2999]] * 2


@pytest.mark.parametrize(
    ("n_cells", "n"), [(1, 1), (7, 7), (78, 10), (234, 11), (390, 13), (976, 17), (3906, 26), (4096, 27)]
)
def test_more_cells_are_searched_as_the_corpus_grows(n_cells: int, n: int) -> None:
    assert descent.n_probe(n_cells) == n


def test_a_round_leaves_out_only_pairs_that_were_compared_in_cells() -> None:
    """The lists are those of a round that knows nothing of cells."""
    n, kept, rng = 2000, 12, np.random.default_rng(0)
    codes = encode(clumps(n), 400.0)
    near = np.argsort(rng.random((n, 20)), axis=1)[:, :3].astype(np.int32)
    near[:, 1] = np.where(
        near[:, 0] == 20, near[:, 1], 20
    )  # the last cell is nobody's own, and all rows probe it
    cells, probes = fill_cells(codes, codes[:21], near, largest=n)
    assert np.diff(cells.offsets)[-1] == 0
    best, ids = np.full((n, kept), NONE, np.int32), np.full((n, kept), -1, np.int32)
    search_cells(cells.codes, probes, cells, best, ids)
    reverse, counts = np.empty((n, kept), np.int32), np.zeros(n, np.int32)
    reverse_lists(ids, kept, reverse, counts)
    cell = np.repeat(np.arange(21, dtype=np.int32), np.diff(cells.offsets))
    found = []
    for known in (probes, probes[:, :0].copy()):
        lists = best.copy(), ids.copy(), np.zeros(ids.shape, np.bool_)
        fresh = np.ones(ids.shape, np.bool_)
        n_new = descend(cells.codes, 0, n, cell, 21, known, ids, fresh, reverse, counts, kept, *lists)
        assert n_new == lists[2].sum() > n
        found.append(lists)
    for with_cells, without in zip(*found, strict=True):
        np.testing.assert_array_equal(with_cells, without)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [11, 13, 30])
def test_descent_with_hardly_more_rows_than_neighbours(n: int, method: str) -> None:
    check_graph(*DESCENTS[method](sphere(n), 10, 1), n=n, k=10)


@pytest.mark.parametrize("k", [2, 50, 200])
def test_descent_with_few_and_with_many_neighbours(k: int) -> None:
    vectors = clumps(3000)
    indices, distances = descent_neighbors(vectors, k, 1)
    check_graph(indices, distances, 3000, k)
    assert recall(indices, exact_neighbors(vectors, k)[0]) >= 0.95


# --- cells ---


def test_codes_keep_the_product() -> None:
    vectors = sphere(300, dim=384)
    scale = code_scale(vectors, 0)
    codes = encode(vectors, scale).astype(np.int64)
    np.testing.assert_allclose(codes @ codes.T / scale**2, vectors @ vectors.T, atol=0.02)


HAS_AVX2 = bool((x86_features() or {}).get("avx2"))
WAYS = [
    by_integers,
    by_floats,
    multiplied,
    pytest.param(by_avx2, marks=pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")),
    pytest.param(
        by_vnni, marks=pytest.mark.skipif(not has_vnni(), reason="this processor has no AVX-512 VNNI")
    ),
]


@pytest.mark.parametrize("multiply", WAYS)
@pytest.mark.parametrize(
    ("m", "w", "dim"), [(1, 1, 1), (3, 7, 2), (300, 250, 384), (5, 1, 17), (20, 30, 2500)]
)
def test_products_of_codes_are_exact(multiply: Multiply, m: int, w: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (m, dim)).astype(np.int8)
    others = rng.integers(-127, 128, (w, dim)).astype(np.int8)
    np.testing.assert_array_equal(multiply(codes, others), codes.astype(int) @ others.T.astype(int))


@pytest.mark.parametrize("multiply", WAYS)
@pytest.mark.parametrize("dim", [EXACT_DIMS, EXACT_DIMS + 1, 4096])
@pytest.mark.parametrize(("code", "other"), [(127, 127), (-128, -128), (-128, 127)])
def test_products_of_the_largest_codes_are_exact(multiply: Multiply, dim: int, code: int, other: int) -> None:
    rows, columns = np.full((9, dim), code, np.int8), np.full((5, dim), other, np.int8)
    rows[:, 0] = 1  # an odd number, which float32 cannot hold above 2^24
    expected = rows.astype(int) @ columns.T.astype(int)
    np.testing.assert_array_equal(multiply(rows, columns), expected)


@pytest.mark.parametrize(
    ("ours", "vnni", "machine", "has_avx2", "way"),
    [
        (True, True, "x86_64", True, "by_vnni"),
        (False, True, "AMD64", True, "by_integers"),  # not Linux
        (False, False, "x86_64", True, "by_avx2"),
        (False, False, "AMD64", True, "by_avx2"),
        (False, False, "x86_64", False, "by_floats"),
        (False, False, "arm64", False, "by_floats"),
    ],
)
def test_the_fast_way_of_a_processor(
    monkeypatch: pytest.MonkeyPatch, ours: bool, vnni: bool, machine: str, has_avx2: bool, way: str
) -> None:
    monkeypatch.setattr(integer_products, "has_vnni", lambda: ours)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(
        "llvmlite.binding.get_host_cpu_features", lambda: {"avx2": has_avx2, "avx512vnni": vnni}
    )
    assert integer_products._way.__wrapped__().__name__ == way


def test_cells_hold_each_item_once_and_large_ones_are_cut() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (1000, 8)).astype(np.int8)
    near = np.stack([rng.integers(0, 3, 1000), rng.integers(3, 5, 1000)], axis=1).astype(np.int32)
    cells, probes = fill_cells(codes, codes[:5], near, largest=100)
    np.testing.assert_array_equal(np.sort(cells.order), np.arange(1000))
    np.testing.assert_array_equal(cells.codes, codes[cells.order])
    sizes = np.diff(cells.offsets)
    assert sizes.max() <= 100
    assert sizes.sum() == 1000
    place = np.arange(1000)
    assert (cells.offsets[probes[:, 0]] <= place).all()
    assert (place < cells.offsets[probes[:, 0] + 1]).all()
    np.testing.assert_array_equal(cells.centroids[probes[:, 1]], codes[near[cells.order, 1]])


# --- the stage ---


@pytest.mark.parametrize("method", ["auto", "exact", *METHODS])
@pytest.mark.parametrize("n", [1, 2, 14, 15])
def test_fewer_documents_than_neighbours(n: int, method: str) -> None:
    graph = find_neighbors(sphere(n), NeighborsConfig(method=method), 1, RUNTIME)
    check_graph(graph.indices, graph.distances, n, n)
    assert (graph.method, graph.recall) == ("exact", 1.0)


def test_auto_takes_the_cheaper_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stage.EXACT_UP_TO, "cpu", 599)
    config = NeighborsConfig(n_neighbors=5)
    assert find_neighbors(clumps(599), config, 1, RUNTIME).method == "exact"
    assert find_neighbors(clumps(600), config, 1, RUNTIME).method == "descent"


def run(store: ArtifactStore, embeddings: ArtifactRef, seed: int = 1, **config: object) -> ArtifactRef:
    return neighbors.fn(Context(store, seed, RUNTIME), embeddings, NeighborsConfig(**config))


def test_the_task_saves_the_graph_and_finds_it_again(store: ArtifactStore) -> None:
    vectors = sphere(50)
    embeddings = save(store, "embeddings", {"embeddings": vectors})
    made = run(store, embeddings)
    rows = store.array(made, "rows")
    np.testing.assert_array_equal(store.array(made, "indices"), exact_neighbors(vectors[rows], 15)[0])
    assert store.meta(made) == {
        "method": "exact", "recall": 1.0, "n_neighbors": 15, "sampled": False, "ordered": True,
        "n_fitted": len(vectors),
    }  # fmt: skip
    assert (made.rows, made.cached) == (50, False)
    again = neighbors.fn(Context(store, 1, RuntimeConfig(n_threads=1)), embeddings, NeighborsConfig())
    assert (again.cached, again) == (True, made)
    assert not run(store, embeddings, n_neighbors=5).cached
    assert neighbors.fn(Context(store, 2, RUNTIME), embeddings, NeighborsConfig()).cached  # it has no seed
