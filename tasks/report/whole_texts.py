"""Whole texts: the texts that the map cuts -> blocks of compressed texts that the page opens when a reader asks."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.report.points import MIN_TEXT, fitting_length, pack, take_texts

MAX_WHOLE_BYTES = 60_000_000
"""Maximum bytes of all whole texts before compression; English text takes about 0.45 of that in the page."""

MAX_WHOLE_CHARS = 100_000
"""Maximum characters of one document in the page."""

BLOCK_CHARS = 300_000
"""Characters of a block: small enough to open in some milliseconds, large enough to compress well."""


def whole_block(
    documents: pl.LazyFrame, rows: NDArray[np.int64], texts: pl.DataFrame, length: int
) -> dict[str, Any] | None:
    """Return the whole texts of the points that the map shows cut; None if it cuts none.

    Parameters
    ----------
    documents : pl.LazyFrame
        All documents, with `text`.
    rows : ndarray of shape (n_points,), int64
        Row of each point, ascending.
    texts : pl.DataFrame
        The result of `take_texts` for these rows.
    length : int
        Characters at which the map cuts texts.

    Returns
    -------
    dict or None
        `points` (int32) and `n_chars` (int32, of the document itself) of each text here, packed; `max_text`, the
        characters at which these are cut; `starts`, the first text of each block; `blocks`, JSON lists of texts,
        compressed by zlib, as base64.

    Notes
    -----
    At most MAX_WHOLE_BYTES in memory and before compression: if the texts have more, all are cut at the same length.
    """
    n_chars, n_bytes = texts["n_chars"].to_numpy(), texts["n_bytes"].to_numpy()
    points = np.flatnonzero(n_chars > length)
    if not len(points):
        return None
    most = min(int(n_chars[points].max()), MAX_WHOLE_CHARS)
    fitting = fitting_length(n_chars[points], n_bytes[points], most, MAX_WHOLE_BYTES)
    cut = max(fitting, MIN_TEXT, length)
    whole = take_texts(documents, rows[points], cut)["text"]
    starts, blocks = [], []
    for start, stop in _spans(whole.str.len_chars().to_list()):
        starts.append(start)
        blocks.append(_packed(whole[start:stop].to_list()))
    return {
        "points": pack(points.astype(np.int32)),
        "n_chars": pack(n_chars[points].astype(np.int32)),
        "max_text": cut,
        "starts": starts,
        "blocks": blocks,
    }


def _spans(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last but one position of each block."""
    start, held = 0, 0
    for place, size in enumerate(sizes):
        held += size
        if held >= BLOCK_CHARS:
            yield start, place + 1
            start, held = place + 1, 0
    if start < len(sizes):
        yield start, len(sizes)


def _packed(texts: list[str]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(texts, ensure_ascii=False).encode(), 6)).decode()
