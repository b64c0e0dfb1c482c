"""The report: sampling keeps shares, data cannot break out of its block, a run's record is in its place."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.duplicates.deduplicate import WAYS
from topicflow.tasks.duplicates.report_duplicates import COUNTS
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.report import points
from topicflow.tasks.report.figures import MAX_SIMILAR, METRICS, metric_entries, topic_similarity
from topicflow.tasks.report.over_time import MAX_BINS, topics_over_time
from topicflow.tasks.report.points import point_block, sample_rows, shorten, take_texts
from topicflow.tasks.report.report import Shown, report
from topicflow.tasks.report.report_page import (
    OPTIONAL_PARTS,
    PACKAGE_FILES,
    RUN_PLACE,
    build_page,
    finish_report,
    script_json,
)
from topicflow.tasks.report.seed_block import seed_block
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics.evaluate import measure

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "-->",
    "\u2028\u2029",
    "\ud800 alone \udfff",
    "nul \x00 and \x1b",
    "&lt; & <b>",
    RUN_PLACE,
    "<!--@script--><!--@policy-->",
    "${x} `y` \\u003c \\",
]


def block(page: str, name: str) -> Any:
    """Return the data of an element as a browser reads it: up to the first `</script`."""
    start = page.index(f'<script type="application/json" id="{name}">')
    return json.loads(page[page.index(">", start) + 1 : page.index("</script", start)])


# --- sampling ---


def test_everything_is_taken_when_it_fits() -> None:
    assert sample_rows(np.array([0, -1, 1, 0], np.int32), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("max_points", [100, 777, 5_000])
def test_a_sample_has_the_size_the_shares_and_every_topic(max_points: int) -> None:
    labels = np.repeat(np.arange(-1, 9), [3000, 5000, 1200, 400, 200, 100, 60, 30, 9, 1]).astype(np.int32)
    labels = np.random.default_rng(0).permutation(labels)
    rows = sample_rows(labels, max_points)
    assert len(rows) == max_points
    assert np.all(np.diff(rows) > 0)
    assert set(labels[rows]) == set(range(-1, 9))
    shares = np.bincount(labels[rows] + 1) / max_points
    expected = np.bincount(labels + 1) / len(labels)
    assert np.all(shares[:3] >= 0.74 * expected[:3])  # a quarter of the points is dealt out evenly
    assert np.array_equal(rows, sample_rows(labels, max_points))


def test_a_sample_is_spread_over_the_order_of_the_documents() -> None:
    rows = sample_rows(np.zeros(10_000, np.int32), 100)
    assert rows.tolist() == list(range(50, 10_000, 100))


def test_more_topics_than_points_still_leaves_one_each() -> None:
    labels = np.repeat(np.arange(150), 10).astype(np.int32)
    assert sorted(labels[sample_rows(labels, 100)]) == list(range(150))


# --- similarity, time, metrics ---


def test_similarity_is_the_cosine_with_like_beside_like() -> None:
    centroids = np.array([[1, 0], [0, 2], [3, 0.1], [0.1, 1]], np.float32)
    found = topic_similarity(centroids, [5, 5, 5, 5])
    assert found is not None
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    expected = (unit @ unit.T)[np.ix_(found["topics"], found["topics"])]
    np.testing.assert_allclose(found["values"], expected, atol=6e-4)
    assert {frozenset(found["topics"][:2]), frozenset(found["topics"][2:])} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
    }


def test_similarity_takes_the_largest_and_survives_a_zero_centroid() -> None:
    centroids = np.random.default_rng(0).normal(size=(MAX_SIMILAR + 20, 4)).astype(np.float32)
    centroids[3] = 0
    sizes = list(range(MAX_SIMILAR + 20, 0, -1))
    found = topic_similarity(centroids, sizes)
    assert found is not None
    assert sorted(found["topics"]) == list(range(MAX_SIMILAR))
    assert np.isfinite(found["values"]).all()


@pytest.mark.parametrize("n_topics", [0, 1])
def test_similarity_needs_two_topics(n_topics: int) -> None:
    assert topic_similarity(np.ones((n_topics, 3), np.float32), [4] * n_topics) is None


def test_counts_over_time_by_hand() -> None:
    days = [datetime(2024, 1, day, 12, tzinfo=UTC) for day in (1, 1, 2, 40 - 31)]
    times = pl.Series([*days, None])
    found = topics_over_time(times, np.array([0, 1, 0, -1, 0], np.int32), [3, 1])
    assert found is not None
    assert found["step"] == "6h"
    assert (found["starts"][0], found["starts"][-1]) == ("2024-01-01T12:00:00", "2024-01-09T12:00:00")
    assert (len(found["starts"]), found["n_undated"]) == (33, 1)
    assert {i: n for i, n in enumerate(found["totals"]) if n} == {0: 2, 4: 1, 32: 1}
    assert [[i for i, n in enumerate(row) if n] for row in found["counts"]] == [[0, 4], [0]]


@pytest.mark.parametrize("days", [0.01, 0.2, 1, 9, 60, 400, 3000, 20_000, 700_000])
def test_bins_are_many_enough_and_not_too_many(days: float) -> None:
    start = datetime(1, 1, 1)  # noqa: DTZ001
    times = pl.Series([start + timedelta(days=days * k / 499) for k in range(500)], dtype=pl.Datetime("us"))
    found = topics_over_time(times, np.zeros(500, np.int32), [500])
    assert found is not None
    assert 7 <= len(found["starts"]) <= MAX_BINS + 2
    assert sum(found["totals"]) == sum(found["counts"][0]) == 500


@pytest.mark.parametrize("times", [[None, None], [datetime(2024, 1, 1), datetime(2024, 1, 1)]])  # noqa: DTZ001
def test_no_times_or_one_moment_give_no_time_axis(times: list[datetime | None]) -> None:
    assert topics_over_time(pl.Series(times, dtype=pl.Datetime), np.zeros(2, np.int32), [2]) is None


def test_every_figure_that_evaluate_makes_is_explained() -> None:
    texts, labels = ["river bank water", "engine car wheel"] * 10, np.tile([0, 1], 10).astype(np.int32)
    vectors = np.eye(2, 4, dtype=np.float32)[labels]
    made = measure(
        [texts], [["river", "bank"], ["engine", "car"]], labels, vectors, vectors, labels.astype(np.int64),
        EvaluateConfig(), CountConfig(), 0,
    )  # fmt: skip
    assert set(made) - set(METRICS) == set()


def test_metrics_keep_their_order_and_unknown_ones_come_last() -> None:
    entries = metric_entries({"new_figure": 1.5, "diversity": None, "npmi": 0.1})
    assert [(entry["key"], entry["value"]) for entry in entries] == [
        ("npmi", 0.1),
        ("diversity", None),
        ("new_figure", 1.5),
    ]
    assert entries[-1]["label"] == "new_figure"


# --- texts and points ---


def test_texts_are_cut_by_characters_and_say_so() -> None:
    frame = pl.LazyFrame({"doc_id": [1, 2, 3], "text": ["ääääää", "äää", "x" * 1_000_000]})
    found = take_texts(frame, np.array([0, 1, 2], np.int64), 3)
    assert found["text"].to_list() == ["äää…", "äää", "xxx…"]
    assert found["doc_id"].to_list() == ["1", "2", "3"]


def test_texts_come_in_the_order_of_the_rows() -> None:
    frame = pl.LazyFrame({"doc_id": [f"d{i}" for i in range(1000)], "text": [f"t{i}" for i in range(1000)]})
    rows = np.arange(0, 1000, 7)
    assert take_texts(frame, rows, 50)["text"].to_list() == [f"t{i}" for i in rows]


def test_texts_are_taken_from_all_parts_and_none_if_none_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(points, "PART_ROWS", 7)
    frame = pl.LazyFrame(
        {"doc_id": range(100), "text": [f"t{i}" for i in range(100)], "label": ["a", None] * 50}
    )
    found = take_texts(frame, np.array([0, 6, 7, 50, 99]), 50)
    assert found["doc_id"].to_list() == ["0", "6", "7", "50", "99"]
    assert found["label"].to_list() == ["a", "a", None, "a", None]
    nothing = take_texts(frame, np.empty(0, np.int64), 50)
    assert (nothing.height, nothing.columns) == (0, ["doc_id", "text", "n_chars", "n_bytes", "label"])


def test_texts_that_are_too_many_bytes_are_cut_alike() -> None:
    texts = pl.DataFrame({"text": ["x" * 100, "y" * 30, "ä" * 100, ""]})
    assert shorten(texts, 100, 330)[1] == 100  # 100 + 30 + 200 bytes fit
    cut, length = shorten(texts, 100, 180)
    assert length == 50  # 50 + 30 + 100 bytes
    assert cut["text"].to_list() == ["x" * 50 + "…", "y" * 30, "ä" * 50 + "…", ""]
    assert shorten(texts, 100, 1)[1] == 20


def test_points_unpack_to_what_went_in() -> None:
    texts = pl.DataFrame(
        {"doc_id": ["a", "b", "c"], "text": ["", "", ""], "label": ["z", None, "y"], "time": [5, None, -7]},
        schema_overrides={"time": pl.Int64},
    )
    layout = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    probabilities = np.array([0.004, 0.5, 1.0], np.float32)
    labels, reassigned = np.array([-1, 0, 7], np.int32), np.array([True, False, True])
    found = point_block(texts, layout, labels, probabilities, reassigned, np.array([0, -5, 9999], np.int16))
    read = {
        name: base64.b64decode(found[name])
        for name in ("x", "y", "topic", "percent", "reassigned", "closeness", "label", "time")
    }
    assert np.frombuffer(read["x"], "<f4").tolist() == [1, 3, 5]
    assert np.frombuffer(read["y"], "<f4").tolist() == [2, 4, 6]
    assert np.frombuffer(read["topic"], "<i4").tolist() == [-1, 0, 7]
    assert list(read["percent"]) == [0, 50, 100]
    assert list(read["reassigned"]) == [1, 0, 1]
    assert np.frombuffer(read["closeness"], "<i2").tolist() == [0, -5, 9999]
    assert (found["labels"], np.frombuffer(read["label"], "<i4").tolist()) == (["y", "z"], [1, -1, 0])
    np.testing.assert_array_equal(np.frombuffer(read["time"], "<f8"), [5, np.nan, -7])


# --- the page ---


def test_no_text_leaves_its_block() -> None:
    page = build_page("t", {"texts": HOSTILE})
    assert block(page, "texts") == HOSTILE
    data = script_json(HOSTILE)
    assert not re.search("[<>&\u2028\u2029\ud800-\udfff]", data)
    assert data.encode()


def test_numbers_that_json_lacks_become_null() -> None:
    assert (
        script_json({"a": [float("nan"), float("inf"), 1.5], "p": Path("x")})
        == '{"a":[null,null,1.5],"p":"x"}'
    )


def test_the_title_is_escaped_in_html() -> None:
    title = "</title><script>alert(1)</script>\ud800"
    page = build_page(title, {})
    assert "<script>alert(1)" not in page
    assert page.count(html.escape("</title><script>alert(1)</script>?")) == 2


def test_the_policy_lists_exactly_the_scripts_of_the_page() -> None:
    page = build_page("t", {"texts": HOSTILE})
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert set(re.findall(r"'sha256-([^']*)'", policy[1])) == digests
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe-inline'; img-src" in policy[1]
    assert not re.search(r"script-src[^;]*unsafe-inline", policy[1])
    assert len(scripts) == 3
    assert "\r" not in page


def test_the_page_names_no_address_to_fetch() -> None:
    page = build_page("t", {})
    ours = "".join(re.sub(r"<script>/\*\*\n\* plotly.*?</script>", "", page, flags=re.DOTALL))
    assert len(ours) < 150_000
    assert not re.search(
        r"https?://|@import|url\(|fetch\(|innerHTML|insertAdjacentHTML|document\.write", ours
    )


def test_the_record_of_a_run_lands_in_its_place() -> None:
    run = {
        "run_id": "r</script><script>alert(1)</script>",
        "seconds": float("nan"),
        "config": RUN_PLACE + "\ud800",
    }
    page = build_page("t", {"texts": HOSTILE})
    finished = finish_report(page, run)
    assert block(page, "run") is None
    assert block(finished, "run") == {**run, "seconds": None}
    assert block(finished, "texts") == HOSTILE
    assert finished.encode()


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ArtifactError, match="has no place"):
        finish_report(finish_report(build_page("t", {}), {"run_id": "a"}), {"run_id": "b"})


def test_the_package_ships_the_files_of_the_page() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["topicflow.tasks.report"]
    beside = Path(str(resources.files("topicflow.tasks.report")))
    shipped = {path.name for pattern in patterns for path in beside.glob(pattern)}
    scripts = {f"{part}.js" for part in OPTIONAL_PARTS}
    sections = {f"{part}.html" for part, name in OPTIONAL_PARTS.items() if name}
    assert {*PACKAGE_FILES, *scripts, *sections} == shipped


def test_parts_of_slices_are_there_only_with_their_data() -> None:
    plain, full = build_page("t", {}), build_page("t", {"periods": {}, "groups": []})
    assert not any(f"{part}-section" in plain for part in OPTIONAL_PARTS)
    assert [part for part in OPTIONAL_PARTS if f'<section id="{part}-section"' in full] == [
        "periods",
        "groups",
    ]
    assert '<a href="#groups-section">Groups</a>' in full
    seeded = build_page("t", {"seeds": []})
    assert '<a href="#seeds-section">Seeds</a>' in seeded
    assert "seedData" not in plain


def test_the_block_of_seeds_has_the_topics_in_which_they_ended() -> None:
    rows = [("a", 9, 2, 6, 6 / 9, True), ("a", 9, -1, 3, 3 / 9, False), ("<b>", 0, None, 0, 0.0, False)]
    names = ["name", "n_documents", "topic", "n_shared", "share", "ended"]
    table = pl.DataFrame(rows, names, orient="row").with_columns(seed=pl.Series([0, 0, 1]))
    assert seed_block(table) == [
        {"name": "a", "n": 9, "topics": [{"topic": 2, "n_shared": 6, "share": pytest.approx(2 / 3)}]},
        {"name": "<b>", "n": 0, "topics": []},
    ]


# --- the stage ---


def inputs(store: ArtifactStore, n: int, n_topics: int) -> dict[str, ArtifactRef]:
    labels = (np.arange(n) % (n_topics + 1) - 1).astype(np.int32)
    topics = pl.DataFrame(
        {
            "topic": range(n_topics),
            "size": [int((labels == t).sum()) for t in range(n_topics)],
            "name": [f'"{t}"' for t in range(n_topics)],
            "keywords": [["a", "b"]] * n_topics,
            "weights": [[0.5, 0.2]] * n_topics,
            "representative_rows": [np.flatnonzero(labels == t)[:5].tolist() for t in range(n_topics)],
        },
        schema={
            "topic": pl.Int32, "size": pl.Int64, "name": pl.String, "keywords": pl.List(pl.String),
            "weights": pl.List(pl.Float32), "representative_rows": pl.List(pl.Int64),
        },
    )  # fmt: skip
    arrays = {"labels": labels, "probabilities": np.ones(n, np.float32), "reassigned": np.zeros(n, bool)}
    documents = pl.DataFrame({"doc_id": [f"d{i}" for i in range(n)], "text": [f"text {i}" for i in range(n)]})
    refs = {}
    for kind in ("documents", "layout", "labels", "topics", "metrics", "embeddings"):
        recipe = Recipe(stage=kind, kind=kind, version=1, config={"n": n, "n_topics": n_topics})
        with store.writing(recipe) as writer:
            if kind == "documents":
                writer.save_table("documents", documents)
                writer.save_table("columns", documents.select("text"))
            elif kind == "embeddings":
                writer.save_array("embeddings", np.ones((n, 3), np.float32))
            elif kind == "layout":
                writer.save_array("reduced", np.zeros((n, 2), np.float32))
            elif kind == "labels":
                for name, array in arrays.items():
                    writer.save_array(name, array)
            elif kind == "topics":
                writer.save_table("topics", topics)
                writer.save_array("centroids", np.ones((n_topics, 3), np.float32))
            else:
                writer.save_json("metrics", {"npmi": None})
        refs[kind] = store.committed(recipe, writer)
    return refs


def test_the_stage_draws_on_a_miss_and_finds_on_a_hit(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    refs = inputs(store, 30, 2)
    made = report.fn(Context(store), Shown(**refs), config=ReportConfig(n_examples=2), name="first")
    assert isinstance(made, ArtifactRef)
    summary = block(store.path(made, "report.html").read_text(encoding="utf-8"), "summary")
    assert (summary["title"], summary["n_documents"], summary["n_outliers"]) == ("first", 30, 10)
    assert [topic["examples"] for topic in summary["topics"]] == [[1, 4], [2, 5]]
    assert summary["examples"] == {str(row): f"text {row}" for row in (1, 2, 4, 5)}
    again: Any = report.fn(Context(store), Shown(**refs), config=ReportConfig(n_examples=2), name="first")
    assert (again.cached, again) == (True, made)
    other = report.fn(Context(store), Shown(**refs), config=ReportConfig(n_examples=3), name="first")
    assert isinstance(other, ArtifactRef)
    assert other != made


def test_near_duplicates_are_reported_only_for_a_run_that_left_some_out(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    refs = inputs(store, 30, 2)
    loaded = save_documents(store, [HOSTILE[0], "between", "x" * 1000])
    row, way = np.array([2, 1, 2], np.int32), np.array([WAYS.index("embedding"), 0, 0], np.uint8)
    figures = {**dict.fromkeys(COUNTS, 1), "n_pairs_embedding": 1, "recall": None, "histogram": []}
    recipe = Recipe("deduplicate", "duplicates", 1, {"threshold": 0.9}, {"documents": loaded.key})
    with store.writing(recipe) as writer:
        arrays = {"similarity": np.full(3, 0.9, np.float32), "way": way, "kept_row": row}
        for name, array in arrays.items():
            writer.save_array(name, array)
        writer.save_json("figures", figures)
    options: dict[str, Any] = {"config": ReportConfig(max_text=300), "name": "first"}
    told = report.fn(
        Context(store), Shown(**refs, loaded=loaded, duplicates=store.committed(recipe, writer)), **options
    )
    other = report.fn(Context(store), Shown(**refs, loaded=loaded), **options)
    assert isinstance(told, ArtifactRef)
    assert isinstance(other, ArtifactRef)
    assert told.key != other.key
    page = store.path(told, "report.html").read_text(encoding="utf-8")
    (pair,) = block(page, "summary")["duplicates"]["least_similar"]
    assert (pair["text"], pair["kept_text"]) == (HOSTILE[0], "x" * 300 + "…")
    assert "<script>alert(1)" not in page
    assert (
        block(store.path(other, "report.html").read_text(encoding="utf-8"), "summary")["duplicates"] is None
    )


@pytest.mark.parametrize(("n", "n_topics"), [(1, 0), (7, 0), (6, 1)])
def test_the_stage_draws_what_is_hardly_there(tmp_path: Path, n: int, n_topics: int) -> None:
    store = ArtifactStore(tmp_path)
    made = report.fn(
        Context(store), Shown(**inputs(store, n, n_topics)), config=ReportConfig(n_examples=0), name="small"
    )
    assert isinstance(made, ArtifactRef)
    page = store.path(made, "report.html").read_text(encoding="utf-8")
    assert len(block(page, "summary")["topics"]) == n_topics
    assert len(block(page, "texts")["texts"]) == n
    assert block(page, "summary")["timeline"] is None
