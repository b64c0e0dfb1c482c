"""Around an index: new documents that are like nothing in it, and recommendations from what a person likes."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import topicflow as tf
from tests.indexes import build
from topicflow.tasks.core.vectors.distinct import DEEPEST, Distinct, Spread, distinct_places
from topicflow.tasks.discovery.interests import find_interests
from topicflow.tasks.discovery.likes_file import read_likes
from topicflow.tasks.discovery.new_documents import read_new
from topicflow.tasks.discovery.novelty import most_novel, score_new
from topicflow.tasks.discovery.recommend import Recommender, recommendations_table
from topicflow.tasks.discovery.spread import spread_of
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.outliers import find_outliers

DIM, N = 16, 400
COPY = 0.98
RNG = np.random.default_rng(3)
GROUP = np.arange(N) % 4


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


OWN = unit(np.eye(4, DIM)[GROUP] + 0.15 * RNG.normal(size=(N, DIM)))
ODD = unit(np.eye(DIM)[9] + 0.2 * RNG.normal(size=DIM))
COPIES = unit(ODD + 0.01 * RNG.normal(size=(5, DIM)))


def table(vectors: np.ndarray) -> pl.DataFrame:
    n = len(vectors)
    kinds = ["even" if row % 2 == 0 else "odd" for row in range(n)]
    return pl.DataFrame(
        {"id": [f"d{i}" for i in range(n)], "text": [f"text {i}" for i in range(n)], "kind": kinds,
         "vector": vectors.tolist()}
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index of 400 documents of four groups."""
    return build(tmp_path_factory.mktemp("plain"), table(OWN), lexical=False)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """The same index with five copies of an odd text, and 60 of a text of the first group."""
    many = unit(OWN[0] + 0.005 * RNG.normal(size=(60, DIM)))
    return build(tmp_path_factory.mktemp("crowded"), table(np.vstack([OWN, COPIES, many])), lexical=False)


# --- novelty ---


def brute_distinct(vectors: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    """Return the k nearest rows, each not a copy of the query nor of one before it, one after the other."""
    found: list[int] = []
    for row in np.argsort(-(vectors @ query), kind="stable").tolist():
        if vectors[row] @ query < COPY and all(vectors[row] @ vectors[other] < COPY for other in found):
            found.append(row)
    return found[:k]


def test_distinct_neighbours_are_those_of_a_plain_loop(crowded: SearchIndex) -> None:
    vectors = crowded.vectors.gather(np.arange(len(crowded)))
    asked = np.vstack([vectors[[0, 7, 401, 440]], unit(RNG.normal(size=(4, DIM)))])
    found = Distinct.of(crowded, np.arange(len(crowded)), COPY).neighbors(asked, 6)
    for own, query in zip(found.rows, asked, strict=True):
        assert own.tolist() == brute_distinct(vectors, query, 6)
    assert found.n_copies.tolist()[:3] == [61, 1, 5]  # with the asked document itself
    cosines = (asked[:, None] * vectors[found.rows]).sum(axis=2)
    np.testing.assert_allclose(found.distances, 1 - cosines.mean(axis=1), atol=1e-5)


def test_places_by_hand() -> None:
    cosines = np.array([0.99, 0.7, 0.7, 0.5, 0.4], np.float32)
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0.75, 0.5], [0, 0, 1], [0, 0.5, 0.75]], np.float32)
    assert distinct_places(cosines, vectors, 3, 0.75).tolist() == [1, 3]  # the threshold is inclusive
    assert distinct_places(cosines, vectors, 3, 0.76).tolist() == [1, 2, 3]
    assert distinct_places(cosines[:1], vectors[:1], 3, 0.98).tolist() == []


def test_five_copies_in_the_index_do_not_hide_an_odd_text(plain: SearchIndex, crowded: SearchIndex) -> None:
    new = np.vstack([ODD, OWN[3]])
    alone, hidden = score_new(plain, new), score_new(crowded, new)
    assert hidden.scores[0] == pytest.approx(alone.scores[0], abs=2e-3)
    assert hidden.scores[0] > 3 * hidden.scores[1]
    assert (alone.near.n_copies.tolist(), hidden.near.n_copies.tolist()) == ([0, 1], [5, 1])
    assert hidden.beyond[0] > 0.98
    near = crowded.nearest(ODD[None], 10)[1].mean()
    assert 1 - near < 0.55 * hidden.scores[0]  # what plain neighbours say


