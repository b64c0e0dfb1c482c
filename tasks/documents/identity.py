"""Identity: an id, or a text and a time -> the digest that identifies a document in this and in later runs.

It is made from values, not from their printed form: a time is the instant, in a column of nanoseconds or of
microseconds, and an id that becomes a float because another one is missing is the same number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.store.digests import text_digests

Digests = NDArray[np.uint64]

_UNITS: tuple[Literal["ns", "us", "ms"], ...] = ("ns", "us", "ms")


def digests_of_ids(ids: pl.Series) -> Digests:
    """Return the digests (n,) of given ids; 1.0 equals 1."""
    texts = ids.cast(pl.String)
    if ids.dtype.is_float():
        whole = ids.cast(pl.Int64, strict=False)
        texts = texts.zip_with((whole.cast(ids.dtype) != ids).fill_null(value=True), whole.cast(pl.String))
    return _digests(texts)


def digests_of_texts(texts: pl.Series, times: pl.Series | None) -> Digests:
    """Return the digests (n,) of documents without ids: of the text only, or of the text with its instant.

    Parameters
    ----------
    texts : pl.Series
        Strings.
    times : pl.Series or None
        Parsed times (Datetime, microseconds); None if there is no column of times.
    """
    return _digests(texts) if times is None else _digests(_joined(texts, times.to_physical()))


@dataclass
class KnownDocuments:
    """The digests of documents of earlier runs.

    Attributes
    ----------
    values : list of ndarray, uint64
        Sorted digests from the functions above, one array per run.
    printed : list of ndarray, uint64
        Sorted digests from runs of version 1: of ids and times as their column printed them.
    """

    values: list[Digests] = field(default_factory=list)
    printed: list[Digests] = field(default_factory=list)

    def count(
        self, identities: Digests, texts: pl.Series, column: pl.Series | None, *, is_id: bool
    ) -> NDArray[np.int64]:
        """Return how many known documents equal each row (n,).

        Parameters
        ----------
        identities : ndarray of shape (n,), uint64
            The rows' digests.
        texts : pl.Series
            Their texts.
        column : pl.Series or None
            Their ids, or the column of their times.
        is_id : bool
            Whether `column` contains ids.
        """
        told = _count(self.values, identities)
        if not self.printed:
            return told
        if column is None:
            return told + _count(self.printed, identities)
        for number, printed in enumerate(_spellings(column)):
            found = _count(self.printed, _digests(printed if is_id else _joined(texts, printed)))
            if number:  # a null prints in only one way
                found[printed.is_null().to_numpy()] = 0
            told += found
        return told


def _spellings(values: pl.Series) -> Iterator[pl.Series]:
    """Yield how a column prints, and how it printed with another unit or another kind of number."""
    yield values.cast(pl.String)
    if isinstance(values.dtype, pl.Datetime):
        for unit in _UNITS:
            if unit != values.dtype.time_unit:
                yield values.dt.cast_time_unit(unit).cast(pl.String)
    elif values.dtype.is_integer():
        yield values.cast(pl.Float64).cast(pl.String)
    elif values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        yield whole.set(whole.cast(values.dtype) != values, None).cast(pl.String)


def _joined(texts: pl.Series, times: pl.Series) -> pl.Series:
    """Return each text followed by its time."""
    parts = [texts.fill_null("").alias("text"), times.cast(pl.String).fill_null("").alias("time")]
    return pl.DataFrame(parts).select(pl.concat_str("text", "time", separator="\0")).to_series()


def _digests(texts: pl.Series) -> Digests:
    return text_digests(texts.fill_null(""))[:, 0]


def _count(known: list[Digests], digests: Digests) -> NDArray[np.int64]:
    """Return how often each digest occurs in the known ones."""
    told = np.zeros(len(digests), np.int64)
    for run in known:
        told += np.searchsorted(run, digests, "right") - np.searchsorted(run, digests, "left")
    return told
