"""Searching fitted vectors against brute force: recall, equal vectors, threads, chunks, degenerate sizes."""

from dataclasses import fields

import numpy as np
import pytest

from tests.unit.test_neighbors import clumps, sphere
from topicflow.tasks.core.vectors import search
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.core.vectors.search import CellIndex, cell_index, search_neighbors


def nearest(fitted: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries.astype(float) @ fitted.T), axis=1, kind="stable")[:, :k]


def check(found: tuple[np.ndarray, np.ndarray], fitted: np.ndarray, queries: np.ndarray, k: int) -> None:
    indices, distances = found
    assert (indices.shape, indices.dtype) == ((len(queries), k), np.int32)
    assert (distances.shape, distances.dtype) == ((len(queries), k), np.float32)
    assert all(len(set(row)) == k for row in indices.tolist())
    assert (indices >= 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    true = 1.0 - np.einsum("qd,qkd->qk", queries.astype(float), fitted[indices].astype(float))
    np.testing.assert_allclose(distances, true, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_nine_of_ten_nearest_are_found(k: int) -> None:
    vectors = sphere(13_000, dim=16)  # no clusters at all: harder than texts
    fitted, queries = vectors[:12_000], vectors[12_000:]
    found = search_neighbors(fitted, queries, k)
    check(found, fitted, queries, k)
    hits = (found[0][:, :, None] == nearest(fitted, queries, k)[:, None, :]).any(axis=2)
    assert hits.mean() >= 0.9


def test_every_cell_probed_finds_the_nearest_of_all() -> None:
    fitted, queries = sphere(3000), sphere(200, seed=1)
    found = search_neighbors(fitted, queries, 3, n_probe=100)
    np.testing.assert_array_equal(found[0], nearest(fitted, queries, 3))


def test_an_equal_vector_is_found_first_at_zero() -> None:
    fitted = clumps(6000)
    indices, distances = search_neighbors(fitted, fitted, 2, n_probe=1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(6000))
    assert (distances[:, 0] == 0).all()
    assert (distances[:, 1] > 0).all()


def test_an_equal_vector_is_found_in_a_crowd_that_has_the_same_code() -> None:
    rng = np.random.default_rng(0)
    crowd = sphere(1) + 1e-6 * rng.normal(size=(3000, 16)).astype(np.float32)
    indices, distances = search_neighbors(crowd, crowd, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(3000))
    assert (distances == 0).all()


def test_equal_fitted_vectors_are_in_order_of_index() -> None:
    fitted = np.tile(sphere(300), (4, 1))
    indices, distances = search_neighbors(fitted, fitted[:300], 5)
    np.testing.assert_array_equal(indices[:, :4], np.arange(300)[:, None] + [0, 300, 600, 900])
    assert (distances[:, :4] == 0).all()
    assert (distances[:, 4] > 0).all()


def test_threads_and_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, queries = clumps(5000), clumps(3000, seed=2)
    index = cell_index(fitted, 1, n_threads=1)
    again = cell_index(fitted, 1, n_threads=3)
    for field in fields(CellIndex):
        np.testing.assert_array_equal(getattr(index, field.name), getattr(again, field.name))
    alone = search_neighbors(fitted, queries, 3, 1, n_threads=1)
    monkeypatch.setattr(search, "BLOCK_ROWS", 700)
    three = search_neighbors(fitted, queries, 3, n_threads=3, index=index)
    parts = [
        search_neighbors(fitted, queries[rows], 3, index=index) for rows in (slice(100), slice(100, None))
    ]
    for which in (0, 1):
        np.testing.assert_array_equal(alone[which], three[which])
        np.testing.assert_array_equal(alone[which], np.concatenate([part[which] for part in parts]))


@pytest.mark.parametrize("n", [1, 2, 300, 700])
def test_as_many_neighbours_as_there_are_vectors(n: int) -> None:
    fitted, queries = sphere(n), sphere(20, seed=1)
    found = search_neighbors(fitted, queries, n, n_probe=1)
    check(found, fitted, queries, n)
    np.testing.assert_array_equal(np.sort(found[0], axis=1), np.tile(np.arange(n), (20, 1)))


def test_no_queries_give_empty_arrays() -> None:
    indices, distances = search_neighbors(sphere(10), sphere(10)[:0], 3)
    assert (indices.shape, distances.shape) == ((0, 3), (0, 3))


def test_all_fitted_vectors_equal() -> None:
    fitted = np.repeat(sphere(1), 5000, axis=0)
    indices, _ = search_neighbors(fitted, sphere(7, seed=2), 4)
    np.testing.assert_array_equal(indices, np.tile(np.arange(4), (7, 1)))


# --- links ---


def linked(fitted: np.ndarray, n_threads: int | None = None) -> CellIndex:
    return cell_index(fitted, 1, n_threads, exact_neighbors(fitted, 10)[0])


def test_links_lead_to_the_neighbours_of_each_place() -> None:
    fitted = np.concatenate([sphere(700), sphere(20)])  # twenty rows twice
    index = linked(fitted)
    graph, _ = exact_neighbors(fitted, 10)
    assert (index.links.shape, index.links.dtype) == ((700, 10), np.int32)
    for place in (0, 123, 699):
        first = index.members[index.group_offsets[index.order[place]]]
        np.testing.assert_array_equal(index.order[index.links[place]], index.group[graph[first]])


def test_a_walk_finds_neighbours_in_other_cells() -> None:
    vectors = sphere(13_000, dim=16)
    fitted, queries = vectors[:12_000], vectors[12_000:]
    true = nearest(fitted, queries, 5)
    share = {}
    for name, index in (("cells", cell_index(fitted, 1)), ("walk", linked(fitted))):
        found = search_neighbors(fitted, queries, 5, n_probe=4, index=index)
        check(found, fitted, queries, 5)
        share[name] = (found[0][:, :, None] == true[:, None, :]).any(axis=2).mean()
    assert share["walk"] >= max(0.8, share["cells"] + 0.1)


def test_a_walk_takes_nothing_twice_and_no_list_gets_worse() -> None:
    fitted, queries = clumps(5000), clumps(1000, seed=2)
    cells = search_neighbors(fitted, queries, 5, n_probe=2, index=cell_index(fitted, 1))
    walked = search_neighbors(fitted, queries, 5, n_probe=2, index=linked(fitted))
    check(walked, fitted, queries, 5)
    assert (walked[1] <= cells[1] + 1e-3).all()  # int8 codes decide who is ranked
    assert (walked[1] < cells[1] - 1e-3).any()


def test_threads_and_chunks_do_not_change_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, queries = clumps(5000), clumps(3000, seed=2)
    index = linked(fitted, 3)
    alone = search_neighbors(fitted, queries, 3, n_threads=1, index=linked(fitted, 1))
    monkeypatch.setattr(search, "BLOCK_ROWS", 700)
    monkeypatch.setattr(search, "SORTED_ROWS", 1024)
    three = search_neighbors(fitted, queries, 3, n_threads=3, index=index)
    for which in (0, 1):
        np.testing.assert_array_equal(three[which], alone[which])


def test_a_crowd_of_equals_links_to_itself() -> None:
    crowd = np.concatenate([np.repeat(sphere(1), 400, axis=0), sphere(800, seed=3)])
    indices, distances = search_neighbors(crowd, crowd[:3], 20, index=linked(crowd))
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices, np.tile(np.arange(20), (3, 1)))