def test_five_copies_among_four_hundred_are_the_first_outliers(crowded: SearchIndex) -> None:
    found = find_outliers(crowded, 5, n_neighbors=10)
    assert {each.hit.doc_id for each in found} == {f"d{row}" for row in range(N, N + 5)}
    expected = score_new(crowded, crowded.vectors.gather(np.arange(N, N + 5))).scores
    assert sorted(each.hit.score for each in found) == pytest.approx(np.sort(expected), abs=1e-5)
    assert find_outliers(crowded, 5, n_neighbors=10) == found  # from the store
    everyone = find_outliers(crowded, len(crowded), n_neighbors=10)
    assert min(each.hit.score for each in everyone) > 0.03  # the 60 copies of d0, too
    copy = spread_of(crowded).copy
    assert all(hit.score < copy for each in everyone for hit in each.neighbors)


def test_a_copy_of_a_document_has_its_score_and_new_ones_do_not_know_each_other(plain: SearchIndex) -> None:
    scored = score_new(plain, np.vstack([OWN, ODD, COPIES]), 8)
    own = np.sort(scored.scores[:N])
    np.testing.assert_allclose(scored.beyond, [np.mean(own < score) for score in scored.scores], atol=1.5 / N)
    assert scored.scores[N:].min() > own.max()
    with pytest.raises(ConfigError, match="outliers: neighbors=0, expected 1 or more"):
        score_new(plain, OWN[:1], 0)


def test_new_documents_are_read_as_those_of_the_index(plain: SearchIndex, tmp_path: Path) -> None:
    new = tmp_path / "new.parquet"
    table(np.vstack([ODD, OWN[:3]])).drop("kind").write_parquet(new)
    documents = read_new(plain, new)
    assert documents.ids == ["d0", "d1", "d2", "d3"]
    np.testing.assert_allclose(documents.vectors[0], ODD, atol=1e-6)
    kept = len(plain.store.hits("embeddings"))
    assert read_new(plain, new).ids == documents.ids
    assert len(plain.store.hits("embeddings")) == kept
    scored = score_new(plain, documents.vectors, 5)
    first, *others = most_novel(plain, documents, scored, 3)
    assert (first.doc_id, first.n_copies, len(first.neighbors), len(others)) == ("d0", 0, 3, 2)
    assert first.neighbors[0].score == pytest.approx(float((OWN @ ODD).max()), abs=1e-5)
    rows = scored.table(documents)
    assert rows.columns == ["doc_id", "score", "beyond", "n_copies", "text"]
    assert rows["n_copies"].to_list() == [0, 1, 1, 1]
    table(ODD[None, :8]).write_parquet(new)
    with pytest.raises(ConfigError, match="outliers: the index's documents were embedded by"):
        read_new(plain, new)
    table(ODD[None]).drop("vector").write_parquet(new)
    with pytest.raises(DataError, match="no column 'vector'"):
        read_new(plain, new)


def test_crowds_larger_than_the_candidates(tmp_path: Path) -> None:
    equal = np.repeat(OWN[:1], 1500, axis=0)
    template = unit(OWN[1] + 0.005 * RNG.normal(size=(DEEPEST + 200, DIM)))
    index = build(tmp_path, table(np.vstack([OWN, equal, template])), lexical=False)
    distinct = Distinct.of(index, np.arange(len(index)), COPY)
    assert int(distinct.kept.sum()) == N + DEEPEST + 200
    found = distinct.neighbors(np.vstack([OWN[0], OWN[1]]), 5)
    assert found.n_copies.tolist() == [1501, DEEPEST]
    vectors = index.vectors.gather(np.flatnonzero(distinct.kept))
    own = [row for row in np.argsort(-(vectors @ OWN[0]), kind="stable") if vectors[row] @ OWN[0] < COPY]
    assert found.similarities[0, 0] == pytest.approx(vectors[own[0]] @ OWN[0], abs=1e-6)
    assert (found.rows[1] == -1).all()
    assert found.distances[1] < 1 - COPY  # a template of a thousand texts is no outlier
    (alone,) = Distinct.of(index, np.arange(N, N + 3), COPY).neighbors(OWN[:1], 5).distances
    assert alone == 1.0  # the index has nothing but its copies


def test_what_is_a_copy_depends_on_the_space(plain: SearchIndex, tmp_path: Path) -> None:
    found = spread_of(plain)
    cosines = (OWN @ OWN.T)[np.triu_indices(N, 1)]
    assert found.high == pytest.approx(np.quantile(cosines, 0.9), abs=1e-6)
    assert found.copy == pytest.approx(1 - 0.025 * (1 - np.median(cosines)), abs=1e-6)
    narrow = unit(OWN + 20 * np.eye(DIM)[12])  # every cosine is above .99, as in the spaces of some encoders
    index = build(tmp_path, table(narrow), lexical=False)
    assert spread_of(index).copy > 0.9999
    far = unit(ODD + 20 * np.eye(DIM)[12])
    scored = score_new(index, np.vstack([narrow[3], far]))
    assert scored.near.n_copies.tolist() == [1, 0]
    assert scored.beyond[1] == 1.0


