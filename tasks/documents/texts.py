"""Texts: rows of an input -> the text of each document: columns joined, and cleaned as the config says."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

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
