"""Questions: pages, minimum scores, groups and lists of ids; invalid arguments are one-line errors."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import tiny_model
from tests.indexes import brute, build, documents_table, index_config, run
from tests.unit.test_index_topics import TOPICS, topic_run
from topicflow.configs.sections.load import SplitConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search import ranking
from topicflow.tasks.search.index import Results, SearchIndex
from topicflow.tasks.search.outliers import find_outliers

N = 600
TABLE = documents_table(N).with_columns(
    parent_id=pl.Series([f"p{row // 3}" if row % 10 else None for row in range(N)]),
    tags=pl.Series(
        [["x", "y"][: row % 3] if row % 7 else None for row in range(N)], dtype=pl.List(pl.String)
    ),
    meta=pl.Series([{"source": "web" if row % 4 else "wire", "n": row % 5} for row in range(N)]),
    created=pl.Series([date(2010 + row % 5, 1 + row % 12, 1) for row in range(N)]),
    seen=pl.Series([datetime(2020, 1, 1, row % 24, tzinfo=UTC) for row in range(N)]),
    price=pl.Series([row / 4 for row in range(N)]),
)
VECTORS = np.array(TABLE["vector"].to_list(), np.float32)
QUERY = VECTORS[5] + np.float32(0.1)
UNIT = QUERY / np.linalg.norm(QUERY)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index without a graph."""
    return build(tmp_path_factory.mktemp("exact"), TABLE)


