"""Highlights: a text and the words of a query -> the sentence that matches best, and where the words stand in it."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.words.cutting import INDEXED

MOST_SENTENCES = 200
"""Sentences of a text that are compared with a query; a book has thousands, and each of them has to be embedded."""

LONGEST_SENTENCE = 400
"""Characters of a sentence; a longer one, such as a table without full stops, is cut between two words."""

COMMON = 0.69
"""Weight of a word that stands in half of the documents; words with less say too little to choose a sentence alone."""

ScoreSentences = Callable[[Sequence[str]], NDArray[np.floating[Any]]]
"""Sentences -> how well each matches the query, (n,)."""


@dataclass(frozen=True)
class Highlight:
    """The sentence of a document that matches a query best.

    Attributes
    ----------
    sentence : str
        The sentence, in composed form (NFC).
    places : list of (int, int)
        Begin and end of each word of the query in the sentence, ascending.
    words : list of str
        The words of the query that the document contains, in the order of the query.
    """

    sentence: str
    places: list[tuple[int, int]]
    words: list[str]


def highlights_of(
    texts: Sequence[str],
    wanted: Mapping[str, float],
    score: ScoreSentences | None = None,
    base_form: Callable[[str], str] = str,
) -> list[Highlight]:
    """Return the highlight of each text.

    Parameters
    ----------
    texts : sequence of str
        The documents' texts.
    wanted : mapping of str to float
        The words of the query and their weights.
    score : callable, optional
        Scores the sentences of the texts that have no word of the query, or only words with a weight below `COMMON`.
    base_form : callable
        Returns the word of the query for a word of a text, if forms of a word count as one.

    Notes
    -----
    A sentence has the sum of the weights of its different words. Of equal sentences the first is shown. A text of more
    than `MOST_SENTENCES` is read up to there.
    """
    parts = [sentences_of(text) for text in texts]
    bounds = np.cumsum([0, *map(len, parts)]).tolist()
    flat = [sentence for part in parts for sentence in part]
    matches = [
        {word: base for word in words if (base := base_form(word)) in wanted} for words in words_of(flat)
    ]
    scores = np.array([float(sum(wanted[base] for base in set(found.values()))) for found in matches])
    telling = np.array([any(wanted[base] >= COMMON for base in found.values()) for found in matches], bool)
    unlike = [(start, end) for start, end in pairwise(bounds) if end > start and not telling[start:end].any()]
    if score is not None and unlike:
        scored = iter(score([sentence for start, end in unlike for sentence in flat[start:end]]).tolist())
        for start, end in unlike:
            scores[start:end] = list(islice(scored, end - start))
    shown = []
    for start, end in pairwise(bounds):
        there = {base for found in matches[start:end] for base in found.values()}
        best = start + int(np.argmax(scores[start:end])) if end > start else None
        sentence, places = ("", []) if best is None else (flat[best], places_of(flat[best], matches[best]))
        shown.append(Highlight(sentence, places, [word for word in wanted if word in there]))
    return shown


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text, at most `MOST_SENTENCES`, without the white space around them."""
    found: list[str] = []
    for line in _END.split(unicodedata.normalize("NFC", text)):
        rest = " ".join(line.split())
        while len(rest) > LONGEST_SENTENCE:
            cut = rest.rfind(" ", 1, LONGEST_SENTENCE)
            cut = LONGEST_SENTENCE if cut < 0 else cut
            found.append(rest[:cut])
            rest = rest[cut:].strip()
        if rest:
            found.append(rest)
        if len(found) >= MOST_SENTENCES:
            break
    return found[:MOST_SENTENCES]


_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n\s*\n")
"""Where a sentence ends: a mark before white space, a mark of Chinese or Japanese, or an empty line."""


def words_of(texts: Sequence[str]) -> list[set[str]]:
    """Return the different words of each text, cut as the index cuts them."""
    cut = INDEXED.cut(texts)
    words, bounds = cut.words(), cut.ranges.tolist()
    return [set(words[start:end]) for start, end in pairwise(bounds)]


def places_of(sentence: str, words: Collection[str]) -> list[tuple[int, int]]:
    """Return begin and end of the words in a sentence, ascending; a word inside a longer one does not count.

    Words of scripts without spaces are found anywhere.
    """
    if not words:
        return []
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join(_pattern_of(word) for word in longest_first), re.IGNORECASE)
    return [match.span() for match in pattern.finditer(sentence)]


def _pattern_of(word: str) -> str:
    inside = r"[^\W_]"
    before, after = (
        "" if ord(word[end]) in _unspaced() else side
        for end, side in ((0, f"(?<!{inside})"), (-1, f"(?!{inside})"))
    )
    return f"{before}{re.escape(word)}{after}"


@functools.cache
def _unspaced() -> frozenset[int]:
    from topicflow.tasks.core.words.letters import unspaced_points

    return frozenset(unspaced_points().tolist())
