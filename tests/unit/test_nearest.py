"""Nearest and HNSW: exact search is brute force, the graph reaches the target recall, files are read back equal."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.indexes import brute, unit_vectors
from topicflow.tasks.core.graphs import graph_walk
from topicflow.tasks.core.graphs.graph_walk import mapped_graph
from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.cells import encode
from topicflow.tasks.core.vectors.nearest import Parts, exact_nearest, rank_candidates
from topicflow.tasks.search.index_build import EF_LADDER, choose_ef, kth_similarities, recall_at

N, DIM = 4000, 32
VECTORS = unit_vectors(N, DIM)
QUERIES = unit_vectors(100, DIM, seed=0)[:50] + 0.05
QUERIES = (QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True)).astype(np.float32)


def recall(found: np.ndarray) -> float:
    true = [brute(VECTORS, query, found.shape[1]) for query in QUERIES]
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), true, strict=True)]))


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 60),
    k=st.integers(1, 20),
    cut=st.integers(0, 60),
    seed=st.integers(0, 9),
    share=st.floats(0, 1),
)
def test_exact_search_is_brute_force(n: int, k: int, cut: int, seed: int, share: float) -> None:
    vectors = unit_vectors(n, 8, seed)
    arrays = [part for part in (vectors[:cut], vectors[cut:]) if len(part)]
    parts = Parts(arrays)
    kept = np.random.default_rng(seed).random(n) <= share
    for rows, mask in ((None, None), (np.flatnonzero(kept), kept)):
        found, similarities = exact_nearest(parts, QUERIES[:3, :8].copy(), k, rows)
        for one, scores, query in zip(found, similarities, QUERIES[:3, :8], strict=True):
            n_found = min(k, n if mask is None else int(mask.sum()))
            assert one[:n_found].tolist() == brute(vectors, query, n_found, mask)
            assert (one[n_found:] == -1).all()
            np.testing.assert_allclose(scores[:n_found], vectors[one[:n_found]] @ query, atol=1e-6)


def test_candidates_of_several_parts_are_ranked_exactly() -> None:
    parts = Parts([VECTORS[:7], VECTORS[7:30], VECTORS[30:100]])
    rng = np.random.default_rng(0)
    candidates = np.array([rng.permutation(100)[:20] for _ in QUERIES])
    candidates[:, 5] = -1
    found, similarities = rank_candidates(parts, QUERIES, candidates, 8)
    for row, (own, query) in enumerate(zip(candidates, QUERIES, strict=True)):
        kept = np.isin(np.arange(N), own)
        assert found[row].tolist() == brute(VECTORS, query, 8, kept)
    np.testing.assert_allclose(similarities, (VECTORS[found] * QUERIES[:, None]).sum(axis=2), atol=1e-6)
    np.testing.assert_array_equal(parts.gather(found[0]), VECTORS[found[0]])


@pytest.mark.parametrize("codes", ["int8", "float16", "float32"])
def test_the_graph_finds_what_is_near_and_comes_back_from_its_file(codes: str, tmp_path: Path) -> None:
    parts = Parts([VECTORS])
    graph = Graph.build(parts, codes, M=16, ef_construction=100, seed=0, n_threads=2)
    found, similarities = graph.search(parts, QUERIES, 10, ef=200)
    assert recall(found) >= 0.98
    np.testing.assert_allclose(similarities, (VECTORS[found] * QUERIES[:, None]).sum(axis=2), atol=1e-6)
    graph.save(tmp_path / "graph")
    mapped = Graph(DIM, codes, graph.scale).read(tmp_path / "graph")
    np.testing.assert_array_equal(mapped.search(parts, QUERIES, 10, ef=200)[0], found)
    alone = [mapped.search(parts, query[None], 10, ef=200)[0][0].tolist() for query in QUERIES]
    assert alone == found.tolist()


@pytest.mark.parametrize(("n", "dim", "m"), [(1, 64, 4), (3, 17, 4), (700, 64, 4), (700, 100, 16)])
def test_a_walk_of_the_whole_graph_finds_the_nearest_codes(n: int, dim: int, m: int, tmp_path: Path) -> None:
    vectors = unit_vectors(n, dim)
    built = Graph.build(Parts([vectors]), "int8", m, 200, 0, n_threads=1)
    built.save(tmp_path / "graph")
    graph = mapped_graph(tmp_path / "graph", dim)
    assert graph is not None
    assert len(graph.codes) == n
    queries = encode(unit_vectors(40, dim, seed=1), built.scale)
    codes = encode(vectors, built.scale).astype(np.int64)
    products = queries.astype(np.int64) @ codes.T
    found = graph.nearest(queries, 5, ef=2 * n + 5, n_threads=2)
    n_found = min(n, 5)
    assert (found[:, n_found:] == -1).all()
    kept = np.take_along_axis(products, found[:, :n_found], axis=1)
    np.testing.assert_array_equal(kept, -np.sort(-products, axis=1)[:, :n_found])
    narrow = graph.nearest(queries, 3, ef=1)  # never fewer than asked for
    assert (narrow[:, : min(n, 3)] >= 0).all()
    np.testing.assert_array_equal(graph.nearest(queries[:1], 5, ef=2 * n + 5), found[:1])


def test_a_walk_takes_queries_of_the_same_width_in_any_order_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit_vectors(300, 64)
    built = Graph.build(Parts([vectors]), "int8", 8, 40, 0, n_threads=1)
    built.save(tmp_path / "graph")
    read = Graph(64, "int8", built.scale).read(tmp_path / "graph")
    asked = vectors[:20]
    np.testing.assert_array_equal(read.candidates(np.asfortranarray(asked), 1, 64)[:, 0], np.arange(20))
    graph = mapped_graph(tmp_path / "graph", 64)
    assert graph is not None
    for queries, count in (
        (np.zeros((2, 128), np.int8), 3),
        (np.zeros(64, np.int8), 3),
        (np.zeros((2, 64), np.int8), 0),
    ):
        with pytest.raises(ValueError, match="the codes have 64 dimensions"):
            graph.nearest(queries, count, 10)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert mapped_graph(tmp_path / "graph", 64) is None


@pytest.mark.parametrize("name", ["KNOWN", "KINDS_OF_INT8"])
def test_a_graph_of_another_format_is_searched_by_its_library(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts([VECTORS[:500]])
    built = Graph.build(parts, "int8", 8, 40, 0, n_threads=1)
    built.save(tmp_path / "graph")
    expected, _ = Graph(DIM, "int8", built.scale).read(tmp_path / "graph").search(parts, QUERIES, 10, ef=100)
    monkeypatch.setattr(graph_walk, name, {"KNOWN": (3, 1), "KINDS_OF_INT8": (1, 2, 3, 4)}[name])
    assert mapped_graph(tmp_path / "graph", DIM) is None
    found, _ = Graph(DIM, "int8", built.scale).read(tmp_path / "graph").search(parts, QUERIES, 10, ef=100)
    np.testing.assert_array_equal(found, expected)


def test_a_graph_that_is_added_to_finds_old_and_new(tmp_path: Path) -> None:
    Graph.build(Parts([VECTORS[:3000]]), "int8", 16, 100, 0, 2).save(tmp_path / "graph")
    parts = Parts([VECTORS[:3000], VECTORS[3000:]])
    graph = Graph(DIM, "int8", 300.0).read(tmp_path / "graph", writable=True)
    graph.scale = Graph.build(Parts([VECTORS[:3000]]), "int8", 4, 8, 0, 2).scale
    graph.add(parts, 3000)
    found, _ = graph.search(parts, QUERIES, 10, ef=200)
    assert len(graph) == N
    assert recall(found) >= 0.99
    assert (found >= 3000).any()


def test_one_thread_builds_the_same_graph_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Graph.build(Parts([VECTORS[:500]]), "int8", 8, 40, 0, n_threads=1).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a graph at all" * 50])
def test_a_file_that_is_not_a_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph").write_bytes(content)
    with pytest.raises(ValueError, match=r"\w"):
        Graph(DIM, "int8", 1.0).read(tmp_path / "graph")


def test_ef_is_the_least_that_reaches_the_recall() -> None:
    parts = Parts([VECTORS])
    graph = Graph.build(parts, "int8", M=4, ef_construction=16, seed=0, n_threads=1)
    rows = np.arange(0, N, 20)
    ef, found = choose_ef(graph, parts, rows, 0.95, 1)
    least = kth_similarities(parts, VECTORS[rows], rows)
    at = EF_LADDER.index(ef)
    assert at > 0
    assert found >= 0.95
    assert recall_at(graph, parts, VECTORS[rows], rows, least, EF_LADDER[at - 1], 1) < 0.95
    assert recall_at(graph, parts, VECTORS[rows], rows, least, 4096, 1) > found


def test_a_document_is_left_out_of_its_own_answer() -> None:
    rows = np.array([3, 77])
    least = kth_similarities(Parts([VECTORS]), VECTORS[rows], rows)
    for row, value in zip(rows, least, strict=True):
        others = np.sort(np.delete(VECTORS @ VECTORS[row], row))[::-1]
        assert value == pytest.approx(others[9], abs=1e-6)
