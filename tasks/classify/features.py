"""Features: columns beside the vectors -> a block (n, n_features) float32, fitted on labelled documents.

A named column has the mean square length 1 / n_columns in the block, a number by its scale and a category by its single
1. So all columns together have the length `features.weight` beside a vector of length 1, and one column counts as much
as another: scaled numbers of variance 1 beside the values of a unit vector, which have variance 1 / dim, would hardly
be regularised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.classify import FeaturesConfig
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

FloatArray = NDArray[np.float32]

CUT = 5.0
"""Standard deviations at which a number is cut: one wrong price among thousands must not decide a class alone."""

NESTED = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object)


@dataclass(frozen=True)
class Number:
    """A numeric column: mean and standard deviation (0 if constant) of labelled documents, and if some lack it."""

    name: str
    mean: float
    deviation: float
    has_missing: bool


@dataclass(frozen=True)
class Category:
    """A categorical column: the categories of the labelled documents, most frequent first; None for a missing value."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Features:
    """How columns become numbers beside a vector.

    Attributes
    ----------
    numbers : tuple of Number
    categories : tuple of Category
    weight : float
        Length of the block beside a vector of length 1.
    """

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    weight: float

    @classmethod
    def fit(cls, table: pl.DataFrame, config: FeaturesConfig) -> Features:
        """Return the features of a `feature_table`'s rows, which are the labelled documents."""
        return cls(
            tuple(_number(table[name]) for name in config.numeric),
            tuple(_category(table[name], config.max_categories) for name in config.categorical),
            config.weight,
        )

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Features:
        """Return the features that `described` has written."""
        return cls(
            tuple(Number(**each) for each in described["numbers"]),
            tuple(Category(each["name"], tuple(each["values"])) for each in described["categories"]),
            described["weight"],
        )

    def described(self) -> dict[str, Any]:
        """Return the features as values of JSON."""
        return asdict(self)

    @property
    def config(self) -> FeaturesConfig:
        """The columns as a section, for reading them in other documents."""
        return FeaturesConfig(
            numeric=tuple(each.name for each in self.numbers),
            categorical=tuple(each.name for each in self.categories),
        )

    def encode(self, table: pl.DataFrame) -> FloatArray:
        """Return the block (n, n_features) float32 of a `feature_table`."""
        parts = [_scaled(table[each.name], each) for each in self.numbers]
        parts += [_one_hot(table[each.name], each) for each in self.categories]
        return np.asarray(np.hstack(parts) * (self.weight / np.sqrt(len(parts))), np.float32)

    def unseen(self, table: pl.DataFrame) -> dict[str, int]:
        """Return the number of rows whose category is none of the known ones, for each column that has such rows."""
        found: dict[str, int] = {}
        for each in self.categories:
            known = pl.Series([value for value in each.values if value is not None], dtype=pl.String)
            column = table[each.name]
            n = int((column.is_not_null() & ~column.is_in(known.implode())).sum())
            found |= {each.name: n} if n else {}
        return found


def beside(vectors: FloatArray, features: Features | None, table: pl.DataFrame | None) -> FloatArray:
    """Return what a head reads: the vectors (n, dim), with the features of a table beside them if there are any.

    Raises
    ------
    ConfigError
        If there are features and no table.
    """
    if features is None:
        return vectors
    if table is None:
        listed = ", ".join(features.config.columns)
        msg = f"classifier: it reads the columns {listed} beside the vectors; give a table with them"
        raise ConfigError(msg)
    return np.hstack([np.asarray(vectors), features.encode(table)])


# --- reading columns ---


def read_features(
    store: ArtifactStore, documents: ArtifactRef, config: FeaturesConfig
) -> pl.DataFrame | None:
    """Return the `feature_table` of all documents, None if the config names no column; raise DataError as it does."""
    if not config.columns:
        return None
    table = store.table(documents, "columns")
    there = table.collect_schema().names()
    for key in ("numeric", "categorical"):
        for name in getattr(config, key):
            require_column("features", name, there, f"features.{key}")
    return feature_table(table.select(config.columns).collect(), config)


def feature_table(table: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Return the columns of a config: numbers as Float64, categories as text, null for what is missing.

    NaN and infinite numbers and blank texts are missing.

    Raises
    ------
    DataError
        If a numeric column has a value that is no number, or a column has lists or other nested values.
    """
    numbers = [_as_numbers(table[name]) for name in config.numeric]
    return pl.DataFrame(numbers + [_as_texts(table[name]) for name in config.categorical])


def identified(texts: pl.Series, table: pl.DataFrame | None) -> pl.Series:
    """Return texts (n,) that are equal for equal documents: with the features behind the text, if there are any."""
    if table is None:
        return texts
    return texts + "\0" + table.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _as_numbers(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        filled = column.str.strip_chars().replace("", None)
        numbers = filled.cast(pl.Float64, strict=False)
        wrong = filled.filter(filled.is_not_null() & numbers.is_null())
    elif column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        numbers, wrong = column.cast(pl.Float64), column.clear()
    else:
        msg = (
            f"features: column {column.name!r} has values of type {column.dtype}, expected numbers; "
            "name it in features.categorical, or make a column of numbers from it"
        )
        raise DataError(msg)
    if len(wrong):
        msg = (
            f"features: column {column.name!r} has {wrong[0]!r}, expected numbers ({len(wrong):,} such rows); "
            "correct them, or name it in features.categorical"
        )
        raise DataError(msg)
    return pl.select(pl.when(numbers.is_finite()).then(numbers).alias(column.name)).to_series()


def _as_texts(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, NESTED):
        msg = f"features: column {column.name!r} has values of type {column.dtype}, expected one category a document"
        raise DataError(msg)
    return column.cast(pl.String).str.strip_chars().replace("", None)


# --- fitting and encoding one column ---


def _number(column: pl.Series) -> Number:
    known = column.drop_nulls().to_numpy()
    if not len(known):
        return Number(column.name, 0.0, 0.0, has_missing=True)
    return Number(column.name, float(known.mean()), float(known.std()), column.null_count() > 0)


def _category(column: pl.Series, most: int) -> Category:
    counts = column.value_counts(name="n").sort("n", column.name, descending=[True, False], nulls_last=True)
    return Category(column.name, tuple(counts[column.name].head(most).to_list()))


def _scaled(column: pl.Series, fitted: Number) -> NDArray[np.float64]:
    """Return a number (n, 1), or with a second column for rows without it."""
    missing = column.is_null().to_numpy()
    values = column.fill_null(fitted.mean).to_numpy()
    scaled = (values - fitted.mean) / fitted.deviation if fitted.deviation > 0 else np.zeros(len(values))
    columns = [np.clip(scaled, -CUT, CUT), *([missing.astype(np.float64)] if fitted.has_missing else [])]
    return np.stack(columns, axis=1)


def _one_hot(column: pl.Series, fitted: Category) -> NDArray[np.float64]:
    """Return a category (n, n_values); all 0 for a value that is none of them."""
    places = {value: place for place, value in enumerate(fitted.values)}
    own = np.array([places.get(value, -1) for value in column.to_list()], np.int64)
    found = np.zeros((len(own), len(places)))
    found[np.flatnonzero(own >= 0), own[own >= 0]] = 1.0
    return found
