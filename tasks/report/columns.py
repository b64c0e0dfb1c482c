"""Columns: the input's own columns -> those of the page, by point, and their means and shares by topic.

A column is a number, a date or a category. The page names the columns that it leaves out: free texts, ids, one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.statistics.ratios import share_interval
from topicflow.tasks.report.points import pack

MAX_COLUMNS = 24
"""Columns of a page, the first ones of the input: each takes up to 1 MB with 100,000 points."""

MAX_VALUES = 50
"""Values of a category on the page, the most frequent ones; the others are one value."""

MAX_DISTINCT = 1_000
"""Distinct values above which texts are no category."""

HEAD_ROWS = 5_000
"""Rows that show whether a column of texts can be a category or a date; a free text is then not read at all."""

MAX_LETTERS = 60
"""Mean characters above which texts are no category."""

CONFIDENCE = 0.95
"""Confidence of the intervals."""

DATE = r"^\d{4}-\d{2}-\d{2}([T ]|$)"
"""Beginning of a text that is a date."""


@dataclass
class Columns:
    """The columns of a page, as two data blocks of equal length, and the names of columns that it leaves out."""

    by_point: list[dict[str, Any]] = field(default_factory=list)
    by_topic: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def columns_of(
    documents: pl.LazyFrame,
    own: pl.LazyFrame,
    labels: NDArray[np.int32],
    rows: NDArray[np.int64],
    n_topics: int,
) -> Columns:
    """Return the columns that a reader can colour, filter and compare by.

    Parameters
    ----------
    documents : pl.LazyFrame
        n_docs rows; its `label` and `timestamp`, if any, are columns too, unless `own` has the same.
    own : pl.LazyFrame
        The input's own columns, n_docs rows.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    rows : ndarray of shape (n_points,), int64
        The documents on the map.
    n_topics : int
        Number of topics.

    Notes
    -----
    Reads one column at a time. Means and shares are those of all documents, not of the points.
    """
    found, seen = Columns(), list[dict[str, Any]]()
    for name, values in _offered(documents, own, found.left_out):
        if len(found.by_point) >= MAX_COLUMNS:
            found.left_out.append(name)
            continue
        point, topic = _column(values, labels, rows, n_topics)
        if point not in seen:  # the same column under another name
            seen.append(point)
            found.by_point.append({"name": name, **point})
            found.by_topic.append({"name": name, **topic})
    return found


def _offered(
    documents: pl.LazyFrame, own: pl.LazyFrame, left_out: list[str]
) -> Iterator[tuple[str, pl.Series]]:
    """Yield each usable column: numbers as floats, dates as datetimes, categories as texts."""
    for table, names in ((own, None), (documents, ("label", "timestamp"))):
        head = table.head(HEAD_ROWS).collect()
        for name in head.columns if names is None else [name for name in names if name in head.columns]:
            kind = _kind(head[name])
            values = None if kind is None else usable(table.select(name).collect()[name], kind)
            if values is not None:
                yield name, values
            elif names is None:
                left_out.append(name)


def _kind(head: pl.Series) -> str | None:
    """Return whether a column's first rows are numbers, dates or categories; None for anything else."""
    if head.dtype.is_numeric():
        return "number"
    if head.dtype in (pl.Date, pl.Datetime):
        return "date"
    if head.dtype == pl.Boolean:
        return "category"
    known = head.drop_nulls() if head.dtype == pl.String else pl.Series([], dtype=pl.String)
    if not len(known):
        return "category" if head.dtype == pl.String else None
    if known.str.contains(DATE).all():
        return "date"
    mean = known.str.len_chars().mean()
    return "category" if isinstance(mean, float) and mean <= MAX_LETTERS else None


def usable(values: pl.Series, kind: str) -> pl.Series | None:
    """Return a column as its kind; None for ids, free texts, and columns with fewer than two values."""
    if kind == "number":
        made = values.cast(pl.Float64, strict=False).fill_nan(None)
        made = made.set(made.is_infinite(), None)
    elif kind == "date":
        made = _moments(values)
    else:
        made = values.cast(pl.String)
    n_known, n_values = len(made) - made.null_count(), made.drop_nulls().n_unique()
    is_id = values.dtype.is_integer() and n_values == n_known and n_known > MAX_VALUES
    too_many = kind == "category" and (
        n_values > MAX_DISTINCT or (n_values == n_known and n_known > MAX_VALUES)
    )
    return None if n_values < 2 or is_id or too_many else made


