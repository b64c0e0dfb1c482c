"""Points: documents, layout (n_docs, 2) and labels (n_docs,) -> the points and texts of the map, packed."""

from __future__ import annotations

import base64
import math
from bisect import bisect_right
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_TEXT_BYTES = 32_000_000
"""Maximum bytes of all texts on the map; longer texts are cut, so that the page opens in seconds (100,000 points of 300
ASCII characters are 30 MB)."""

MIN_TEXT = 20
"""Minimum characters of a text, for any byte limit: a million points are then at most 60 MB."""


PART_ROWS = 50_000
"""Documents read at a time."""


def sample_rows(labels: NDArray[np.int32], max_points: int) -> NDArray[np.int64]:
    """Return the rows of at most `max_points` documents, ascending, in proportion to the topics' sizes.

    Parameters
    ----------
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    max_points : int
        Maximum number of rows; every topic gets at least one, so the result is larger if there are more topics.

    Notes
    -----
    Deterministic: every k-th document of a topic, in order. Small topics get a few more points than their share (a
    quarter of the points is distributed evenly), or they would vanish from the map. O(n_docs log n_docs).
    """
    if len(labels) <= max_points:
        return np.arange(len(labels), dtype=np.int64)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, max_points)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    order = np.argsort(codes, kind="stable")
    within = [
        ((np.arange(q) + 0.5) * size / q).astype(np.int64) for q, size in zip(quotas, sizes, strict=True)
    ]
    picked = np.concatenate([start + rows for start, rows in zip(starts, within, strict=True)])
    return np.sort(order[picked]).astype(np.int64)


def _quotas(sizes: NDArray[np.int64], max_points: int) -> NDArray[np.int64]:
    """Return how many points each group gets: a small minimum, the rest in proportion; the sum is `max_points`."""
    floor = np.minimum(sizes, max(1, max_points // (4 * len(sizes))))
    left = max_points - int(floor.sum())
    rest = sizes - floor
    if left <= 0:
        return floor
    exact = rest * (left / rest.sum())
    quotas = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")[: left - int(quotas.sum())]
    quotas[largest] += 1
    return np.asarray(floor + quotas)


def take_texts(documents: pl.LazyFrame, rows: NDArray[np.int64], max_text: int) -> pl.DataFrame:
    """Return id, cut text, and label and time (if any) of the documents in ascending `rows`.

    `n_chars` and `n_bytes` are those of the whole text.

    Notes
    -----
    One pass, part by part; memory is rows × max_text characters and PART_ROWS documents for any corpus.
    """
    names = documents.collect_schema().names()
    text = pl.col("text")
    columns = [pl.col("doc_id").cast(pl.String), _cut(max_text)]
    columns += [text.str.len_chars().alias("n_chars"), text.str.len_bytes().alias("n_bytes")]
    columns += [pl.col("label").cast(pl.String)] if "label" in names else []
    columns += [pl.col("timestamp").dt.epoch("ms").alias("time")] if "timestamp" in names else []
    selected = documents.select(columns)
    taken, start, low = [selected.limit(0).collect()], 0, 0
    for part in selected.collect_batches(chunk_size=PART_ROWS, maintain_order=True):
        high = int(np.searchsorted(rows, start + part.height))
        taken.append(part[rows[low:high] - start])
        start, low = start + part.height, high
    return pl.concat(taken)


def shorten(texts: pl.DataFrame, max_text: int, max_bytes: int) -> tuple[pl.DataFrame, int]:
    """Return the texts, cut so that they have about `max_bytes` in total, and the maximum characters of a text.

    Notes
    -----
    If all fit, they stay unchanged. The bytes of a text are assumed to be spread evenly over its characters.
    """
    n_chars, n_bytes = texts["text"].str.len_chars().to_numpy(), texts["text"].str.len_bytes().to_numpy()
    if n_bytes.sum() <= max_bytes:
        return texts, max_text
    length = max(fitting_length(n_chars, n_bytes, max_text, max_bytes), MIN_TEXT)
    return texts.with_columns(_cut(length)), length


def _cut(length: int) -> pl.Expr:
    """Return the column `text` with at most `length` characters; a cut text ends with an ellipsis."""
    text = pl.col("text")
    return pl.when(text.str.len_chars() > length).then(text.str.head(length) + "…").otherwise(text)


def fitting_length(n_chars: NDArray[Any], n_bytes: NDArray[Any], max_chars: int, max_bytes: int) -> int:
    """Return the most characters, up to `max_chars`, at which the cut texts have at most `max_bytes` in total.

    The bytes of a text are assumed to be spread evenly over its characters.
    """
    width = n_bytes / np.maximum(n_chars, 1)

    def total(length: int) -> int:
        return math.ceil(float((width * np.minimum(n_chars, length)).sum()))

    return bisect_right(range(1, max_chars + 1), max_bytes, key=total)


def pack(array: NDArray[Any]) -> str:
    """Return the array's bytes, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).decode()


def point_block(
    texts: pl.DataFrame,
    layout: NDArray[np.float32],
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    reassigned: NDArray[np.bool_],
    closeness: NDArray[np.int16],
) -> dict[str, Any]:
    """Return the map's points packed for the page; every argument has one row for each point."""
    block = {
        "n": len(labels),
        "x": pack(layout[:, 0].astype(np.float32)),
        "y": pack(layout[:, 1].astype(np.float32)),
        "topic": pack(labels.astype(np.int32)),
        "percent": pack(np.clip(np.rint(probabilities * 100), 0, 100).astype(np.uint8)),
        "reassigned": pack(reassigned.astype(np.uint8)),
        "closeness": pack(closeness.astype(np.int16)),
    }
    if "label" in texts.columns:
        names = texts["label"].drop_nulls().unique().sort()
        codes = texts["label"].replace_strict(names, np.arange(len(names)), default=-1, return_dtype=pl.Int32)
        block |= {"labels": names.to_list(), "label": pack(codes.to_numpy())}
    if "time" in texts.columns:
        block["time"] = pack(texts["time"].cast(pl.Float64).fill_null(float("nan")).to_numpy())
    return block