# --- interests ---


def test_interests_by_hand() -> None:
    vectors = unit(np.array([[1, 0, 0], [1, 0.1, 0], [0, 0, 1], [0, 0.1, 1], [0, 1, 0]]))
    found = find_interests(vectors, np.array([1.0, 1.0, 3.0, 1.0, 1.0]), 0.9)
    assert [each.places.tolist() for each in found] == [[2, 3], [0, 1], [4]]
    assert [each.share for each in found] == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    mean = 3 * vectors[2] + vectors[3]
    np.testing.assert_allclose(found[0].centre, mean / np.linalg.norm(mean), atol=1e-6)
    (alone,) = find_interests(vectors[:1], np.ones(1), 0.9)
    np.testing.assert_allclose(alone.centre, vectors[0], atol=1e-6)
    assert len(find_interests(vectors, np.ones(5), -1.0)) == 1


def test_interests_are_average_linkage(plain: SearchIndex) -> None:
    from sklearn.cluster import AgglomerativeClustering

    vectors = OWN[:60]
    theirs = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=0.25)
    labels = theirs.fit_predict(vectors)
    found = find_interests(vectors, np.ones(60), 0.75)
    assert sorted(each.places.tolist() for each in found) == sorted(
        np.flatnonzero(labels == label).tolist() for label in np.unique(labels)
    )


# --- recommendations ---


def ids(found: list) -> list[str]:
    return [each.hit.doc_id for each in found]


def test_each_interest_has_its_share(plain: SearchIndex) -> None:
    recommender = Recommender(plain)
    recommender.spread = Spread(0.5, COPY)  # a quarter of all pairs is of one group
    profile = recommender.profile({"d0": 1, "d4": 1, "d1": 1, "nobody": 1})
    assert [each.share for each in profile.interests] == pytest.approx([2 / 3, 1 / 3])
    found = recommender.recommend(profile, 8)
    groups = [int(name[1:]) % 4 for name in ids(found)]
    assert sorted(groups) == [0] * 6 + [1] * 2  # (2/3)^1.5 to (1/3)^1.5 is 2.8
    assert groups[:3] == [0, 1, 0]  # by turns
    assert {"d0", "d4", "d1"}.isdisjoint(ids(found))
    first = found[0]
    own = OWN @ profile.interests[0].centre + np.maximum(OWN @ OWN[0], OWN @ OWN[4])
    own[[0, 4, 1]] = -1
    assert (first.hit.doc_id, first.interest) == (f"d{own.argmax()}", 0)
    assert first.hit.score == pytest.approx(own.max() / 2, abs=1e-5)
    assert first.because in {"d0", "d4"}
    rows = recommendations_table({"u": found})
    assert rows.columns == ["user", "rank", "item", "score", "interest", "because", "text"]
    assert rows["rank"].to_list() == list(range(1, 9))


def test_conditions_dislikes_and_copies(crowded: SearchIndex) -> None:
    odd = Recommender(crowded, "kind = 'odd'")
    found = odd.recommend(odd.profile({"d0": 1}), 20)
    assert all(each.hit.fields["kind"] == "odd" for each in found)
    assert not {f"d{row}" for row in range(405, 465)} & set(ids(found))  # the copies of d0
    plain = Recommender(crowded)
    profile = plain.profile({"d4": 1.0}, ["d8", "nobody"])
    rows = [int(name[1:]) for name in ids(plain.recommend(profile, 40))]
    vectors = crowded.vectors.gather(np.array(rows))
    assert (vectors @ OWN[4] >= vectors @ OWN[8]).all()
    assert 8 not in rows
    own = vectors @ vectors.T
    assert own[np.triu_indices(len(own), 1)].max() < plain.spread.copy
    everything = plain.recommend(plain.profile({f"d{row}": 1.0 for row in range(N)}), 30)
    assert len(everything) == 1  # the five copies of the odd text are one
    assert int(everything[0].hit.doc_id[1:]) in range(N, N + 5)


