"""Arrivals: for any overlapping slices and chunks of an input, each document is assigned once and none is lost."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.update import NewDocumentsConfig
from topicflow.tasks.documents.identity import KnownDocuments
from topicflow.tasks.documents.sources import Source
from topicflow.tasks.updates.sieve import Sieve

HOUR = 3_600_000_000


def sieve(
    rows: pl.DataFrame, known: list[np.ndarray], watermark: str | None = None, ids: bool = True, **config: str
) -> Sieve:
    loading = LoadConfig(
        path="a.parquet", id_column="id" if ids else None, timestamp_column=None if ids else "time"
    )
    source = Source("a.parquet", rows.schema, iter(()))
    return Sieve(
        loading, NewDocumentsConfig(watermark="time", **config), source, KnownDocuments(known), watermark
    )


def table(ids: list[int], texts: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"d{i}" for i in ids],
            "text": texts or [f"text {i}" for i in ids],
            "time": pl.Series([i * HOUR for i in ids], dtype=pl.Int64).cast(pl.Datetime("us")),
        },
        schema={"id": pl.String, "text": pl.String, "time": pl.Datetime("us")},
    )


def tell(rows: pl.DataFrame, known: list[np.ndarray], chunk: int, **options: object) -> pl.DataFrame:
    """Return the documents that a run takes, and add their identities to those of the earlier runs."""
    one = sieve(rows, known, **options)
    taken = [rows.clear(), *one(rows.slice(start, chunk) for start in range(0, rows.height, chunk))]
    known.append(np.sort(np.concatenate([*one.identities, np.empty(0, np.uint64)])))
    return pl.concat(taken)


SLICES = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), max_size=5)


@settings(max_examples=40, deadline=None)
@given(SLICES, st.integers(1, 7))
def test_each_id_is_assigned_once_in_any_slices(slices: list[list[int]], chunk: int) -> None:
    known: list[np.ndarray] = []
    told = [tell(table(ids), known, chunk)["id"].to_list() for ids in slices]
    seen: set[int] = set()
    for ids, found in zip(slices, told, strict=True):
        assert found == [f"d{i}" for i in ids if i not in seen]
        seen |= set(ids)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=25), st.lists(st.integers(0, 25), max_size=4), st.integers(1, 7))
def test_in_a_growing_file_equal_rows_without_ids_are_assigned_as_often_as_they_occur(
    numbers: list[int], ends: list[int], chunk: int
) -> None:
    known: list[np.ndarray] = []
    rows = table(numbers)
    told = [tell(rows[:end], known, chunk, ids=False) for end in [*sorted(ends), len(numbers)]]
    assert pl.concat(told)["text"].to_list() == rows["text"].to_list()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.integers(0, 31), st.integers(0, 31))
def test_bounds_cut_between_runs_and_nothing_falls_between(ids: list[int], first: int, second: int) -> None:
    low, high = sorted((first, second))
    known: list[np.ndarray] = []
    until = [str(np.datetime64(0, "s") + np.timedelta64(hour * 3600, "s")) for hour in (low, high)]
    rows = table(ids)
    told = [tell(rows, known, 4, until=bound)["id"].to_list() for bound in until]
    told.append(tell(rows, known, 4)["id"].to_list())
    assert told[0] == [f"d{i}" for i in ids if i < low]
    assert told[1] == [f"d{i}" for i in ids if low <= i < high]
    assert sorted(each for found in told for each in found) == sorted(f"d{i}" for i in ids)


def test_late_is_at_or_before_the_watermark_and_a_far_date_does_not_move_it() -> None:
    rows = table([1, 2, 3])
    one = sieve(rows, [], "1970-01-01T02:00:00.000000", late="leave")
    assert [part["id"].to_list() for part in one(iter([rows]))] == [["d3"]]
    assert (one.counts["late"], one.highest) == (2, "1970-01-01T03:00:00.000000")
    far = rows.with_columns(time=pl.Series([HOUR, 9 * 10**17, None], dtype=pl.Int64).cast(pl.Datetime("us")))
    other = sieve(far, [])
    assert sum(part.height for part in other(iter([far]))) == 3
    assert other.highest == "1970-01-01T01:00:00.000000"


def test_rows_without_text_are_not_documents() -> None:
    rows = table([1, 2], ["  ", "text"])
    one = sieve(rows, [])
    assert [part["id"].to_list() for part in one(iter([rows]))] == [["d2"]]
    assert (one.empty.n, one.counts["rows"], len(one.identities[0])) == (1, 2, 1)
