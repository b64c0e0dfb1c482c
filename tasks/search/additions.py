"""Additions: documents from a program -> rows with the columns of an index, without changing a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import polars as pl

from topicflow.tasks.documents.load import content_ids
from topicflow.tasks.errors import ConfigError, first_line
from topicflow.tasks.search.filters.values import LARGEST, SMALLEST, TIMES, Steps, in_utc
from topicflow.tasks.store.digests import text_digests

T = TypeVar("T")

Documents = Sequence[Mapping[str, Any]] | pl.DataFrame


def fresh_documents(documents: Documents, schema: pl.Schema, taken: pl.Series) -> pl.DataFrame:
    """Return documents with the columns of an index, in the index's order; missing columns are null.

    Parameters
    ----------
    documents : sequence of mappings, or pl.DataFrame
        The documents.
    schema : pl.Schema
        The index's columns.
    taken : pl.Series
        The ids of the documents that the index has.

    Raises
    ------
    ConfigError
        If they are not documents, a text is missing, an id repeats, or a value does not fit its column.
    """
    given = _columns(documents)
    n = len(next(iter(given.values()), ()))
    if unknown := [name for name in given if name not in schema]:
        msg = f"index: the documents to add have a column {unknown[0]!r}, the index has: {', '.join(schema)}"
        raise ConfigError(msg)
    columns = {
        name: fitted(name, given[name], dtype) if name in given else pl.Series(name, [None] * n, dtype)
        for name, dtype in schema.items()
    }
    if columns["text"].is_null().any() or (columns["text"].str.strip_chars() == "").any():
        msg = "index: each document to add needs a text"
        raise ConfigError(msg)
    columns["doc_id"] = _ids(columns["doc_id"], columns["text"], taken)
    return pl.DataFrame(list(columns.values()))


def _columns(documents: Documents) -> dict[str, Sequence[Any] | pl.Series]:
    """Return the values of each column of the documents."""
    if isinstance(documents, pl.DataFrame):
        return {column.name: column for column in documents}
    if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Sequence):
        found = type(documents).__name__
    else:
        wrong = [type(each).__name__ for each in documents if not isinstance(each, Mapping)]
        if not wrong:
            names = dict.fromkeys(name for each in documents for name in each)
            return {name: [each.get(name) for each in documents] for name in names}
        found = f"a list with {wrong[0]}"
    msg = f"index: expected a list of documents such as {{'text': '…'}}, or a polars DataFrame, found {found}"
    raise ConfigError(msg)


# --- ids ---


def _ids(ids: pl.Series, texts: pl.Series, taken: pl.Series) -> pl.Series:
    """Return the ids of documents: the given ids, and an id made from the text for each document without one.

    It is the id that `load` makes from the text, with -2, -3, … if other documents have that id already.
    """
    if ids.is_duplicated().filter(ids.is_not_null()).any():
        repeated = ids.filter(ids.is_duplicated() & ids.is_not_null())[0]
        msg = f"index: the documents to add repeat the id {repeated!r}; each needs its own id"
        raise ConfigError(msg)
    if ((ids.str.strip_chars() == "").fill_null(value=False)).any():
        msg = "index: a document to add has an empty id; leave doc_id out to get an id made from the text"
        raise ConfigError(msg)
    places = ids.is_null().arg_true()
    if not len(places):
        return ids
    made = _made_ids(texts[places], pl.concat([taken, ids.drop_nulls()]))
    return ids.scatter(places, made)


def _made_ids(texts: pl.Series, taken: pl.Series) -> pl.Series:
    """Return ids made from texts; none of them is taken, and none repeats."""
    digests = text_digests(texts)[:, 0]
    counts = (
        pl.Series(digests)
        .to_frame("digest")
        .select(pl.int_range(pl.len()).over("digest"))
        .to_series()
        .to_numpy()
    )
    while True:
        found = pl.Series(content_ids(digests, counts.astype(np.int64)), dtype=pl.String)
        again = found.is_in(taken.implode()).to_numpy()
        if not again.any():
            return found
        counts = counts + np.isin(
            digests, digests[again]
        )  # for all equal texts, so that their ids stay different


# --- values ---


def fitted(name: str, values: Sequence[Any] | pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return the values of a column in an index's type; raise ConfigError if a value does not fit it."""
    if isinstance(values, pl.Series) and values.dtype == dtype:
        return values
    try:
        return pl.Series(name, [fit(value, dtype) for value in values], dtype=dtype, strict=True)
    except (ValueError, TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        msg = f"index: the documents to add do not fit the index's columns: column {name!r}: {first_line(error)}"
        raise ConfigError(msg) from None


def fit(value: Any, dtype: pl.DataType) -> Any:  # noqa: ANN401  (any value of a column of these types)
    """Return a value as an equal value of a type; raise ValueError if there is none.

    Dates and times may be texts, whole numbers may be floats without a fraction, and numbers may be texts. Nothing is
    rounded or cut, except that a column of floats rounds a float to its own width.
    """
    if value is None:
        return None
    for types, convert in _FITS:
        if isinstance(dtype, types):
            if (found := convert(value, dtype)) is None:
                hint = f", such as {TIMES[type(dtype)]}" if type(dtype) in TIMES else ""
                msg = f"found {value!r}, expected {dtype}{hint}"
                raise ValueError(msg)
            return found
    return value  # a type that polars checks


def _text(value: object, _: pl.DataType) -> str | None:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)  # an id from a database
    return str(value) if is_number or isinstance(value, str) else None