@pytest.fixture(scope="module")
def textual(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index of texts by a small model."""
    folder = tmp_path_factory.mktemp("textual")
    model = tiny_model(folder / "model", max_seq_length=32)
    return build(folder, TABLE.drop("vector"), {"model": str(model), "precision": "float32"})


def rows_of(hits: list[Any]) -> list[int]:
    return [int(hit.doc_id.removeprefix("d")) for hit in hits]


def test_an_index_cut_by_other_segmenters_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = build(tmp_path, TABLE)
    monkeypatch.setattr("topicflow.tasks.search.recipes.word_identity", lambda: {"icu4py": "99"})
    with caplog.at_level("WARNING", "topicflow"):
        index.search("red", mode="bm25")
        index.search("blue", mode="bm25")
    (line,) = (each.getMessage() for each in caplog.records if each.name == "topicflow")
    assert line.endswith("so that some words are not found; run `topicflow index CONFIG` again")


# --- pages ---


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_pages_follow_each_other(textual: SearchIndex, mode: Any) -> None:
    whole = textual.search("red horse tea", N, mode=mode)
    assert [hit.score for hit in whole] == sorted((hit.score for hit in whole), reverse=True)
    assert len({hit.doc_id for hit in whole}) == len(whole)
    pages = [textual.search("red horse tea", 37, mode=mode, offset=start) for start in range(0, N, 37)]
    assert [hit for page in pages for hit in page] == whole
    assert textual.search("red horse tea", 5, mode=mode, offset=N) == []


def test_the_first_of_hybrid_search_do_not_depend_on_how_many_are_asked_for(textual: SearchIndex) -> None:
    most = textual.search("horse n17 milk", N)
    assert len(most) == N  # all there are, also those beyond the fused places
    for k in (1, 10, 199, 200, 201, 399, 400, 599):
        assert textual.search("horse n17 milk", k) == most[:k]
    dense, words = (rows_of(textual.search("horse n17 milk", N, mode=mode)) for mode in ("dense", "bm25"))
    head = set(dense[:200]) | set(words[:200])
    assert set(rows_of(most)[: len(head)]) == head
    places = {row: min(ranks.index(row) for ranks in (dense, words) if row in ranks) for row in dense}
    beyond = [places[row] for row in rows_of(most)[len(head) :]]
    assert beyond == sorted(beyond)


def test_a_ranking_as_deep_as_the_index_is_brute_force(
    exact: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_insertion = exact.search(QUERY, N)
    monkeypatch.setattr(ranking, "SORTED", 0)
    assert rows_of(exact.search(QUERY, N)) == rows_of(by_insertion) == brute(VECTORS, UNIT, N)
    kept = np.arange(N) % 2 == 0
    assert rows_of(exact.search(QUERY, 50, where="kind = 'even'")) == brute(VECTORS, UNIT, 50, kept)


def test_a_minimum_score_is_inclusive(exact: SearchIndex) -> None:
    hits = exact.search(QUERY, 40)
    assert exact.search(QUERY, 40, min_score=hits[9].score) == hits[:10]
    assert exact.search(QUERY, 4, offset=8, min_score=hits[9].score) == hits[8:10]
    assert exact.search(QUERY, 40, min_score=2) == []
    near = exact.similar("d7", 30)
    assert exact.similar("d7", 30, min_score=near[4].score, offset=2) == near[2:5]


def test_groups_give_their_best_document(exact: SearchIndex) -> None:
    ranked = exact.search(QUERY, N)
    seen: set[str] = set()
    expected = []
    for hit in ranked:
        group = hit.fields["parent_id"]
        if group is None or group not in seen:
            expected.append(hit)
            seen.add(group)
    assert exact.search(QUERY, 25, group_by="parent_id") == expected[:25]
    assert exact.search(QUERY, 10, offset=20, group_by="parent_id") == expected[20:30]
    assert exact.search(QUERY, N, group_by="parent_id") == expected
    assert [hit.fields["meta"]["source"] for hit in exact.search(QUERY, 5, group_by="meta.source")] in (
        ["web", "wire"], ["wire", "web"],
    )  # fmt: skip
    assert len(exact.search(QUERY, 9, group_by="year(created)")) == 5
    assert len(exact.similar("d7", 9, group_by="kind")) == 2


def test_passages_are_grouped_by_their_document(tmp_path: Path, tiny: Path) -> None:
    texts = ["red tea. " * 30 + "green milk. " * 30, "blue cat. " * 60, "horse"]
    pl.DataFrame({"id": ["a", "b", "c"], "text": texts}).write_parquet(tmp_path / "documents.parquet")
    config = index_config(tmp_path, {"model": str(tiny), "precision": "float32"})
    load = config.load.model_copy(update={"split": SplitConfig(max_words=20, overlap_words=2)})
    index = run(config.model_copy(update={"load": load}))
    assert len(index) > 6
    found = index.search("red tea", 10, group_by="parent")
    assert sorted(hit.fields["parent"] for hit in found) == ["a", "b", "c"]
    assert len(index.search("red tea", 10)) == 10


# --- conditions and ids ---


def test_a_list_of_ids_limits_what_is_found(exact: SearchIndex) -> None:
    wanted = [f"d{row}" for row in range(0, N, 9)]
    kept = np.arange(N) % 9 == 0
    assert rows_of(exact.search(QUERY, 20, ids=wanted)) == brute(VECTORS, UNIT, 20, kept)
    both = kept & (np.arange(N) % 2 == 1)
    assert rows_of(exact.search(QUERY, 20, where="kind = 'odd'", ids=iter(wanted))) == brute(
        VECTORS, UNIT, 20, both
    )
    assert rows_of(exact.search(QUERY, 20, ids=["d3", "nobody", "d3"])) == [3]
    assert exact.search(QUERY, 20, ids=[]) == []
    assert rows_of(exact.similar("d7", 3, ids=["d7", "d8"])) == [8]
    assert {row % 9 for row in rows_of(exact.search(QUERY, 20, ids=pl.Series(wanted)))} == {0}


def test_lists_and_structs_stay_and_are_filtered_by(exact: SearchIndex) -> None:
    hit = exact.search(VECTORS[8], 1)[0]
    assert (hit.fields["tags"], hit.fields["meta"]) == (["x", "y"], {"source": "wire", "n": 3})
    rows = np.arange(N)
    cases = {
        "tags contains 'y'": (rows % 3 == 2) & (rows % 7 > 0),
        "tags contains any ('x', 'q')": (rows % 3 > 0) & (rows % 7 > 0),
        "tags is null": rows % 7 == 0,
        "meta.source = 'wire' and meta.n > 2": (rows % 4 == 0) & (rows % 5 > 2),
        "year(created) = 2012 or month(seen) = 2": rows % 5 == 2,
    }
    for where, expected in cases.items():
        kept = exact.filtered(where)
        assert kept is not None
        np.testing.assert_array_equal(kept, expected)


def test_topics_are_filtered_by(tmp_path: Path) -> None:
    topic_run(tmp_path / "runs", [f"d{row}" for row in range(60)])
    index = build(tmp_path, TABLE[:60], topics="topics")
    cases = {
        "topic = 1": TOPICS == 1,
        "topic = -1": TOPICS == -1,
        "topic_name = 'teas' or topic_name is null": (TOPICS == 1) | (TOPICS == -1),
        "topic in (0, 2) and kind = 'odd'": ((TOPICS == 0) | (TOPICS == 2)) & (np.arange(60) % 2 == 1),
    }
    for where, expected in cases.items():
        kept = index.filtered(where)
        assert kept is not None
        np.testing.assert_array_equal(kept, expected)
    assert "topic" not in index.search(VECTORS[1], 1)[0].fields
    assert sorted(
        hit.topic for hit in index.search(VECTORS[1], 9, group_by="topic") if hit.topic is not None
    ) == [-1, 0, 1, 2]
    own = tmp_path / "own"
    own.mkdir()
    topic_run(own / "runs", [f"d{row}" for row in range(60)])
    with_column = build(own, TABLE[:60].with_columns(topic=pl.lit("mine")), topics="topics")
    kept = with_column.filtered("topic = 'mine'")
    assert kept is not None
    assert kept.all()


# --- words ---


def test_k1_and_b_change_the_ranking_by_words_alone(exact: SearchIndex) -> None:
    def scores(**options: Any) -> dict[str, float]:
        return {hit.doc_id: hit.score for hit in exact.search("red n17", N, mode="bm25", **options)}

    usual, flat = scores(), scores(k1=0, b=0)
    assert scores(k1=1.5, b=0.75) == usual
    counts = TABLE["text"].str.split(" ").list
    has = {word: counts.contains(word).to_list() for word in ("red", "n17")}
    rarity = {word: np.log1p((N - sum(found) + 0.5) / (sum(found) + 0.5)) for word, found in has.items()}
    for row in (0, 3, 17, 18):
        by_hand = sum(float(rarity[word]) for word, found in has.items() if found[row])
        assert flat.get(f"d{row}", 0.0) == pytest.approx(by_hand, rel=1e-5)
    assert scores(b=0) != usual != scores(k1=5)
    dense = exact.search(QUERY, 5)
    assert exact.search(QUERY, 5, k1=3, b=0.1) == dense


@pytest.mark.parametrize("query", ["!!! ???", "\x00", "\U0001f469\u200d\U0001f467", "\u200b", "a" * 100_000])
def test_a_query_without_a_word_of_the_index_finds_nothing_by_words(
    exact: SearchIndex, textual: SearchIndex, query: str
) -> None:
    for expand in ("none", "feedback"):
        assert exact.search(query, mode="bm25", expand=expand) == []  # type: ignore[arg-type]
    found = textual.search(query, 5, explain=True, highlight=True, group_by="kind")
    assert [set(hit.ranks or {}) for hit in found] == [{"dense"}] * 2
    assert [hit.doc_id for hit in found] == [
        hit.doc_id for hit in textual.search(query, 5, mode="dense", group_by="kind")
    ]


@pytest.mark.parametrize("k", [10**9, 10**30])
def test_any_number_of_documents_may_be_asked_for(textual: SearchIndex, k: int) -> None:
    assert len(textual.search("red tea", k)) == N
    assert textual.search("red tea", 5, offset=k) == []
    assert len(textual.similar("d1", k)) == N - 1


def test_a_repeated_word_of_a_query_counts_as_often_as_it_stands_there(exact: SearchIndex) -> None:
    def scores(query: str) -> dict[str, float]:
        return {hit.doc_id: hit.score for hit in exact.search(query, N, mode="bm25")}

    twice, red, tea = scores("red Tea red"), scores("red"), scores("tea")
    for doc_id, score in twice.items():
        assert score == pytest.approx(2 * red.get(doc_id, 0.0) + tea.get(doc_id, 0.0), rel=1e-5)
    assert set(twice) == {*red, *tea}


# --- what cannot be asked ---

REFUSED: list[tuple[Callable[[SearchIndex], Any], str]] = [
    (lambda index: index.search(QUERY, 2.5), "search: k=2.5, expected a whole number, 1 or more"),
    (lambda index: index.search(QUERY, 0), "search: k=0, expected 1 or more"),
    (lambda index: index.search(QUERY, -3), "search: k=-3, expected 1 or more"),
    (lambda index: index.search(QUERY, True), "search: k=True, expected a whole number"),
    (lambda index: index.search(QUERY, "10"), "search: k='10', expected a whole number"),
    (lambda index: index.search(QUERY, None), "search: k=None, expected a whole number"),
    (lambda index: index.similar("d1", 0), "search: k=0, expected 1 or more"),
    (lambda index: index.topics(QUERY, -1), "search: k=-1, expected 1 or more"),
    (lambda index: find_outliers(index, 2.5), "outliers: k=2.5, expected a whole number"),
    (lambda index: index.search(QUERY, offset=-1), "search: offset=-1, expected 0 or more"),
    (lambda index: index.search(QUERY, offset=1.0), "search: offset=1.0, expected a whole number"),
    (lambda index: index.search(QUERY, min_score="high"), "search: min_score='high', expected a number"),
    (lambda index: index.search(QUERY, min_score=float("nan")), "search: min_score=nan, expected a number"),
    (lambda index: index.search(QUERY, dense_weight=1.5), "search: dense_weight=1.5, expected a number from 0 to 1"),
    (lambda index: index.search(QUERY, dense_weight="half"), "search: dense_weight='half', expected a number"),
    (lambda index: index.search(QUERY, fusion_k=-1), "search: fusion_k=-1, expected a number, 0 or more"),
    (lambda index: index.search(QUERY, fusion_k=float("inf")), "search: fusion_k=inf, expected a number, 0 or more"),
    (lambda index: index.search(QUERY, k1=-0.1), "search: k1=-0.1, expected a number from 0 to 1000"),
    (lambda index: index.search(QUERY, k1=float("nan")), "search: k1=nan, expected a number"),
    (lambda index: index.search(QUERY, b=1.01), "search: b=1.01, expected a number from 0 to 1"),
    (lambda index: index.search(QUERY, b="long"), "search: b='long', expected a number"),
    (lambda index: index.search(QUERY, highlight=True), "search: highlight reads texts and the query is a vector"),
    (lambda index: index.search(QUERY, mode="BM25"), "search: mode 'BM25', expected one of auto, dense, bm25, hybrid"),
    (lambda index: index.search(QUERY, mode=["bm25"]), "search: mode ['bm25'], expected one of auto"),
    (lambda index: index.search("red \ud800"), "search: the query has half of a character"),
    (lambda index: index.search([1e39] * 16), "search: the query's vector contains NaN or infinite values"),
    (lambda index: index.search(["a", "b"]), "expected one query, a text or a vector of numbers, found a list of 2"),
    (lambda index: index.search([["a"], ["b", "c"]]), "expected one query"),
    (lambda index: index.search(None), "expected one query, a text or a vector of numbers, found a NoneType"),
    (lambda index: index.search({"q": "a"}), "expected one query, a text or a vector of numbers, found a dict"),
    (lambda index: index.search(np.stack([QUERY, QUERY])), "has 2×16 dimensions, the index 16"),
    (lambda index: index.search(3), "the query's vector has no dimensions"),
    (lambda index: index.topics(QUERY), "search: the index has no topics; set index.topics"),
    (lambda index: index.similar(7), "index: expected a document's id, a text, found int 7"),
    (lambda index: index.search(QUERY, where=3), "search: where=3, expected a text"),
    (lambda index: index.search(QUERY, rerank="a/model"), "search: rerank reads texts and the query is a vector"),
    (lambda index: index.search(QUERY, group_by="tags"), "group_by='tags' is List(String); expected a column"),
    (lambda index: index.search(QUERY, group_by="knd"), "no column 'knd'; did you mean 'kind'?"),
    (lambda index: index.search(QUERY, group_by=1), "search: group_by=1, expected a text"),
    (lambda index: index.search(QUERY, ids="d1"), "search: ids: expected a list of ids, found str 'd1'; write ['d1']"),
    (lambda index: index.search(QUERY, ids=[1]), "search: ids: expected ids that are texts, found int 1"),
    (lambda index: index.search(QUERY, ids=7), "search: ids: expected a list of ids, found int 7"),
    (lambda index: index.remove("12"), "remove: expected a list of ids, found str '12'; write ['12']"),
    (lambda index: index.remove([1]), "remove: expected ids that are texts, found int 1"),
    (lambda index: index.remove(None), "remove: expected a list of ids, found NoneType None"),
    (lambda index: index.search(QUERY, where="bucket = 99999999999999999999"), "does not fit into 64 bits"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "said"), REFUSED, ids=[said[:40] for _, said in REFUSED])
def test_questions_that_are_refused(exact: SearchIndex, ask: Callable[[SearchIndex], Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(exact)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(exact) == N


def test_vectors_may_be_lists_of_numbers(exact: SearchIndex) -> None:
    assert exact.search(QUERY.tolist(), 3) == exact.search(QUERY, np.int64(3))


# --- removing and adding ---


def test_a_text_is_not_a_list_of_ids(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:30].with_columns(id=pl.Series([str(row) for row in range(30)])))
    with pytest.raises(ConfigError, match="expected a list of ids"):
        index.remove("12")
    before = index.files.ref
    index.remove([])
    index.add([])
    assert index.files.ref == before
    index.remove(iter(["12"]))
    assert len(index) == 29
    assert {"1", "2"} <= {hit.doc_id for hit in index.search(QUERY, 30)}


def added(tmp_path: Path, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of documents that were added to a small index, in their order."""
    index = build(tmp_path, TABLE[:20])
    index.add(list(documents), VECTORS[: len(documents)])
    return index.documents[20:].to_dicts()


def test_what_is_added_fits_its_columns(tmp_path: Path) -> None:
    one, two = added(
        tmp_path,
        {"doc_id": "n1", "text": "a", "bucket": 3.0, "created": "2012-01-31", "seen": "2012-01-31 12:00+01:00",
         "price": 2, "tags": ("x", None), "meta": {"source": "web"}},
        {"doc_id": 7, "text": "b", "bucket": "12", "created": datetime(2012, 1, 31),  # noqa: DTZ001
         "seen": date(2012, 1, 31),
         "price": "1.25"},
    )  # fmt: skip
    noon = datetime(2012, 1, 31, 11, tzinfo=UTC)
    assert (one["bucket"], one["created"], one["seen"], one["price"]) == (3, date(2012, 1, 31), noon, 2.0)
    assert (one["tags"], one["meta"], one["kind"]) == (["x", None], {"source": "web", "n": None}, None)
    assert (two["doc_id"], two["bucket"], two["created"]) == ("7", 12, date(2012, 1, 31))
    assert (two["seen"], two["price"], two["tags"]) == (datetime(2012, 1, 31, tzinfo=UTC), 1.25, None)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("bucket", 1.7, "column 'bucket': found 1.7, expected Int64"),
        ("bucket", True, "found True, expected Int64"),
        ("bucket", 2**70, f"found {2**70}, expected Int64"),
        ("bucket", float("nan"), "found nan, expected Int64"),
        ("bucket", "many", "found 'many', expected Int64"),
        ("bucket", "1e99999999", "found '1e99999999', expected Int64"),
        ("bucket", [1], "found [1], expected Int64"),
        ("price", "dear", "found 'dear', expected Float64"),
        ("price", 2**60 + 1, f"found {2**60 + 1}, expected Float64"),
        ("created", "May", "column 'created': found 'May', expected Date, such as '2012-01-31'"),
        ("created", 2012, "found 2012, expected Date"),
        ("created", datetime(2012, 1, 1, 5, tzinfo=UTC), "tzinfo=datetime.timezone.utc), expected Date"),
        ("seen", "soon", "column 'seen': found 'soon', expected Datetime"),
        ("kind", 1.5, "found 1.5, expected String"),
        ("kind", ["a"], "found ['a'], expected String"),
        ("tags", "x", "found 'x', expected List(String)"),
        ("tags", [["x"]], "found ['x'], expected String"),
        ("meta", {"sorce": "web"}, "found {'sorce': 'web'}, expected Struct"),
        ("meta", {"n": 1.5}, "found 1.5, expected Int64"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_named(exact: SearchIndex, column: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        exact.add([{"text": "a"}, {"text": "b", column: value}], VECTORS[:2])
    assert "the documents to add do not fit the index's columns" in str(raised.value)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ("a text", "expected a list of documents such as {'text': '…'}, or a polars DataFrame, found str"),
        ({"text": "a"}, "found dict"),
        (["a", "b"], "found a list with str"),
        (7, "found int"),
        ([{"text": "a", "doc_id": " "}], "has an empty id; leave doc_id out"),
        ([{"text": None}], "each document to add needs a text"),
    ],
)
def test_values_that_are_not_documents(exact: SearchIndex, documents: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        exact.add(documents, VECTORS[:1])
    assert said in str(raised.value)


def test_equal_texts_without_ids_get_different_ids(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:20])
    index.add(
        [{"text": "same"}, {"text": "same"}, {"text": "other"}, {"doc_id": "n", "text": "same"}], VECTORS[:4]
    )
    first = index.documents["doc_id"][20:].to_list()
    assert len(set(first)) == 4
    assert first[1] == f"{first[0]}-2"  # as `load` names them
    assert first[3] == "n"
    index.add(pl.DataFrame({"text": ["same", "same", "new"]}), VECTORS[4:7])
    assert len(index) == 27  # none was replaced
    assert index.documents["doc_id"][24:26].to_list() == [f"{first[0]}-3", f"{first[0]}-4"]
    index.remove([first[0]])
    index.add([{"text": "same"}], VECTORS[7:8])
    assert index.documents["doc_id"][-1] == first[0]


# --- threads ---


def test_whether_a_query_was_cut_belongs_to_its_answer(textual: SearchIndex) -> None:
    long, short = "red " * 60, "red tea"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: textual.search(text, 2).truncated, [long, short] * 20))
    assert found == [True, False] * 20
    assert json.loads(json.dumps(Results([1, 2], truncated=True))) == [1, 2]


def test_questions_while_documents_are_added_see_one_generation(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:50])
    expected = {50 + n: brute(VECTORS[: 50 + n], UNIT, 50 + n) for n in range(4)}
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            seen.append(rows_of(index.search(QUERY, 100)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for row in range(50, 53):
        index.add([{"doc_id": f"d{row}", "text": "new"}], VECTORS[row : row + 1])
    stop.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 3
    assert all(rows == expected[len(rows)] for rows in seen)
