"""Parser: the grammar of conditions, one rule per method.

    label = 'sci.space' and created >= '2012-01-01'
    stars in (4, 5) or not (title like '%refund%' or seller is null)
    tags contains any ('nasa', 'esa') and meta.source = 'wire' and year(created) between 1992 and 1994

polars' own SQL was tried: it gives no place for most errors, accepts `a and and b` without an error, and refuses to
compare a date with text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import polars as pl

from topicflow.tasks.search.filters.like import like
from topicflow.tasks.search.filters.operands import FUNCTIONS, Operand, call, field_of, near
from topicflow.tasks.search.filters.tokens import Token, Tokens
from topicflow.tasks.search.filters.values import (
    TIMES,
    SkippedError,
    Value,
    choices,
    compare,
    is_one_of,
    read_number,
    read_time,
)

MOST_DEPTH = 100
"""Maximum levels of parentheses and nested functions: polars reads 100 in .02 s, and 1,000 in 2 s."""

MOST_TERMS = 10_000
"""Comparisons in a condition; a thousand take .2 to 2 s at a million documents. Values of `in` do not count."""

JOINED = 64
"""Comparisons joined at a time, so that not all of their results are in memory together."""

_SIGNS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse_filter(condition: str, schema: Mapping[str, pl.DataType]) -> tuple[pl.Expr, set[str]]:
    r"""Return the boolean expression of a condition and the columns that it reads.

    Parameters
    ----------
    condition : str
        Comparisons joined by and, or, not and parentheses:

        - `= != <> < <= > >=`, `in (…)`, `between … and …`, `is null`, and the opposites with `not`;
        - `like` and `ilike` for texts, with `escape '\'`;
        - `tags contains 'x'`, `tags contains any ('x', 'y')` and `contains all (…)` for lists.

        The left side is a column, a field of a struct (`meta.source`), or a function of one: `lower`, `length` (of a
        text in characters, of a list in elements), `year`, `month`. Texts are in single quotes. A column whose name
        is not a word is in double quotes. Dates and times are texts (`'2012-01-31 12:00'`).
    schema : mapping of str to polars type
        The columns and their types.

    Raises
    ------
    ConfigError
        If it cannot be parsed; the message names the column in the text, and what was expected.

    Notes
    -----
    As in SQL, a comparison with null is null, and a row is kept only if the condition is true. The time is linear in
    the length of the condition, and for `in` it does not depend on the number of values.
    """
    parser = _Parser(Tokens(condition), schema)
    expression = parser.either()
    if parser.tokens.next.kind != "end":
        parser.tokens.refuse("and, or, or the end")
    return expression, parser.columns


def parse_operand(text: str, schema: Mapping[str, pl.DataType], what: str) -> Operand:
    """Return a column, a field of a struct, or a function; raise ConfigError for any other text."""
    parser = _Parser(Tokens(text, what), schema)
    found = parser.operand()
    if parser.tokens.next.kind != "end":
        parser.tokens.refuse("the end")
    return found


@dataclass
class _Parser:
    """Parses a condition from left to right."""

    tokens: Tokens
    schema: Mapping[str, pl.DataType]
    columns: set[str] = field(default_factory=set)
    _depth: int = 0
    _n_terms: int = 0

    def either(self) -> pl.Expr:
        """Return a condition: parts joined by `or`."""
        found = [self._both()]
        while self.tokens.take("or"):
            found.append(self._both())
        return _joined(found, pl.any_horizontal)

    def _both(self) -> pl.Expr:
        """Return parts joined by `and`."""
        found = [self._one()]
        while self.tokens.take("and"):
            found.append(self._one())
        return _joined(found, pl.all_horizontal)

    def _one(self) -> pl.Expr:
        """Return one comparison, a condition in parentheses, or the negation of either."""
        negated = False
        while self.tokens.take("not"):
            negated = not negated
        if self.tokens.next.text == "(" and self.tokens.next.kind == "sign":
            with self._parentheses():
                found = self.either()
        else:
            found = self._comparison()
        return ~found if negated else found

    def _comparison(self) -> pl.Expr:
        self._count(1, self.tokens.next.column)
        of = self.operand()
        if self.tokens.take("is"):
            negated = self.tokens.take("not")
            self.tokens.expect("null")
            return of.expr.is_not_null() if negated else of.expr.is_null()
        if self.tokens.next.kind == "sign" and self.tokens.next.text in _SIGNS:
            sign = _SIGNS[self.tokens.pass_on().text]
            of, (value,) = self._compared(of, [self._literal()])
            return compare(of.expr, of.dtype, sign, value)
        negated = self.tokens.take("not")
        found = self._predicate(of)
        if found is None:
            if not negated and isinstance(of.dtype, pl.Boolean):
                return of.expr
            words = "in, between, like or contains"
            self.tokens.refuse(words if negated else "a comparison such as = or in")
        return ~found if negated else found

    def _predicate(self, of: Operand) -> pl.Expr | None:
        """Return the condition after `in`, `between`, `like` or `contains`; None if none of them is next."""
        if self.tokens.take("in"):
            of, values = self._compared(of, self._list())
            return is_one_of(of.expr, of.dtype, values)
        if self.tokens.take("between"):
            low = self._literal()
            self.tokens.expect("and")
            of, (least, most) = self._compared(of, [low, self._literal()])
            return compare(of.expr, of.dtype, ">=", least) & compare(of.expr, of.dtype, "<=", most)
        if self.tokens.next.text in {"like", "ilike"} and self.tokens.next.kind == "keyword":
            return self._like(of)
        column = self.tokens.next.column
        if self.tokens.take_word("contains"):
            return self._contains(of, column)
        return None

    def _like(self, of: Operand) -> pl.Expr:
        keyword = self.tokens.pass_on()
        if not isinstance(of.dtype, pl.String):
            self.tokens.fail(keyword.column, f"{keyword.text} is for texts, the column is {of.dtype}")
        at = self.tokens.next.column
        pattern, escape = self._text(), None
        if self.tokens.take_word("escape"):
            at = self.tokens.next.column
            escape = self._text()
            if len(escape) != 1:
                self.tokens.fail(at, f"expected one character to escape with, found {len(escape)}")
        try:
            return like(of.expr, pattern, escape, folded=keyword.text == "ilike")
        except ValueError as error:
            self.tokens.fail(at, str(error))

    def _contains(self, of: Operand, column: int) -> pl.Expr:
        """Return whether lists contain a value, any of some values, or all of them."""
        if of.inner is None or of.inner.is_nested():
            hint = "; write like '%…%'" if isinstance(of.dtype, pl.String) else ""
            self.tokens.fail(column, f"contains is for lists of values, the column is {of.dtype}{hint}")
        every = self.tokens.take_word("all")
        several = every or self.tokens.take_word("any")
        tokens = self._list() if several else [self._literal()]
        lists = of.as_list()
        element, values = self._compared(lists.element, tokens)
        wanted = choices(element.dtype, values)
        length = lists.expr.list.len()
        if every:
            self._count(len(wanted), column)
            held = [lists.expr.list.contains(pl.lit(value, element.dtype)) for value in wanted]
            return _joined(held, pl.all_horizontal) if len(wanted) == len(set(values)) else length.ne(length)
        return lists.expr.list.eval(pl.element().is_in(wanted.implode())).list.any()

    # --- the left side of a comparison ---

    def operand(self) -> Operand:
        """Return a column, a field of a struct, or a function of either."""
        token = self.tokens.next
        if token.kind == "word" and self.tokens.after_next.text == "(":
            return self._function()
        if token.kind not in {"word", "quoted"}:
            self.tokens.refuse("a column" + (" (texts stand right of it)" if token.kind == "text" else ""))
        name = self.tokens.pass_on().text.strip('"')
        if name not in self.schema:
            self.tokens.fail(token.column, f"no column {name!r}; {near(name, self.schema)}")
        self.columns.add(name)
        found = Operand.of(pl.col(name), self.schema[name])
        while self.tokens.take("."):
            part = self.tokens.next
            if part.kind not in {"word", "keyword", "quoted"}:
                self.tokens.refuse("a field")
            self.tokens.pass_on()
            try:
                found = field_of(found, part.text.strip('"'))
            except ValueError as error:
                self.tokens.fail(part.column, str(error))
        return found

    def _function(self) -> Operand:
        token = self.tokens.pass_on()
        if token.text.lower() not in FUNCTIONS:
            self.tokens.fail(token.column, f"no function {token.text!r}; there are: {', '.join(FUNCTIONS)}")
        with self._parentheses():
            of = self.operand()
        try:
            return call(token.text.lower(), of)
        except ValueError as error:
            self.tokens.fail(token.column, str(error))

    # --- the right side ---

    def _list(self) -> list[Token]:
        """Return the values in parentheses."""
        self.tokens.expect("(")
        if self.tokens.next.kind == "list":
            found = self.tokens.pass_on().values()
        else:
            found = [self._literal()]
            while self.tokens.take(","):
                found.append(self._literal())
        self.tokens.expect(")")
        return found

    def _compared(self, of: Operand, tokens: Sequence[Token]) -> tuple[Operand, list[Value]]:
        """Return the operand of a comparison, and the literals as values of its type."""
        if isinstance(of.dtype, pl.Null):  # a column without any value takes the type of the literal
            kinds = {"number": pl.Float64(), "keyword": pl.Boolean()}
            of = Operand(of.expr.cast(dtype := kinds.get(tokens[0].kind, pl.String())), dtype)
        return of, [self._value(token, of.dtype) for token in tokens]

    def _value(self, token: Token, dtype: pl.DataType) -> Value:
        """Return a literal as a value of a column's type."""
        if token.kind == "text":
            return self._text_value(token, dtype)
        if token.kind == "number":
            if not dtype.is_numeric():
                hint = "; texts stand in single quotes" if isinstance(dtype, pl.String) else ""
                self._differs(token, dtype, f"the number {token.text}{hint}")
            try:
                return read_number(token.text, dtype)
            except ValueError as error:
                self.tokens.fail(token.column, str(error))
        if token.kind == "keyword" and token.text in {"true", "false"}:
            if not isinstance(dtype, pl.Boolean):
                self._differs(token, dtype, token.text)
            return token.text == "true"
        if token.kind == "keyword" and token.text == "null":
            self.tokens.fail(token.column, "nothing equals null; write `is null` or `is not null`")
        return self.tokens.refuse("a value", token)

    def _literal(self) -> Token:
        """Return the next piece, which must be a literal."""
        kind = self.tokens.next.kind
        if kind not in {"text", "number", "keyword"}:
            hint = " ('…' for a text, without quotes it is a column)" if kind in {"word", "quoted"} else ""
            self.tokens.refuse(f"a value{hint}")
        return self.tokens.pass_on()

    def _text_value(self, token: Token, dtype: pl.DataType) -> Value:
        """Return a text, parsed as a time if the column contains times."""
        text = token.text[1:-1].replace("''", "'")
        if isinstance(dtype, pl.String):
            return text
        if not isinstance(dtype, pl.Date | pl.Datetime | pl.Time):
            self._differs(token, dtype, f"the text {text!r}")
        try:
            return read_time(text, dtype)
        except (ValueError, OverflowError) as error:
            why = f": {error}" if isinstance(error, SkippedError) else f" such as {TIMES[type(dtype)]}"
            self.tokens.fail(token.column, f"{text!r} is no {str(dtype).lower()}{why}")

    def _text(self) -> str:
        """Return the next piece, which must be a text."""
        if self.tokens.next.kind != "text":
            self.tokens.refuse("a text in single quotes")
        return self.tokens.pass_on().text[1:-1].replace("''", "'")

    # --- limits and errors ---

    def _differs(self, token: Token, dtype: pl.DataType, what: str) -> NoReturn:
        hint = "; lists take `contains`" if isinstance(dtype, pl.List | pl.Array) else ""
        hint = hint or ("; name one of its fields, as in meta.source" if isinstance(dtype, pl.Struct) else "")
        self.tokens.fail(token.column, f"compares a column of {dtype} with {what}{hint}")

    def _count(self, n_terms: int, column: int) -> None:
        """Count comparisons; raise ConfigError if there are too many."""
        self._n_terms += n_terms
        if self._n_terms > MOST_TERMS:
            why = f"more than {MOST_TERMS:,} comparisons; write many values of one column as `in (…)`"
            self.tokens.fail(column, why)

    @contextlib.contextmanager
    def _parentheses(self) -> Iterator[None]:
        """Parse what is in parentheses; raise ConfigError if they are nested too deeply."""
        column = self.tokens.next.column
        self.tokens.expect("(")
        self._depth += 1
        if self._depth > MOST_DEPTH:
            self.tokens.fail(column, f"nested parentheses, more than {MOST_DEPTH} levels")
        yield
        self._depth -= 1
        self.tokens.expect(")")


def _joined(terms: Sequence[pl.Expr], join: Callable[[Sequence[pl.Expr]], pl.Expr]) -> pl.Expr:
    """Return terms joined by `pl.any_horizontal` or `pl.all_horizontal`: a flat tree for any number of terms."""
    while len(terms) > 1:
        terms = [join(terms[start : start + JOINED]) for start in range(0, len(terms), JOINED)]
    return terms[0]
