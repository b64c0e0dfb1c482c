"""Filters: a condition as SQL writes it, over a table's columns -> a polars expression, or the place of what is wrong.

    label = 'sci.space' and created >= '2012-01-01'
    stars in (4, 5) or not (title like '%refund%' or seller is null)

polars' own SQL was tried: it gives no place for most errors, reads `a and and b` without complaint, and refuses to
compare a date with text. A condition needs a dozen rules, which are these.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NoReturn

import polars as pl

from topicflow.tasks.errors import ConfigError

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"[^"]+")
    |(?P<word>[^\W\d]\w*)
    |(?P<sign><>|!=|<=|>=|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"}
_SIGNS = {"=", "!=", "<>", "<", "<=", ">", ">="}


@dataclass(frozen=True)
class _Token:
    """One piece of a condition: what it is, its text, and the column it begins at, from 1."""

    kind: str
    text: str
    column: int


def parse_filter(condition: str, schema: Mapping[str, pl.DataType]) -> tuple[pl.Expr, set[str]]:
    """Return the boolean expression of a condition and the columns that it reads.

    Parameters
    ----------
    condition : str
        Comparisons (= != <> < <= > >=, in, between, like, ilike, is null) joined by and, or, not and parentheses.
        Texts stand in single quotes, a column whose name is no word in double quotes; times are texts.
    schema : mapping of str to polars type
        The columns that there are.

    Raises
    ------
    ConfigError
        When it cannot be read; the message names the column of the text where, and what was expected.

    Notes
    -----
    As in SQL, a comparison with null is null, and a row is kept only where the condition is true.
    """
    parser = _Parser(condition, schema)
    expression = parser.either()
    if parser.token.kind != "end":
        parser.refuse("and, or, or the end")
    return expression, parser.columns


@dataclass
class _Parser:
    """Reads a condition from left to right, one rule a method."""

    condition: str
    schema: Mapping[str, pl.DataType]
    columns: set[str] = field(default_factory=set)
    _tokens: list[_Token] = field(default_factory=list)
    _at: int = 0

    def __post_init__(self) -> None:
        """Cut the condition into tokens."""
        place, end = 0, len(self.condition.rstrip())
        while place < end:
            found = _TOKEN.match(self.condition, place)
            if found is None:
                start = place + len(self.condition[place:]) - len(self.condition[place:].lstrip())
                mark = self.condition[start]
                why = "a text without its closing '" if mark == "'" else f"{mark!r}, which means nothing here"
                self._fail(start + 1, f"found {why}")
            kind = str(found.lastgroup)
            text = found[kind]
            if kind == "word" and text.lower() in _WORDS:
                kind, text = "keyword", text.lower()
            self._tokens.append(_Token(kind, text, found.start(kind if kind != "keyword" else "word") + 1))
            place = found.end()
        self._tokens.append(_Token("end", "the end", end + 1))

    @property
    def token(self) -> _Token:
        """The token that is next."""
        return self._tokens[self._at]

    def either(self) -> pl.Expr:
        """Return a condition: parts joined by `or`."""
        found = self.both()
        while self._take("or"):
            found |= self.both()
        return found

    def both(self) -> pl.Expr:
        """Return parts joined by `and`."""
        found = self.one()
        while self._take("and"):
            found &= self.one()
        return found

    def one(self) -> pl.Expr:
        """Return one comparison, a condition in parentheses, or the opposite of either."""
        if self._take("not"):
            return ~self.one()
        if self._take("("):
            found = self.either()
            self._expect(")")
            return found
        return self._comparison()

    def refuse(self, expected: str) -> NoReturn:
        """Raise ConfigError at the next token."""
        found = self.token.text if self.token.kind == "end" else repr(self.token.text)
        self._fail(self.token.column, f"expected {expected}, found {found}")

    # --- rules ---

    def _comparison(self) -> pl.Expr:
        token = self.token
        if token.kind not in {"word", "quoted"}:
            self.refuse("a column" + (" (texts stand right of it)" if token.kind == "text" else ""))
        self._at += 1
        name = token.text.strip('"')
        if name not in self.schema:
            near = difflib.get_close_matches(name, self.schema, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.schema)}"
            self._fail(token.column, f"no column {name!r}; {hint}")
        self.columns.add(name)
        column, dtype = pl.col(name), self.schema[name]
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return column.is_not_null() if negated else column.is_null()
        if self.token.kind == "sign" and self.token.text in _SIGNS:
            sign = self._next().text
            return _compare(column, sign, self._value(dtype))
        negated = self._take("not")
        found = self._set_or_range(column, dtype)
        if found is None:
            if not negated and isinstance(dtype, pl.Boolean):
                return column
            self.refuse("in, between or like" if negated else "a comparison such as = or in")
        return ~found if negated else found

    def _set_or_range(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
        """Return what follows `in`, `between` or `like`; None where none of them is next."""
        if self._take("in"):
            self._expect("(")
            found = column == self._value(dtype)
            while self._take(","):
                found |= column == self._value(dtype)
            self._expect(")")
            return found
        if self._take("between"):
            low = self._value(dtype)
            self._expect("and")
            return (column >= low) & (column <= self._value(dtype))
        folded = self.token.text == "ilike"
        if self._take("like") or self._take("ilike"):
            if not isinstance(dtype, pl.String):
                self._fail(self._tokens[self._at - 1].column, f"like is for texts, the column is {dtype}")
            return column.str.contains(_like_pattern(self._text(), folded=folded))
        return None

    def _value(self, dtype: pl.DataType) -> pl.Expr:
        """Return the next literal as a value of a column's type."""
        token = self.token
        if token.kind == "text":
            return self._text_value(dtype)
        if token.kind == "number":
            self._at += 1
            if not dtype.is_numeric():
                hint = "; texts stand in single quotes" if isinstance(dtype, pl.String) else ""
                self._fail(token.column, f"compares a column of {dtype} with the number {token.text}{hint}")
            return pl.lit(float(token.text) if set(token.text) & set(".eE") else int(token.text))
        if token.kind == "keyword" and token.text in {"true", "false"}:
            self._at += 1
            if not isinstance(dtype, pl.Boolean):
                self._fail(token.column, f"compares a column of {dtype} with {token.text}")
            return pl.lit(token.text == "true")
        if token.kind == "keyword" and token.text == "null":
            self._fail(token.column, "nothing equals null; write `is null` or `is not null`")
        hint = " ('…' for a text, without quotes it is a column)" if token.kind in {"word", "quoted"} else ""
        return self.refuse(f"a value{hint}")

    def _text_value(self, dtype: pl.DataType) -> pl.Expr:
        """Return the next text, read as a time where the column holds times."""
        token = self.token
        text = self._text()
        if isinstance(dtype, pl.String):
            return pl.lit(text)
        try:
            if isinstance(dtype, pl.Date):
                return pl.lit(date.fromisoformat(text))
            if isinstance(dtype, pl.Datetime):
                return _moment(text, dtype)
        except ValueError:
            self._fail(
                token.column,
                f"{text!r} is no {str(dtype).lower()} such as '2012-01-31' or '2012-01-31 12:00'",
            )
        return self._fail(token.column, f"compares a column of {dtype} with the text {text!r}")

    def _text(self) -> str:
        if self.token.kind != "text":
            self.refuse("a text in single quotes")
        return self._next().text[1:-1].replace("''", "'")

    # --- tokens ---

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        """Go past a keyword or sign where it is next."""
        taken = self.token.kind in {"keyword", "sign"} and self.token.text == text
        self._at += taken
        return taken

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self.refuse(repr(text) if len(text) == 1 else text)

    def _fail(self, column: int, why: str) -> NoReturn:
        before = self.condition[: column - 1]
        msg = f"filter: column {column}: {why}: {before}⟨here⟩{self.condition[column - 1 :]}"
        raise ConfigError(" ".join(msg.split("\n")))


def _compare(column: pl.Expr, sign: str, value: pl.Expr) -> pl.Expr:
    return {
        "=": column.eq, "!=": column.ne, "<>": column.ne, "<": column.lt, "<=": column.le, ">": column.gt,
        ">=": column.ge,
    }[sign](value)  # fmt: skip


def _like_pattern(text: str, *, folded: bool) -> str:
    """Return the regular expression of a LIKE: % any characters, _ one."""
    parts = (".*" if mark == "%" else "." if mark == "_" else re.escape(mark) for mark in text)
    return f"(?s{'i' if folded else ''})^{''.join(parts)}$"


def _moment(text: str, dtype: pl.Datetime) -> pl.Expr:
    """Return a point in time as a value of the column's type; one without a zone is taken in the column's."""
    found = datetime.fromisoformat(text)
    if dtype.time_zone is None:
        return pl.lit(found.replace(tzinfo=None)).cast(dtype)
    value = pl.lit(found.replace(tzinfo=None))
    zoned = value.dt.replace_time_zone(dtype.time_zone) if found.tzinfo is None else pl.lit(found)
    return zoned.cast(dtype)
