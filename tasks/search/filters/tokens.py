"""Tokens: a condition -> its tokens, each with the column where it begins; a long list of values is one token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from topicflow.tasks.errors import ConfigError

MOST_CHARACTERS = 64 * 2**20
"""Maximum length of a condition: enough for a million ids of 60 characters."""

WINDOW = 80
"""Characters of the condition that an error shows on each side of its place."""

KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"})
"""Words that are never a column; contains, any, all and escape are keywords only in their places."""

_TEXT, _NUMBER = r"'[^']*+(?:''[^']*+)*+'", r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
"""The quantifiers are possessive, so that no text makes them try one place twice."""

_TOKEN = re.compile(
    rf"""\s*(?:(?P<number>{_NUMBER})
    |(?P<text>{_TEXT})
    |(?P<quoted>"[^"]+")
    |(?P<word>[^\W\d]\w*)
    |(?P<sign><>|!=|<=|>=|=|<|>|\(|\)|,|\.))""",
    re.VERBOSE,
)
_LISTS = {
    kind: re.compile(rf"\s*({one}(?:\s*,\s*{one})*+)(?=\s*\))")
    for kind, one in (("text", _TEXT), ("number", _NUMBER))
}
"""Lists of literals of one kind, up to their closing parenthesis."""
_ONE = {"text": re.compile(_TEXT), "number": re.compile(_NUMBER)}


class Token(NamedTuple):
    """One token of a condition.

    Attributes
    ----------
    kind : str
        number, text, quoted (a column in double quotes), word, keyword, sign, list, or end.
    text : str
        The text as the user wrote it; a keyword in lower case.
    column : int
        The column where it begins, from 1.
    of : str
        For a list, the kind of its values: text or number.
    """

    kind: str
    text: str
    column: int
    of: str = ""

    def values(self) -> list[Token]:
        """Return the values of a list."""
        return [
            Token(self.of, found[0], self.column + found.start())
            for found in _ONE[self.of].finditer(self.text)
        ]


@dataclass
class Tokens:
    """The tokens of a condition, read from left to right; error messages begin with `what`."""

    condition: str
    what: str = "filter"
    _pieces: list[Token] = field(default_factory=list)
    _at: int = 0

    def __post_init__(self) -> None:
        """Split the condition into tokens."""
        if len(self.condition) > MOST_CHARACTERS:
            most = f"{MOST_CHARACTERS:,}"
            msg = (
                f"{self.what}: the condition has {len(self.condition):,} characters, expected at most {most}"
            )
            raise ConfigError(msg)
        place, end = 0, len(self.condition.rstrip())
        while place < end:
            place = self._cut_list(place) if self._before_list() else self._cut_one(place)
        self._pieces.append(Token("end", "the end", end + 1))

    @property
    def next(self) -> Token:
        """The next token."""
        return self._pieces[self._at]

    @property
    def after_next(self) -> Token:
        """The token after the next one."""
        return self._pieces[min(self._at + 1, len(self._pieces) - 1)]

    def pass_on(self) -> Token:
        """Return the next token and move past it."""
        token = self.next
        self._at += token.kind != "end"
        return token

    def take(self, text: str) -> bool:
        """Move past a keyword or sign if it is next, and return whether it was."""
        taken = self.next.kind in {"keyword", "sign"} and self.next.text == text
        self._at += taken
        return taken

    def take_word(self, text: str) -> bool:
        """Move past a word such as contains if it is next, and return whether it was."""
        taken = self.next.kind == "word" and self.next.text.lower() == text
        self._at += taken
        return taken

    def expect(self, text: str) -> None:
        """Move past a keyword or sign; raise ConfigError if another token is next."""
        if not self.take(text):
            self.refuse(repr(text) if len(text) == 1 else text)

    def refuse(self, expected: str, token: Token | None = None) -> NoReturn:
        """Raise ConfigError at a token, the next one if None."""
        token = token or self.next
        shown = token.text if len(token.text) <= WINDOW else f"{token.text[:WINDOW]}…"
        self.fail(token.column, f"expected {expected}, found {shown if token.kind == 'end' else repr(shown)}")

    def fail(self, column: int, why: str) -> NoReturn:
        """Raise ConfigError at a column of the condition."""
        start, stop = max(0, column - 1 - WINDOW), column - 1 + WINDOW
        before = ("…" if start else "") + self.condition[start : column - 1]
        after = self.condition[column - 1 : stop] + ("…" if stop < len(self.condition) else "")
        raise ConfigError(" ".join(f"{self.what}: column {column}: {why}: {before}⟨here⟩{after}".split("\n")))

    # --- splitting ---

    def _before_list(self) -> bool:
        """Return whether a list of values may be next: after `in (`, `any (` and `all (`."""
        if len(self._pieces) < 2 or self._pieces[-1].text != "(" or self._pieces[-1].kind != "sign":
            return False
        before = self._pieces[-2]
        return before.kind in {"keyword", "word"} and before.text.lower() in {"in", "any", "all"}

    def _cut_list(self, place: int) -> int:
        """Add a whole list of texts or numbers, or one token if there is no list; return where it ends."""
        for kind, pattern in _LISTS.items():
            if (found := pattern.match(self.condition, place)) is not None:
                self._pieces.append(Token("list", found[1], found.start(1) + 1, kind))
                return found.end()
        return self._cut_one(place)

    def _cut_one(self, place: int) -> int:
        """Add one token and return where it ends."""
        found = _TOKEN.match(self.condition, place)
        if found is None:
            start = place + len(self.condition[place:]) - len(self.condition[place:].lstrip())
            mark = self.condition[start]
            why = "a text without its closing '" if mark == "'" else f"{mark!r}, which means nothing here"
            self.fail(start + 1, f"found {why}")
        kind = str(found.lastgroup)
        text, column = found[kind], found.start(kind) + 1
        if kind == "word" and text.lower() in KEYWORDS:
            kind, text = "keyword", text.lower()
        self._pieces.append(Token(kind, text, column))
        return found.end()
