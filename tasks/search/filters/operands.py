"""Operands: columns, fields of structs, and functions of them -> the left side of a comparison."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Operand:
    """An expression that can be compared, and the type of its values."""

    expr: pl.Expr
    dtype: pl.DataType

    @classmethod
    def of(cls, expr: pl.Expr, dtype: pl.DataType) -> Operand:
        """Return an operand; categories are texts."""
        if isinstance(dtype, pl.Categorical | pl.Enum):
            return cls(expr.cast(pl.String), pl.String())
        return cls(expr, dtype)

    @property
    def inner(self) -> pl.DataType | None:
        """The type of a list's elements; None if this is not a list."""
        if not isinstance(self.dtype, pl.List | pl.Array):
            return None
        inner = self.dtype.inner
        assert isinstance(inner, pl.DataType)
        return inner

    @property
    def fields(self) -> dict[str, pl.DataType]:
        """The types of a struct's fields; none if this is not a struct."""
        if not isinstance(self.dtype, pl.Struct):
            return {}
        return {
            name: dtype for name, dtype in self.dtype.to_schema().items() if isinstance(dtype, pl.DataType)
        }

    def as_list(self) -> Operand:
        """Return a list of any length, with its elements as they are compared; only for lists."""
        inner = self.inner
        assert inner is not None
        element = Operand.of(pl.element(), inner).dtype
        return Operand(self.expr.cast(pl.List(element)), pl.List(element))

    @property
    def element(self) -> Operand:
        """An element of a list, for `list.eval`; only for lists."""
        assert self.inner is not None
        return Operand(pl.element(), self.inner)


# --- functions ---


def _lower(of: Operand) -> Operand | None:
    return Operand(of.expr.str.to_lowercase(), pl.String()) if isinstance(of.dtype, pl.String) else None


def _length(of: Operand) -> Operand | None:
    if isinstance(of.dtype, pl.String):
        return Operand(of.expr.str.len_chars(), pl.UInt32())
    return None if of.inner is None else Operand(of.as_list().expr.list.len(), pl.UInt32())


def _year(of: Operand) -> Operand | None:
    return Operand(of.expr.dt.year(), pl.Int32()) if isinstance(of.dtype, pl.Date | pl.Datetime) else None


def _month(of: Operand) -> Operand | None:
    return Operand(of.expr.dt.month(), pl.Int8()) if isinstance(of.dtype, pl.Date | pl.Datetime) else None


FUNCTIONS: Mapping[str, tuple[str, Callable[[Operand], Operand | None]]] = {
    "lower": ("texts", _lower),
    "length": ("texts and lists", _length),
    "year": ("dates and times", _year),
    "month": ("dates and times", _month),
}
"""The types that each function takes, and the function, which returns None for any other type."""


def call(name: str, of: Operand) -> Operand:
    """Return a function of an operand; raise ValueError if the function does not take its type."""
    what, function = FUNCTIONS[name]
    if (found := function(of)) is None:
        msg = f"{name} is for {what}, the column is {of.dtype}"
        raise ValueError(msg)
    return found


def field_of(struct: Operand, name: str) -> Operand:
    """Return a field of a struct; raise ValueError if there is no such field."""
    if name not in struct.fields:
        there_are = f"it is {struct.dtype}"
        if struct.fields:
            there_are = near(name, struct.fields)
        msg = f"no field {name!r}; {there_are}"
        raise ValueError(msg)
    return Operand.of(struct.expr.struct.field(name), struct.fields[name])


def near(name: str, names: Mapping[str, object]) -> str:
    """Return a hint for a name that does not exist: the nearest one, or all."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else f"there are: {', '.join(names)}"
