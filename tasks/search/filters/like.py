"""Like: a pattern in SQL syntax, % for any characters and _ for one -> whether each text of a column matches."""

from __future__ import annotations

import re

import polars as pl

MOST_CHARACTERS = 1000
"""Maximum length of a pattern that becomes a regular expression; patterns with % only at their ends may be longer."""


def like(column: pl.Expr, pattern: str, escape: str | None, *, folded: bool) -> pl.Expr:
    """Return whether the texts of a column match a pattern, null for a null text.

    Parameters
    ----------
    column : pl.Expr
        Texts.
    pattern : str
        % stands for any characters, _ for one.
    escape : str or None
        The character before a character of the pattern that is taken literally.
    folded : bool
        Compare in lower case.

    Raises
    ------
    ValueError
        If the pattern ends with its escape character, or is too long.

    Notes
    -----
    The regular expressions are Rust's: linear in the text, for any pattern.
    """
    pieces = _pieces(pattern, escape)
    if folded:
        column, pieces = column.str.to_lowercase(), [(text.lower(), wild) for text, wild in pieces]
    literal = "".join(text for text, wild in pieces if not wild)
    marks = [place for place, (_, wild) in enumerate(pieces) if wild]
    first, last = bool(pieces) and pieces[0] == ("%", True), bool(pieces) and pieces[-1] == ("%", True)
    if not marks:
        return column == literal
    if len(marks) == first + last and len(pieces) > 1:
        if first and last:
            return column.str.contains(literal, literal=True)
        return column.str.ends_with(literal) if first else column.str.starts_with(literal)
    if len(pattern) > MOST_CHARACTERS:
        msg = f"a pattern of {len(pattern):,} characters with % or _ inside, expected at most {MOST_CHARACTERS:,}"
        raise ValueError(msg)
    parts = ({"%": ".*", "_": "."}[text] if wild else re.escape(text) for text, wild in pieces)
    return column.str.contains(f"(?s)^{''.join(parts)}$")


def _pieces(pattern: str, escape: str | None) -> list[tuple[str, bool]]:
    """Return the characters of a pattern, each with whether it is a wildcard; several % in a row count as one."""
    pieces: list[tuple[str, bool]] = []
    marks = iter(pattern)
    for mark in marks:
        if mark == escape:
            if (taken := next(marks, None)) is None:
                msg = f"the pattern ends with its escape {escape!r}; a character must follow it"
                raise ValueError(msg)
            pieces.append((taken, False))
        elif not (mark == "%" and pieces and pieces[-1] == ("%", True)):
            pieces.append((mark, mark in "%_"))
    return pieces
