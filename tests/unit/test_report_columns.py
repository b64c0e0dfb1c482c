"""Columns, whole texts and closeness of a report: kinds of columns, figures by topic, blocks that open to the texts."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from topicflow.tasks.report import columns, whole_texts
from topicflow.tasks.report.closeness import SCALE, closeness
from topicflow.tasks.report.columns import (
    MAX_DISTINCT,
    MAX_VALUES,
    category_codes,
    columns_of,
    mean_figures,
    share_figures,
)
from topicflow.tasks.report.over_time import MAX_COUNTS, largest_topics, share_directions
from topicflow.tasks.report.points import fitting_length, take_texts
from topicflow.tasks.report.whole_texts import whole_block

N = 200
RNG = np.random.default_rng(0)
DOCUMENTS = pl.LazyFrame({"doc_id": [f"d{i}" for i in range(N)], "text": ["t"] * N})


def read(packed: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(packed), kind)


def offered(own: dict[str, Any], documents: pl.LazyFrame = DOCUMENTS) -> tuple[dict[str, str], list[str]]:
    """Return the kind of each column that a page offers, and the columns that it leaves out."""
    labels = np.zeros(N, np.int32)
    found = columns_of(documents, pl.LazyFrame(own), labels, np.arange(N), 1)
    assert [each["name"] for each in found.by_point] == [each["name"] for each in found.by_topic]
    return {each["name"]: each["kind"] for each in found.by_point}, found.left_out


def test_columns_have_a_kind_and_ids_texts_and_single_values_are_left_out() -> None:
    start = date(2024, 1, 1)
    own = {
        "id": np.arange(N),
        "key": [f"k{i}" for i in range(N)],
        "stars": np.arange(N) % 5,
        "price": RNG.normal(size=N),
        "shop": ["a", "b"] * (N // 2),
        "sold": [True, False] * (N // 2),
        "day": [start + timedelta(days=i % 9) for i in range(N)],
        "written": [f"2024-0{1 + i % 9}-02 10:00:00" for i in range(N)],
        "review": ["a long text " * 9 + str(i % 3) for i in range(N)],
        "one": ["x"] * N,
        "none": [None] * N,
        "list": [[1]] * N,
    }
    kinds, left_out = offered(own)
    assert kinds == {
        "stars": "number", "price": "number", "shop": "category", "sold": "category", "day": "date",
        "written": "date",
    }  # fmt: skip
    assert left_out == ["id", "key", "review", "one", "none", "list"]


def test_label_and_time_are_columns_unless_the_input_has_the_same() -> None:
    labels = ["a", "b"] * (N // 2)
    times = [datetime(2024, 1, 1 + i % 9, tzinfo=UTC) for i in range(N)]
    documents = DOCUMENTS.with_columns(label=pl.Series(labels), timestamp=pl.Series(times))
    assert offered({"x": ["1"] * N}, documents)[0] == {"label": "category", "timestamp": "date"}
    own = {"kind": labels, "created": [time.strftime("%Y-%m-%d") for time in times]}
    assert offered(own, documents)[0] == {"kind": "category", "created": "date"}


def test_moments_are_utc_and_numbers_keep_their_digits() -> None:
    zone = timezone(timedelta(hours=2))
    own = pl.LazyFrame(
        {
            "at": [datetime(2024, 1, 1, 2, tzinfo=zone), None, datetime(1999, 1, 1, tzinfo=UTC)],
            "big": [2**40 + 1, 1, 1],
            "half": [0.5, float("nan"), float("inf")],
            "quarter": [0.25, 0.5, None],
        }
    )
    found = columns_of(DOCUMENTS.head(3), own, np.zeros(3, np.int32), np.array([0, 1]), 1)
    at, big, quarter = found.by_point
    assert read(at["numbers"], "<f8")[0] == datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert np.isnan(read(at["numbers"], "<f8")[1])
    assert (big["type"], read(big["numbers"], "<f8").tolist()) == ("f8", [2**40 + 1, 1])
    assert (quarter["type"], read(quarter["numbers"], "<f4").tolist()) == ("f4", [0.25, 0.5])
    assert found.left_out == ["half"]  # one value is left


def test_categories_are_the_most_frequent_values_and_the_rest_is_one() -> None:
    values = pl.Series("v", [*(["often"] * 9), *(f"r{i:02d}" for i in range(MAX_VALUES + 5)), None])
    names, codes = category_codes(values)
    assert (names[0], len(names)) == ("often", MAX_VALUES)
    assert codes[:9].tolist() == [0] * 9
    assert (codes == -2).sum() == 6
    assert codes[-1] == -1
    many = [f"v{i % (MAX_DISTINCT + 1)}" for i in range(3 * MAX_DISTINCT)]
    assert columns.usable(pl.Series(many), "category") is None


def test_means_have_the_interval_of_student() -> None:
    numbers = np.append(RNG.normal(3, 2, 60), [np.nan, 7.0])
    labels = np.array([0] * 40 + [1] * 19 + [-1] * 2 + [2], np.int32)
    found = mean_figures(numbers, labels, 4)
    for topic, own in ((0, numbers[:40]), (1, numbers[40:59])):
        low, high = stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own))
        assert found["mean"][topic] == pytest.approx(own.mean())
        assert (found["low"][topic], found["high"][topic]) == pytest.approx((low, high))
    assert (found["n"], found["mean"][2]) == ([40, 19, 1, 0, 61], 7.0)
    assert np.isnan([found["low"][2], found["mean"][3], found["low"][3]]).all()
    assert found["mean"][4] == pytest.approx(np.nanmean(numbers))


def test_shares_have_wilsons_interval() -> None:
    codes = np.array([0, 0, 1, -2, -1, 1, 1, 0], np.int32)
    labels = np.array([0, 0, 0, 0, 0, 1, 1, -1], np.int32)
    found = share_figures(codes, labels, 2, 2)
    counts, low, high = (
        read(found[name], kind).reshape(3, 2)
        for name, kind in (("counts", "<i4"), ("low", "<f4"), ("high", "<f4"))
    )
    assert counts.tolist() == [[2, 1], [0, 2], [3, 3]]
    assert found["n"] == [4, 2, 7]
    interval = stats.binomtest(2, 4).proportion_ci(method="wilson")
    assert (low[0, 0], high[0, 0]) == pytest.approx((interval.low, interval.high), abs=1e-6)


# --- whole texts ---


def opened(block: dict[str, Any]) -> list[str]:
    return [text for each in block["blocks"] for text in json.loads(zlib.decompress(base64.b64decode(each)))]


def test_texts_that_the_map_cuts_are_whole_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_texts, "BLOCK_CHARS", 250)
    texts = ["short", "ä" * 100, "</script>" * 20, "x" * 299, "end"]
    documents, rows = pl.LazyFrame({"doc_id": range(5), "text": texts}), np.arange(5)
    block = whole_block(documents, rows, take_texts(documents, rows, 50), 50)
    assert block is not None
    assert opened(block) == texts[1:4]
    assert read(block["points"], "<i4").tolist() == [1, 2, 3]
    assert read(block["n_chars"], "<i4").tolist() == [100, 180, 299]
    assert (block["max_text"], block["starts"], len(block["blocks"])) == (299, [0, 2], 2)
    assert whole_block(documents, rows, take_texts(documents, rows, 500), 500) is None


def test_whole_texts_have_a_limit_of_bytes_and_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = pl.LazyFrame({"doc_id": range(3), "text": ["x" * 400, "ä" * 400, "y" * 60]})
    rows = np.arange(3)
    read_texts = take_texts(documents, rows, 50)
    monkeypatch.setattr(whole_texts, "MAX_WHOLE_BYTES", 660)
    block = whole_block(documents, rows, read_texts, 50)
    assert block is not None
    assert block["max_text"] == 200  # 200 + 400 + 60 bytes
    assert opened(block) == ["x" * 200 + "…", "ä" * 200 + "…", "y" * 60]
    assert read(block["n_chars"], "<i4").tolist() == [400, 400, 60]
    monkeypatch.setattr(whole_texts, "MAX_WHOLE_BYTES", 10**9)
    monkeypatch.setattr(whole_texts, "MAX_WHOLE_CHARS", 300)
    block = whole_block(documents, rows, read_texts, 50)
    assert block is not None
    assert block["max_text"] == 300


@pytest.mark.parametrize("most", [0, 1, 99, 100, 101, 450, 10_000])
def test_the_fitting_length_is_the_largest(most: int) -> None:
    n_chars, n_bytes = np.array([100, 30, 250]), np.array([100, 60, 250])
    found = fitting_length(n_chars, n_bytes, 300, most)
    totals = [(n_bytes / n_chars * np.minimum(n_chars, length)).sum() for length in range(1, 301)]
    assert found == sum(total <= most for total in totals)


# --- closeness and trends ---


def test_closeness_is_the_cosine_to_the_topics_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topicflow.tasks.report.closeness.BLOCK_ROWS", 7)
    embeddings = RNG.normal(size=(30, 5)).astype(np.float32)
    embeddings[3] = 0
    labels = RNG.integers(-1, 3, 30).astype(np.int32)
    centroids = RNG.normal(size=(3, 5)).astype(np.float32)
    found = closeness(embeddings, labels, centroids)
    for row, topic in enumerate(labels):
        own, middle = embeddings[row], centroids[topic]
        expected = own @ middle / max(np.linalg.norm(own) * np.linalg.norm(middle), 1e-9) if topic >= 0 else 0
        assert found[row] == pytest.approx(SCALE * expected, abs=1)


def test_no_topics_have_no_closeness() -> None:
    labels = np.full(4, -1, np.int32)
    assert closeness(np.ones((4, 3), np.float32), labels, np.empty((0, 3), np.float32)).tolist() == [0] * 4


def test_rising_and_falling_shares_are_named() -> None:
    totals = np.full(12, 100)
    step = np.arange(12)
    counts = np.array([10 + 2 * step, 40 - 2 * step, np.full(12, 20)])
    assert share_directions(counts, totals) == ["rising", "falling", "none"]
    assert share_directions(np.zeros((0, 12), np.int64), totals) == []


def test_the_chart_holds_as_many_topics_as_its_size_allows() -> None:
    assert largest_topics([1, 5, 3], 10) == [1, 2, 0]
    assert largest_topics([1, 5, 3], 10, 2) == [1, 2]
    assert len(largest_topics(list(range(5000)), 600)) == MAX_COUNTS // 600
