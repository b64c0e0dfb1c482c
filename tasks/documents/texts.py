"""Texts: rows of an input -> the text of each document: columns joined, and cleaned as the config says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.cleaning import clean_texts


def text_columns(config: LoadConfig) -> tuple[str, ...]:
    """Return the names of the text columns, one or several."""
    return (config.text_column,) if isinstance(config.text_column, str) else config.text_column


def join_texts(columns: Sequence[str], separator: str) -> pl.Expr:
    """Return the expression of the text: columns joined without null and blank ones; null if all are."""
    texts = [pl.col(column).cast(pl.String) for column in columns]
    if len(texts) == 1:
        return texts[0]
    filled = [pl.when(text.str.strip_chars() != "").then(text) for text in texts]
    return pl.concat_str(filled, separator=separator, ignore_nulls=True)


def texts_of(rows: pl.DataFrame, config: LoadConfig) -> pl.Series:
    """Return the texts (n,) of rows; null or blank if a row has none, also if cleaning leaves nothing."""
    texts = rows.select(join_texts(text_columns(config), config.text_separator)).to_series()
    return clean_texts(texts, config.clean) if config.clean else texts


def is_filled(texts: pl.Series) -> pl.Series:
    """Return which texts (n,) are not blank."""
    return (texts.str.strip_chars() != "").fill_null(value=False)


SHOWN_ROWS = 5
"""Numbers of the first rows without text that are kept and shown."""


@dataclass
class EmptyRows:
    """Counts rows without text in chunks, and keeps the numbers of the first ones.

    Attributes
    ----------
    n : int
        Rows without text.
    first : list of int
        Their numbers, at most SHOWN_ROWS.
    """

    n: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, start: int, empty: NDArray[np.bool_]) -> None:
        """Add the rows of a chunk; `start` is the number of its first row."""
        self.first += (start + np.flatnonzero(empty)[: SHOWN_ROWS - len(self.first)]).tolist()
        self.n += int(empty.sum())


def shown_rows(n: int, first: Sequence[int]) -> str:
    """Return the numbers of `n` rows, of which the first are known: `rows 3, 17, 40, …`."""
    numbers = ", ".join(f"{row:,}" for row in first) + (", …" if n > len(first) else "")
    return f"{'row' if n == 1 else 'rows'} {numbers}"
