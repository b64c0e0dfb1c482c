"""Sieve: rows of an input -> the rows that no run has taken yet, within the limits, and counts of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.update import NewDocumentsConfig
from topicflow.tasks.documents.identity import Digests, KnownDocuments, digests_of_ids, digests_of_texts
from topicflow.tasks.documents.load import Occurrences, times_of
from topicflow.tasks.documents.sources import Source
from topicflow.tasks.documents.texts import EmptyRows, is_filled, texts_of
from topicflow.tasks.documents.timestamps import Order
from topicflow.tasks.store.digests import text_digests

_LAST = datetime(9999, 1, 1)  # noqa: DTZ001  (times here are UTC without a zone)
"""Later dates are mistakes and do not move the watermark: Python has no such date."""


@dataclass
class Sieve:
    """Lets new rows through, chunk by chunk, and counts the others.

    Parameters
    ----------
    loading : LoadConfig
        Which column has which role.
    config : NewDocumentsConfig
        Which documents count as new.
    source : Source
        The opened input.
    known : KnownDocuments
        The documents of the earlier runs.
    watermark : str or None
        The highest watermark so far.
    orders : mapping of str to str
        The order of dates in the earlier runs, by column.
    """

    loading: LoadConfig
    config: NewDocumentsConfig
    source: Source
    known: KnownDocuments = field(default_factory=KnownDocuments)
    watermark: str | None = None
    orders: Mapping[str, Order] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("rows", "known", "early", "later", "late"), 0)
    )
    empty: EmptyRows = field(default_factory=EmptyRows)
    identities: list[Digests] = field(default_factory=list)
    texts: list[Digests] = field(default_factory=list)
    _seen: Occurrences = field(default_factory=Occurrences)

    def __post_init__(self) -> None:
        self.highest = self.watermark
        self.n_inside = 0
        columns = [
            each for each in (self.loading.timestamp_column, self.config.watermark) if each is not None
        ]
        self.readers = {
            each: times_of(self.loading, self.source, each, self.orders.get(each)) for each in columns
        }

    @property
    def id_column(self) -> str | None:
        """The column that identifies documents, if there is one."""
        return self.loading.id_column or self.source.id_column

    @property
    def time_column(self) -> str | None:
        """The column whose times distinguish documents with equal texts, if they have no ids."""
        return self.loading.timestamp_column or self.config.watermark

    @property
    def found_orders(self) -> dict[str, Order]:
        """The order of dates by column, from the earlier runs or as found now."""
        found = {column: reader.order for column, reader in self.readers.items()}
        return {**self.orders, **{column: order for column, order in found.items() if order is not None}}

    def __call__(self, chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the new rows of each chunk that has any."""
        for chunk in chunks:
            if (fresh := self.fresh(chunk)).height:
                yield fresh

    def fresh(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that no run has taken yet, within the limits."""
        texts = texts_of(rows, self.loading)
        filled = is_filled(texts)
        written, instants = filled.to_numpy(), self.times(rows, filled)
        unknown = written & self.unknown(
            identities := self.identify(rows, texts, instants), rows, texts, written
        )
        times = {column: self.readers[column].plausible(each) for column, each in instants.items()}
        marks = times.get(
            str(self.config.watermark), pl.Series([None] * rows.height, dtype=pl.Datetime("us"))
        )
        early = unknown & _bounded(marks, self.config.since, "before")
        later = unknown & ~early & _bounded(marks, self.config.until, "from")
        inside = unknown & ~early & ~later
        self.n_inside += int(inside.sum())
        late = inside & _bounded(marks, self.watermark, "until")
        taken = inside & ~late if self.config.late == "leave" else inside
        for name, found in (
            ("known", written & ~unknown), ("early", early), ("later", later), ("late", late),
        ):  # fmt: skip
            self.counts[name] += int(found.sum())
        self.empty.add(self.counts["rows"], ~written)
        self.counts["rows"] += rows.height
        self.identities.append(identities[taken])
        self.texts.append(text_digests(texts.filter(taken))[:, 0])
        self.highest = highest_mark(marks.filter(taken), self.highest)
        return rows.filter(taken)

    def times(self, rows: pl.DataFrame, filled: pl.Series) -> dict[str, pl.Series]:
        """Return the times (n,) of each column of dates as written; implausible ones are part of identities, too.

        They are null in rows without text, which are not documents.
        """
        first = self.counts["rows"]
        numbers = pl.Series(np.arange(first, first + rows.height, dtype=np.uint32))
        return {
            column: reader.read(rows[column].set(~filled, None), numbers)
            for column, reader in self.readers.items()
        }

    def identify(self, rows: pl.DataFrame, texts: pl.Series, times: Mapping[str, pl.Series]) -> Digests:
        """Return the identity of each row (n,): its id, or otherwise its text and its time."""
        if self.id_column is not None:
            return digests_of_ids(rows[self.id_column])
        return digests_of_texts(texts, times[self.time_column] if self.time_column else None)

    def unknown(
        self, identities: Digests, rows: pl.DataFrame, texts: pl.Series, written: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return which rows (n,) no earlier run has taken.

        Of equal rows without ids, as many are known as earlier runs have taken: one more is another document.
        """
        column = self.id_column or self.time_column
        is_id = self.id_column is not None
        told = self.known.count(identities, texts, rows[column] if column else None, is_id=is_id)
        if is_id:
            return np.asarray(told == 0)
        earlier = np.zeros(len(identities), np.int64)
        earlier[written] = self._seen.count(identities[written])
        return np.asarray(earlier >= told)


def highest_mark(times: pl.Series, before: str | None) -> str | None:
    """Return the watermark after documents with these times (n,): the highest of them, or the one before."""
    top = times.filter((times < _LAST).fill_null(value=False)).max()
    return max(before or "", f"{top:%Y-%m-%dT%H:%M:%S.%f}") if isinstance(top, datetime) else before


def _bounded(times: pl.Series, bound: str | None, side: str) -> NDArray[np.bool_]:
    """Return which times are `before` a bound, `until` it (inclusive) or `from` it on; none if there is no bound."""
    if bound is None:
        return np.zeros(len(times), bool)
    limit = datetime.fromisoformat(bound)
    found = {"before": times < limit, "until": times <= limit, "from": times >= limit}[side]
    return found.fill_null(value=False).to_numpy()
