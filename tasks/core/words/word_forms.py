"""Word forms: two words -> whether they are forms of one word, by plain rules of spelling, without a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

OWN_WORDS = frozenset({"aids", "arms", "customs", "goods", "means", "news"})
"""Words that look like a plural and mean something else than the word without the s."""

MIN_VERB = 3
"""Minimum letters of a word to which -ed or -ing is added: `king` is no form of `k`."""

LATIN_END = "\u0250"
"""The first character after the Latin letters: words of other scripts are never forms of each other."""

KEPT = 2**16
"""Words whose forms are remembered: keywords of many topics are compared again and again."""

_ES = ("s", "x", "z", "ch", "sh", "o")
"""Ends of words whose plural is -es."""


def without_forms(words: Sequence[str]) -> list[str]:
    """Return the words without those that are a form of an earlier one: `dvd, play, dvds` is `dvd, play`."""
    found: list[str] = []
    for word in words:
        if not any(are_forms(word, other) for other in found):
            found.append(word)
    return found


def are_forms(word: str, other: str) -> bool:
    """Return whether two words, or two phrases word by word, are forms of one word.

    Notes
    -----
    Known are -s, -es, -ies, -ices of -ix and -ex, -ses of -sis, 's, -ed and -ing, with a doubled consonant or a
    lost e: the plurals of English, those of other languages that end in -s, and English verbs. Both words must be
    there, so that `virus` alone is no plural; a few pairs such as `gps` and `gp` are wrong. The option
    `count.lemmas` knows more, with a dictionary.
    """
    one, two = _parts(word), _parts(other)
    return len(one) == len(two) and all(map(_are_forms, one, two))


@lru_cache(KEPT)
def _parts(word: str) -> tuple[str, ...]:
    """Return the words of a phrase in small letters."""
    return tuple(word.casefold().split())


def _are_forms(word: str, other: str) -> bool:
    if word == other:
        return True
    if _forms(word).isdisjoint(_forms(other)):
        return False
    return max(word + other) < LATIN_END or "\u2019" in word + other


@lru_cache(KEPT)
def _forms(word: str) -> frozenset[str]:
    """Return a word and what it may be a form of."""
    return frozenset({word, *_bases(word)})


def _bases(word: str) -> set[str]:
    """Return what a word may be a form of."""
    for mark in ("'s", "\u2019s"):
        if word.endswith(mark):
            return {word.removesuffix(mark)}
    return _singulars(word) | _verbs(word)


def _singulars(word: str) -> set[str]:
    """Return what a word may be the plural of."""
    if not word.endswith("s") or word.endswith("ss") or len(word) < 3 or word in OWN_WORDS:
        return set()
    found = {word[:-1]}
    if word.endswith("ies") and len(word) > 4:
        found.add(f"{word[:-3]}y")
    if word.endswith("es") and word[:-2].endswith(_ES):
        found.add(word[:-2])
    if word.endswith("ices") and len(word) > 5:
        found |= {f"{word[:-4]}ix", f"{word[:-4]}ex"}
    if word.endswith("ses") and len(word) > 4:
        found.add(f"{word[:-2]}is")
    return found


def _verbs(word: str) -> set[str]:
    """Return the verbs of which a word may be a form with -ed or -ing."""
    ending = next((end for end in ("ing", "ed") if word.endswith(end)), None)
    if ending is None or word.endswith("eed"):
        return set()
    stem = word.removesuffix(ending)
    found = {stem, f"{stem}e"}
    if stem[-1:] == stem[-2:-1]:
        found.add(stem[:-1])
    return {verb for verb in found if len(verb) >= MIN_VERB}
