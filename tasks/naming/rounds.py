"""Rounds: evidence -> names: one question for each topic or group, then one for each set of alike names.

All rounds of a run share a budget: first the topics, then each layer of groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import EmbedConfig, ImagesEmbed, PrecomputedEmbed
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.chats.asking import Asker, Outcome
from topicflow.tasks.encoding.embed import embed_texts
from topicflow.tasks.execution.progress import track
from topicflow.tasks.naming.alike import MAX_GROUP, alike_groups, same_words
from topicflow.tasks.naming.evidence import Evidence
from topicflow.tasks.naming.questions import AlikeQuestion, Names, Question, TopicQuestion


@dataclass
class Rounds:
    """The questions of one run.

    Attributes
    ----------
    asker : Asker
        Asks the model.
    config : NamesConfig
        What it is told, and when names are alike.
    encoding : EmbedConfig
        The encoder of the documents.
    runtime : RuntimeConfig
        Where it runs.
    keys : list of str
        Keys of the answers so far.
    notes : dict of int to str
        What was unusual, by topic.
    waiting : dict of int to str
        Topics that are to be asked again in the next run, and why.
    """

    asker: Asker
    config: NamesConfig
    encoding: EmbedConfig
    runtime: RuntimeConfig
    keys: list[str] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    waiting: dict[int, str] = field(default_factory=dict)

    def ask(self, evidence: Sequence[Evidence], kept: Sequence[str], unit: str) -> dict[int, str]:
        """Return the usable names by topic, asking for the largest topics first.

        Parameters
        ----------
        evidence : sequence of Evidence
            The topics, or the groups of one layer.
        kept : sequence of str
            Names that others beside them keep.
        unit : str
            What they are, in the plural.
        """
        ordered = sorted(evidence, key=lambda each: (-each.size, each.topic))
        questions = [TopicQuestion((each,), self.config) for each in ordered]
        names: dict[int, str] = {}
        for question, outcome in zip(questions, self._answers(questions, unit), strict=True):
            names |= outcome.found or {}
            self.notes |= {each.topic: outcome.note for each in question.topics if outcome.note}
        alike = self._alike({each.topic: each for each in ordered if each.topic in names}, names, kept)
        for outcome in self._answers(alike, f"sets of {unit} with alike names"):
            names |= outcome.found or {}
        return names

    def _answers(self, questions: Sequence[Question], unit: str) -> list[Outcome[Names]]:
        """Return the outcomes of questions in their order."""
        with track("name", len(questions), unit=unit) as progress:
            found = self.asker.answer_all(questions, lambda: progress.advance(1))
        self.keys += [outcome.key for outcome in found if outcome.key]
        for question, outcome in zip(questions, found, strict=True):
            if not outcome.is_final:
                self.waiting |= {each.topic: outcome.note for each in question.topics}
        return found

    def _alike(
        self, named: Mapping[int, Evidence], names: Mapping[int, str], kept: Sequence[str]
    ) -> list[AlikeQuestion]:
        """Return a question for each set of topics whose names are alike."""
        topics, every, questions = list(named), [*(names[topic] for topic in named), *kept], []
        for alike in alike_groups(self._vectors(every), self.config.alike):
            own = [place for place in alike if place < len(topics)]
            taken = tuple(every[place] for place in alike if place >= len(topics))
            for start in range(0, len(own), MAX_GROUP):
                part = own[start : start + MAX_GROUP]
                asked = tuple(named[topics[place]] for place in part)
                called = tuple(every[place] for place in part)
                if len(asked) > 1 or taken:
                    questions.append(AlikeQuestion(asked, self.config, called, taken))
        return questions

    def _vectors(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of names, by the encoder of the documents where it reads texts."""
        if not names:
            return np.empty((0, 1), np.float32)
        if isinstance(self.encoding, PrecomputedEmbed | ImagesEmbed):
            return same_words(names)
        return embed_texts(self.asker.store, pl.Series(names), self.encoding, self.runtime)