def _moments(values: pl.Series) -> pl.Series:
    """Return dates, times (UTC) or ISO texts as Datetime("ms"); null for other texts."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if values.dtype != pl.String:
        return values.cast(pl.Datetime("ms"))
    texts = values.str.slice(0, 19).str.replace(" ", "T")
    moments = texts.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)
    days = texts.str.slice(0, 10).str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    return moments.fill_null(days)


def _column(
    values: pl.Series, labels: NDArray[np.int32], rows: NDArray[np.int64], n_topics: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a column of points and its figures by topic."""
    if values.dtype == pl.String:
        names, codes = category_codes(values)
        point = {"kind": "category", "values": names, "codes": pack(codes[rows].astype(np.int16))}
        return point, {"kind": "category", **share_figures(codes, labels, n_topics, len(names))}
    if values.dtype == pl.Float64:
        numbers = values.fill_null(float("nan")).to_numpy()
        return {"kind": "number", **_packed(numbers[rows])}, {
            "kind": "number",
            **mean_figures(numbers, labels, n_topics),
        }
    moments = values.dt.epoch("ms").cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return {"kind": "date", "type": "f8", "numbers": pack(moments[rows])}, {"kind": "date"}


def _packed(numbers: NDArray[np.float64]) -> dict[str, str]:
    """Return numbers in 4 bytes if these hold them exactly, otherwise in 8."""
    short = numbers.astype(np.float32)
    exact = np.array_equal(short.astype(np.float64), numbers, equal_nan=True)
    return {"type": "f4", "numbers": pack(short)} if exact else {"type": "f8", "numbers": pack(numbers)}


def category_codes(values: pl.Series) -> tuple[list[str], NDArray[np.int32]]:
    """Return the most frequent values, and for each row its value's place, -1 for null and -2 for a rarer value."""
    counts = (
        values.drop_nulls().value_counts(sort=False).sort(["count", values.name], descending=[True, False])
    )
    names = counts[values.name].head(MAX_VALUES)
    codes = values.replace_strict(names, range(len(names)), default=-2, return_dtype=pl.Int32)
    return names.to_list(), codes.set(values.is_null(), -1).to_numpy()


def mean_figures(numbers: NDArray[np.float64], labels: NDArray[np.int32], n_topics: int) -> dict[str, Any]:
    """Return count, mean and interval of a number in each topic, and in all documents as the last entry.

    The interval is that of Student's t; None if fewer than two documents have a number.
    """
    from scipy.special import stdtrit

    known = ~np.isnan(numbers)
    own = known & (labels >= 0)
    counts = np.append(np.bincount(labels[own], minlength=n_topics), known.sum())
    sums = np.append(np.bincount(labels[own], numbers[own], minlength=n_topics), numbers[known].sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums / counts
        left = numbers[own] - means[labels[own]]
        squares = np.append(
            np.bincount(labels[own], left**2, minlength=n_topics), ((numbers[known] - means[-1]) ** 2).sum()
        )
        error = np.sqrt(squares / (counts - 1) / counts)
        half = stdtrit(np.maximum(counts - 1, 1), (1 + CONFIDENCE) / 2) * error
    bounds = np.where(counts > 1, half, np.nan)
    return {
        "n": counts.tolist(),
        "mean": means.tolist(),
        "low": (means - bounds).tolist(),
        "high": (means + bounds).tolist(),
    }


def share_figures(
    codes: NDArray[np.int32], labels: NDArray[np.int32], n_topics: int, n_values: int
) -> dict[str, Any]:
    """Return how many documents of each topic have each value, with intervals of the shares, packed.

    `n` (n_topics + 1,) are the documents with a value, all documents last; `counts` (int32), `low` and `high` (float32)
    are (n_topics + 1, n_values). Intervals are Wilson's.
    """
    own = (codes != -1) & (labels >= 0)
    totals = np.append(np.bincount(labels[own], minlength=n_topics), (codes != -1).sum())
    shown = own & (codes >= 0)
    places = labels[shown].astype(np.int64) * n_values + codes[shown]
    counts = np.bincount(places, minlength=n_topics * n_values).reshape(n_topics, n_values)
    counts = np.vstack([counts, np.bincount(codes[codes >= 0], minlength=n_values)])
    low, high = share_interval(counts, totals[:, None], CONFIDENCE)
    return {
        "n": totals.tolist(),
        "counts": pack(counts.astype(np.int32)),
        "low": pack(low.astype(np.float32)),
        "high": pack(high.astype(np.float32)),
    }