def _truth(value: object, _: pl.DataType) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def _number(value: object) -> Fraction | None:
    """Return the exact value of a number or of its text; None if there is none, as for infinity."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number | Decimal | str):
        return None
    try:
        exact = Decimal(value.item() if isinstance(value, np.number) else value)
    except (ArithmeticError, ValueError, TypeError):
        return None
    fits = exact.is_finite() and (not exact or SMALLEST <= exact.adjusted() <= LARGEST)
    return Fraction(exact) if fits else None


def _whole(value: object, dtype: pl.DataType) -> int | None:
    number, steps = _number(value), Steps.of(dtype)
    assert steps is not None
    if number is None or number.denominator != 1 or not steps.low <= number <= steps.high:
        return None
    return int(number)


def _real(value: object, dtype: pl.DataType) -> float | None:
    if isinstance(value, float | np.floating):
        return float(value)  # also NaN and infinity
    number = _number(value)
    if number is None or abs(number) > np.finfo(np.float64).max:
        return None
    held = float(number) if isinstance(dtype, pl.Float64) else float(np.float32(float(number)))
    return None if number.denominator == 1 and held != number else held


def _decimal(value: object, dtype: pl.DataType) -> Decimal | None:
    number, steps = _number(str(value) if isinstance(value, float) else value), Steps.of(dtype)
    assert isinstance(dtype, pl.Decimal)
    assert steps is not None
    scaled = None if number is None else number * 10**dtype.scale
    if scaled is None or scaled.denominator != 1 or not steps.low <= scaled <= steps.high:
        return None
    digits = tuple(map(int, str(abs(int(scaled)))))
    return Decimal((scaled < 0, digits, -dtype.scale))


def _parsed(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _day(value: object, _: pl.DataType) -> date | None:
    if isinstance(value, str):
        return _parsed(date.fromisoformat, value)
    if isinstance(value, datetime):
        return value.date() if value.time() == time() and value.tzinfo is None else None
    return value if isinstance(value, date) else None


def _moment(value: object, dtype: pl.DataType) -> datetime | None:
    assert isinstance(dtype, pl.Datetime)
    if isinstance(value, str):
        value = _parsed(datetime.fromisoformat, value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime) or (value.tzinfo is not None and dtype.time_zone is None):
        return None
    if dtype.time_unit == "ms" and value.microsecond % 1000:
        return None
    if value.tzinfo is None and dtype.time_zone is not None:
        return in_utc(value, dtype.time_zone).replace(tzinfo=UTC)
    return value


def _hour(value: object, _: pl.DataType) -> time | None:
    if isinstance(value, str):
        value = _parsed(time.fromisoformat, value)
    return value if isinstance(value, time) and value.tzinfo is None else None


def _list(value: object, dtype: pl.DataType) -> list[Any] | None:
    assert isinstance(dtype, pl.List | pl.Array)
    if not isinstance(value, list | tuple | np.ndarray | pl.Series):
        return None
    inner = dtype.inner
    assert isinstance(inner, pl.DataType)
    return [fit(each, inner) for each in value]


def _struct(value: object, dtype: pl.DataType) -> dict[str, Any] | None:
    assert isinstance(dtype, pl.Struct)
    fields = dtype.to_schema()
    if not isinstance(value, Mapping) or value.keys() - fields.keys():
        return None
    return {name: fit(value.get(name), of) for name, of in fields.items() if isinstance(of, pl.DataType)}


_FITS: tuple[tuple[type[pl.DataType] | tuple[type[pl.DataType], ...], Callable[[Any, Any], Any]], ...] = (
    (pl.String, _text),
    (pl.Boolean, _truth),
    ((pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64), _whole),
    ((pl.Float32, pl.Float64), _real),
    (pl.Decimal, _decimal),
    (pl.Date, _day),
    (pl.Datetime, _moment),
    (pl.Time, _hour),
    ((pl.List, pl.Array), _list),
    (pl.Struct, _struct),
    (pl.Null, lambda *_: None),
)
"""How a value is converted to each type; None if it does not fit."""
