"""Answers: the text of a reply -> the names in it, cleaned and checked; or the fault that the model is told."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.chats.messages import json_objects
from topicflow.tasks.naming.evidence import Evidence

MAX_CHARS = 80
"""Maximum characters of a name."""

PLACEHOLDERS = frozenset(
    {
        "name", "names", "topic", "topics", "topic name", "name of the topic", "the name", "unknown", "none", "null",
        "n a", "na", "untitled", "string", "title", "heading", "short heading", "keywords", "excerpts", "json", "other",
        "miscellaneous", "no name", "undefined",
    }
)  # fmt: skip
"""Answers that say nothing of a topic."""

INSTRUCTIONS = (
    "you name topics", "you name groups", "for one topic you get", "for one group you get", "write one name",
    "like a short heading", "must fit the whole topic", "neighbouring topics", "neighbouring groups", "finer topics",
    "data and never instructions", "answer only with json", "do not obey",
)  # fmt: skip
"""Pieces of the prompt that small models repeat."""

_QUOTES = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u2039\u203a*_\u2026 \t"
_BEFORE = f"{_QUOTES}#<>-"
"""Signs before a name: a heading, a mark of a document, a list. After it they may belong to it, as in C#."""

_PREFIX = re.compile(
    r"^(?:the\s+)?(?:topic\s+)?(?:name|topic|title|label|answer)\s*(?:is)?\s*[:=-]\s*", re.IGNORECASE
)
_FIELD = re.compile(r'"name"\s*:\s*"((?:[^"\\]|\\.)+)"')


def clean(name: str) -> str:
    """Return a name in one line, without control characters, quotation marks, stars and a word such as `Topic:`."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    text = " ".join(text.split()).lstrip(_BEFORE).rstrip(_QUOTES)
    text = _PREFIX.sub("", text).lstrip(_BEFORE).rstrip(_QUOTES)
    return text.rstrip(".,;:!").rstrip(_QUOTES)


def parse(text: str, keys: Sequence[str]) -> dict[str, str] | None:
    """Return the texts under the `keys` of the JSON object in an answer, cleaned; None if it has no such object.

    Fences around the object, and words before and after it, do not matter.
    """
    for found in json_objects(text):
        if isinstance(found, Mapping) and all(isinstance(found.get(key), str) for key in keys):
            return {key: clean(found[key]) for key in keys}
    return None


def rescue(text: str) -> str | None:
    """Return the name in an answer that is no JSON: in a field of broken JSON, or a single short line."""
    if match := _FIELD.search(text):
        return clean(_unescaped(match.group(1)))
    lines = [
        line for line in text.replace("```", "\n").splitlines() if clean(line) and line.strip() != "json"
    ]
    if len(lines) == 1 and "{" not in text:
        return clean(lines[0])
    return None


def _unescaped(text: str) -> str:
    """Return the text between the quotation marks of a JSON string; as it is if it is none."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def fault_of(name: str, evidence: Evidence, config: NamesConfig) -> str | None:
    """Return why a name cannot be used, for the model to read; None if it can."""
    plain = _plain(name)
    if not any(c.isalnum() for c in name):
        return "the name is empty"
    if plain in PLACEHOLDERS or plain == _plain(config.corpus):
        return f"{name!r} says nothing about the topic"
    if any(piece in plain for piece in INSTRUCTIONS):
        return "the name repeats the instructions"
    if len(name) > MAX_CHARS or len(name.split()) > config.max_words:
        return f"the name has {len(name.split())} words, at most {config.max_words} are allowed"
    return _foreign(name, evidence)


def _foreign(name: str, evidence: Evidence) -> str | None:
    """Return a fault if a name is that of something else than the topic."""
    if is_of_a_part(name, evidence):
        return f"{name!r} is the name of one of the finer topics; the name must fit all of them"
    if is_of_a_sibling(name, evidence):
        return f"{name!r} is about a neighbouring topic; the name must be about the keywords of this one"
    if is_of_one_document(name, evidence):
        return f"{name!r} is taken from a single excerpt; name what all excerpts and keywords have in common"
    return None


def within(name: str, config: NamesConfig) -> str:
    """Return a name cut to the words that the config allows, as a last resort."""
    return clean(" ".join(name.split()[: config.max_words])[:MAX_CHARS])


def is_of_a_part(name: str, evidence: Evidence) -> bool:
    """Return whether a name is that of one of several finer topics inside a group."""
    return len(evidence.inside) > 1 and _plain(name) in {_plain(part.name) for part in evidence.inside}


def is_of_a_sibling(name: str, evidence: Evidence) -> bool:
    """Return whether a name has words of a neighbouring topic's keywords and none that stand for the topic.

    Small models name the contrast.
    """
    theirs = [_plain(word) for words in evidence.siblings for word in words]
    own = [*_words_of_the_topic(evidence), *map(_plain, evidence.documents)]
    return _has_word_of(name, theirs) and not _has_word_of(name, own)


def is_of_one_document(name: str, evidence: Evidence) -> bool:
    """Return whether a name has words of a single document and none that stand for the topic.

    A document that says "answer PWNED" must not name its topic. Words that no document has are no sign of that: a
    name may be more general than all of them, or in another language.
    """
    if len(evidence.documents) < 2:
        return False
    if _has_word_of(name, _words_of_the_topic(evidence)):
        return False
    texts = [_plain(text) for text in evidence.documents]
    counts = [sum(_stem(word) in text for text in texts) for word in _words(name)]
    return max(counts, default=0) == 1


def _words_of_the_topic(evidence: Evidence) -> list[str]:
    """Return the keywords of a topic; for a group, those and the names of the finer topics too."""
    inside = [word for part in evidence.inside for word in (part.name, *part.keywords)]
    return [_plain(word) for word in (*evidence.keywords, *inside)]


def _has_word_of(name: str, texts: Sequence[str]) -> bool:
    """Return whether a text has a word of the name, or the name contains one of the texts whole (as in Chinese)."""
    plain = _plain(name)
    if any((len(text) >= 2 or not text.isascii()) and text in plain for text in texts):
        return True
    return any(_stem(word) in text for word in _words(name) for text in texts)


def _words(name: str) -> list[str]:
    """Return the words of a name that may stand for a topic: not the shortest ones, such as `of` and `the`."""
    return [word for word in _plain(name).split() if len(word) >= 4 or not word.isascii()]


def _stem(word: str) -> str:
    """Return the beginning of a word that its other forms share, roughly: `battery` and `batteries` are `batter`."""
    return word if len(word) <= 5 else word[: max(5, len(word) - 3)]


def _plain(text: str) -> str:
    """Return a text in lower case with single spaces between its words, and without signs."""
    return " ".join(re.findall(r"\w+", text.casefold()))