def test_diversity_is_maximal_marginal_relevance(plain: SearchIndex) -> None:
    def alike(diversity: float) -> float:
        recommender = Recommender(plain, diversity=diversity)
        rows = [int(name[1:]) for name in ids(recommender.recommend(recommender.profile({"d0": 1.0}), 10))]
        return float((OWN[rows] @ OWN[rows].T)[np.triu_indices(10, 1)].mean())

    assert alike(0.6) < alike(0.3) < alike(0.0)
    recommender = Recommender(plain, diversity=0.5)
    rows = [int(name[1:]) for name in ids(recommender.recommend(recommender.profile({"d0": 1.0}), 4))]
    nearest = np.argsort(-(OWN @ OWN[0]), kind="stable")
    candidates = [row for row in nearest.tolist() if OWN[row] @ OWN[0] < recommender.spread.copy][:16]
    expected: list[int] = []
    for _ in range(4):
        left = [row for row in candidates if row not in expected]
        gain = [
            0.5 * OWN[row] @ OWN[0] - 0.5 * max((OWN[row] @ OWN[other] for other in expected), default=-1.0)
            for row in left
        ]
        expected.append(left[int(np.argmax(gain))])
    assert rows == expected
    with pytest.raises(ConfigError, match=r"diversity=1\.5, expected a number from 0 to 1"):
        Recommender(plain, diversity=1.5)


def test_likes_of_nothing_that_is_there(plain: SearchIndex) -> None:
    recommender = Recommender(plain)
    with pytest.raises(ConfigError, match="none of the 2 liked documents is in the index"):
        recommender.profile({"x": 1.0, "y": 1.0})
    with pytest.raises(
        ConfigError, match=r"^recommend: no document is liked; name at least one, dislikes alone"
    ):
        recommender.profile({}, ["d1"])
    assert Recommender(plain, "kind = 'none'").recommend(recommender.profile({"d0": 1.0}), 5) == []


def test_recommendations_from_python(plain: SearchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = Recommender(plain, "kind = 'odd'", 0.3)
    expected = recommender.recommend(recommender.profile({"d0": 1.0, "d2": 3.0}, ["d1"]), 4)
    asked: dict[str, Any] = {"disliked": ["d1"], "k": 4, "where": "kind = 'odd'", "diversity": 0.3}
    assert tf.recommend(plain, {"d0": 1, "d2": 3}, **asked) == expected
    assert plain.record is not None
    monkeypatch.chdir(Path(plain.record["folder"]).parents[2])
    for wanted in (None, "search", plain.record["run_id"], Path("runs/search/latest")):
        assert tf.recommend(wanted, {"d0": 1, "d2": 3}, **asked) == expected
    assert tf.recommend(plain, ["d0", "nobody"], k=1)[0].because == "d0"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"liked": "d0"}, r"recommend: liked: expected a list of ids, found str 'd0'; write \['d0'\]"),
        ({"liked": [0]}, "recommend: liked: expected ids that are texts, found int 0"),
        ({"liked": {"d0": -1}}, "recommend: the weight of 'd0' is -1, expected a number above 0"),
        ({"liked": {"d0": "2"}}, "recommend: the weight of 'd0'='2', expected a number"),
        ({"disliked": "d1"}, "recommend: disliked: expected a list of ids, found str 'd1'"),
        ({"k": 0}, "recommend: k=0, expected 1 or more"),
        ({"diversity": float("nan")}, "recommend: diversity=nan, expected a number"),
        ({"diversity": "high"}, "recommend: diversity='high', expected a number"),
        ({"where": 3}, "recommend: where=3, expected a text"),
    ],
)
def test_recommendations_that_are_refused(plain: SearchIndex, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        tf.recommend(plain, **{"liked": ["d0"], **values})


def test_a_file_of_likes(tmp_path: Path) -> None:
    path = tmp_path / "likes.csv"
    path.write_text("user,item,weight\nu,007,2\nu,d1,-1\nv,d2,1\nu,d3,0\nu,007,0.5\n,d4,1\nw,d5,\n")
    found = read_likes(path)
    assert list(found) == ["u", "v"]
    assert (found["u"].liked, found["u"].disliked) == ({"007": 2.5}, ["d1"])  # an id is no number
    pl.DataFrame({"user": [1], "item": ["d1"]}).write_parquet(tmp_path / "likes.parquet")
    assert read_likes(tmp_path / "likes.parquet")["1"].liked == {"d1": 1.0}
    path.write_text("user,item,weight\nu,d1,much\n")
    with pytest.raises(DataError, match=r"weight 'much' is no number \(1 such rows\)"):
        read_likes(path)
    path.write_text("usr,item\nu,d1\n")
    with pytest.raises(DataError, match=r"no column 'user'.*did you mean 'usr'"):
        read_likes(path)
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_likes(tmp_path / "none.csv")
