"""Inflections: words of a vocabulary -> one number for all forms of a word, and the form that texts use most.

Base forms come from simplemma's dictionaries and rules (https://github.com/adbar/simplemma). A base form only joins
words: what is shown is the most frequent form, because a base form alone reads badly ("machine learn").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

BaseForm = Callable[[str], str]
"""A word -> its base form; the word itself if none is known."""

Spell = Callable[[NDArray[np.int64]], pl.Series]
"""Numbers (n,) -> their words or phrases (n,)."""

Forms = pl.DataFrame
"""Columns `form`, `base` and `total`: how often each form of a base occurs in the texts."""


def base_form_of(languages: Sequence[str]) -> BaseForm:
    """Return the function to base forms in languages, by code, in order of preference.

    Raises
    ------
    ImportError
        If simplemma is not installed.
    ValueError
        If it lacks a language.
    """
    import simplemma

    simplemma.lemmatize("words", lang=tuple(languages))  # raises for a language that it lacks
    # nouns of some languages have a capital letter there
    return lambda word: simplemma.lemmatize(word, lang=tuple(languages)).lower()


@dataclass
class Inflections:
    """The base of each word number, and how often each number occurred.

    Attributes
    ----------
    base_form : BaseForm
    bases : ndarray of shape (n_numbers,), int64
        The number of each number's base: the first number whose word has the same base form.
    totals : ndarray of shape (n_numbers,), int64
    """

    base_form: BaseForm
    bases: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    totals: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _first: dict[str, int] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)

    def joined(self, numbers: NDArray[np.int64], new_words: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of the bases; `new_words` are the words whose numbers follow those known so far."""
        found: list[int] = []
        for word in new_words:
            base = self.base_form(word)
            found.append(self._first.setdefault(base, len(self.bases) + len(found)))
            self._names.append(base)
        self.bases = np.concatenate([self.bases, np.array(found, np.int64)])
        self.totals = np.concatenate([self.totals, np.zeros(len(found), np.int64)])
        self.totals += np.bincount(numbers, minlength=len(self.totals))
        joined: NDArray[np.int64] = self.bases[numbers]
        return joined

    def names(self) -> pl.Series:
        """Return the base form of each number."""
        return pl.Series("word", self._names, dtype=pl.String)

    def forms(self, words: pl.Series) -> Forms:
        """Return the forms that occurred; `words` are the words of all numbers."""
        there = np.flatnonzero(self.totals)
        return pl.DataFrame(
            {"form": words.gather(there), "base": self.names().gather(there), "total": self.totals[there]}
        )


def in_shown_forms(spell: Spell, forms: Sequence[Forms]) -> Spell:
    """Return the function to words with, for each base form, the form that is shown; `spell` itself without forms.

    Shown is the most frequent form, of equals the first by code point; phrases have the shown forms of their words.
    """
    if not forms:
        return spell
    totals = pl.concat(forms).group_by("form", "base").agg(pl.col("total").sum())
    ranked = totals.sort(["base", "total", "form"], descending=[False, True, False])
    shown = dict(ranked.unique("base", keep="first").select("base", "form").iter_rows())

    def shown_words(numbers: NDArray[np.int64]) -> pl.Series:
        phrases = spell(numbers).to_list()
        words = [" ".join(shown.get(word, word) for word in phrase.split(" ")) for phrase in phrases]
        return pl.Series("word", words, dtype=pl.String)

    return shown_words
