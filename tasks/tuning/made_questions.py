"""Made questions: a passage -> questions that are made of its own words, without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topicflow.tasks.search.scoring.highlights import sentences_of
from topicflow.tasks.tuning.word_weights import WordWeights

LONGEST_TITLE = 300
"""Characters of a title; a longer first paragraph is text."""

SHORTEST = 3
"""Words of a question; fewer say too little."""

N_SALIENT = 8
"""Salient words that make a question."""


@dataclass(frozen=True)
class Passage:
    """A text in its parts.

    Attributes
    ----------
    title : str
        The first paragraph, if it is short and more follows; empty if not.
    sentences : list of str
        The sentences of the rest.
    text : str
        The whole text.
    """

    title: str
    sentences: list[str]
    text: str

    @classmethod
    def of(cls, text: str, separator: str) -> Passage:
        """Return a text in its parts; `separator` stands between title and text."""
        first, found, rest = text.partition(separator or "\n\n")
        if found and rest.strip() and len(first.strip()) <= LONGEST_TITLE:
            return cls(" ".join(first.split()), sentences_of(rest), text)
        return cls("", sentences_of(text), text)


def made_questions(passage: Passage, kinds: Sequence[str], weights: WordWeights) -> dict[str, str]:
    """Return the questions of these kinds that a passage gives, by kind.

    Parameters
    ----------
    passage : Passage
        The passage.
    kinds : sequence of str
        `title`; `sentence`, the first one, if others follow; `words`, the salient words in their order.
    weights : WordWeights
        The weights of the words of the corpus.
    """
    found = {"title": passage.title}
    if len(passage.sentences) > 1:
        found["sentence"] = passage.sentences[0]
    if "words" in kinds:
        found["words"] = " ".join(weights.salient_words(passage.text, N_SALIENT))
    return {kind: found[kind] for kind in kinds if len(found.get(kind, "").split()) >= SHORTEST}
