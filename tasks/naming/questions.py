"""Questions: a topic, a group, or several with alike names -> what is asked, and how an answer is read and checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.chats.asking import WITHOUT_DOCUMENTS
from topicflow.tasks.chats.messages import Messages, schema_of
from topicflow.tasks.naming.answers import fault_of, parse, rescue, within
from topicflow.tasks.naming.evidence import Evidence
from topicflow.tasks.naming.prompts import alike_messages, shortened, topic_messages
from topicflow.tasks.naming.recipes import answer
from topicflow.tasks.store.artifacts import Recipe

Names = Mapping[int, str]
"""Names by topic."""


@dataclass(frozen=True)
class Question(ABC):
    """What is asked of a model once, and answered with the names of one or several topics.

    Attributes
    ----------
    topics : tuple of Evidence
        The topics that get names.
    config : NamesConfig
        The model and what it is told.
    """

    topics: tuple[Evidence, ...]
    config: NamesConfig

    @abstractmethod
    def messages(self, share: float = 1.0) -> Messages:
        """Return the messages with about this share of the documents' text."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The fields of the answer, one a topic."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the answer."""
        return schema_of(self.keys)

    @cached_property
    def recipe(self) -> Recipe:
        """What decides the answer."""
        return answer(self.config, self.messages(), self.schema)

    def read(self, text: str) -> tuple[Names | None, str]:
        """Return the names in an answer, or None and the fault, for the model to read."""
        if not text:
            return None, "it is empty"
        found = parse(text, self.keys)
        if found is None:
            fields = ", ".join(f'"{key}": "…"' for key in self.keys)
            return None, f"it is not the JSON {{{fields}}}"
        names = {each.topic: found[key] for each, key in zip(self.topics, self.keys, strict=True)}
        fault = self._fault(names)
        return (None, fault) if fault else (names, "")

    def _fault(self, names: Names) -> str | None:
        faults = (fault_of(names[each.topic], each, self.config) for each in self.topics)
        return next((fault for fault in faults if fault), None)

    @property
    def n_answers(self) -> int:
        """Number of names in the answer."""
        return len(self.topics)

    def note_of(self, share: float) -> str:
        """Return how the prompt of a usable answer differs from the first one."""
        if share == WITHOUT_DOCUMENTS:
            inside = any(each.inside for each in self.topics)
            known = "its keywords and finer topics" if inside else "its keywords"
            return f"named by {known} alone: earlier answers could not be used"
        return "the prompt was shortened to the model's context"

    def kept(self, found: Names | None) -> dict[str, Any]:
        """Return the names in the order of the topics, which have other numbers in other runs."""
        return {"names": None if found is None else [found[each.topic] for each in self.topics]}

    def restored(self, value: Mapping[str, Any]) -> Names | None:
        """Return the names that were kept."""
        numbers = [each.topic for each in self.topics]
        return None if value["names"] is None else dict(zip(numbers, value["names"], strict=True))

    @abstractmethod
    def rescue(self, text: str) -> Names | None:
        """Return names out of an answer that could not be used, if they are good enough; None if not."""


@dataclass(frozen=True)
class TopicQuestion(Question):
    """The name of one topic, or of one group of topics."""

    def messages(self, share: float = 1.0) -> Messages:
        """Return the messages with about this share of the documents' text."""
        (evidence,) = self.topics
        return topic_messages(evidence if share >= 1.0 else shortened(evidence, share), self.config)

    @property
    def keys(self) -> tuple[str, ...]:
        """The field of the answer."""
        return ("name",)

    def rescue(self, text: str) -> Names | None:
        """Return the name in a plain line or in broken JSON, cut to the allowed words, if nothing else is wrong."""
        (evidence,) = self.topics
        parsed = parse(text, self.keys)
        found = parsed["name"] if parsed else rescue(text)
        if found is None or len(found.split()) > 2 * self.config.max_words:
            return None
        name = within(found, self.config)
        return None if fault_of(name, evidence, self.config) else {evidence.topic: name}


@dataclass(frozen=True)
class AlikeQuestion(Question):
    """Names that tell topics apart whose names are alike.

    Attributes
    ----------
    names : tuple of str
        Their names so far.
    taken : tuple of str
        Alike names of topics that keep them.
    """

    names: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()

    def messages(self, share: float = 1.0) -> Messages:
        """Return the messages with about this share of the documents' text."""
        told = self.topics if share >= 1.0 else tuple(shortened(each, share) for each in self.topics)
        return alike_messages(told, self.names, self.taken, self.config)

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of the answer: the topics' numbers within the question."""
        return tuple(str(number) for number in range(1, len(self.topics) + 1))

    def rescue(self, text: str) -> Names | None:
        """Return the names cut to the allowed words, if nothing else is wrong."""
        parsed = parse(text, self.keys)
        if parsed is None:
            return None
        called = (within(parsed[key], self.config) for key in self.keys)
        names = {each.topic: name for each, name in zip(self.topics, called, strict=True)}
        return None if self._fault(names) else names

    def _fault(self, names: Names) -> str | None:
        """Return the fault of a name, or which name occurs twice."""
        found = super()._fault(names)
        return found or _repeated([*self.taken, *names.values()])


def _repeated(names: Sequence[str]) -> str | None:
    """Return a fault that names the first repeated name; None if all differ."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return f"{name!r} is the name of two topics"
        seen.add(name.casefold())
    return None
