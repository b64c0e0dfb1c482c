"""Name: topics -> the same table with names by a language model: one question a topic, then one a group of alike names.

names: `topics.parquet`, the topics' table with `name`, `named_by` (`model`, `keywords` or `person`, `kept` for other
topics that were not to be named) and `name_note`. The meta data list the answers, which are artifacts of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.embed import EmbedConfig, ImagesEmbed, PrecomputedEmbed
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.embed import embed_texts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.states import cached
from topicflow.tasks.log import LOG
from topicflow.tasks.naming import recipes
from topicflow.tasks.naming.alike import MAX_GROUP, alike_groups, distinct, same_words
from topicflow.tasks.naming.asking import Namer, Outcome
from topicflow.tasks.naming.budget import CallBudget
from topicflow.tasks.naming.cost import cost_of
from topicflow.tasks.naming.evidence import Evidence, Modelled, gather_evidence, person_names
from topicflow.tasks.naming.questions import GroupQuestion, TopicQuestion
from topicflow.tasks.store.artifact_store import ArtifactRef


@dataclass(frozen=True)
class Wanted:
    """Which topics are to be named.

    Attributes
    ----------
    topics : tuple of int, optional
        Their numbers; all if None.
    taken : mapping of int to str
        Names that the other topics keep.
    """

    topics: tuple[int, ...] | None = None
    taken: Mapping[int, str] = field(default_factory=dict)


EVERY = Wanted()


@task(name="name", cache_policy=NO_CACHE, persist_result=False)
def name(
    context: Context,
    modelled: Modelled,
    config: NamesConfig,
    encoding: EmbedConfig,
    wanted: Wanted = EVERY,
) -> ArtifactRef:
    """Return the names' artifact, asking the model on a miss.

    Notes
    -----
    Names of which some are not asked yet, because the budget is spent or the server failed for some, are another
    artifact than complete ones: the next run goes on with them.
    """
    store = context.store
    recipe = recipes.name(config, modelled.topics.key, wanted.topics, wanted.taken)
    if found := store.find(recipe):
        return cached(found)
    started = time.perf_counter()
    persons = person_names(store, modelled.topics)
    if wanted.topics is None and persons:
        wanted = Wanted(tuple(i for i in range(modelled.topics.rows) if i not in persons), persons)
    evidence = gather_evidence(store, modelled, config, wanted.topics)
    naming = _Naming(Namer(store, config, CallBudget(config)), evidence, encoding, context.runtime, wanted)
    naming.ask()
    if naming.n_waiting:
        recipe = recipes.unfinished(recipe, naming.keys)
        if found := store.find(recipe):
            return replace(found, seconds=time.perf_counter() - started)
    with store.writing(recipe) as writer:
        table = store.table(modelled.topics, "topics").sort("topic").collect()
        writer.save_table("topics", naming.named(table))
        writer.rows = len(evidence)
        writer.meta = naming.figures()
    ref = store.committed(recipe, writer)
    return replace(ref, seconds=time.perf_counter() - started)


@dataclass
class _Naming:
    """The names of one run on their way."""

    namer: Namer
    evidence: Sequence[Evidence]
    encoding: EmbedConfig
    runtime: RuntimeConfig
    wanted: Wanted
    names: dict[int, str] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    def ask(self) -> None:
        """Ask for the name of each topic, the largest first, then for other names where some are alike."""
        config = self.namer.config
        ordered = sorted(self.evidence, key=lambda each: (-each.size, each.topic))
        questions = [TopicQuestion((each,), config) for each in ordered]
        if (cost := cost_of(self.namer.store, questions, config.url)).n_calls:
            LOG.info("names: %s", cost)
        with track("name", len(questions), unit="topics") as progress:
            found = self.namer.answer_all(questions, lambda: progress.advance(1))
        self.outcomes += found
        for question, outcome in zip(questions, found, strict=True):
            self.names |= outcome.names or {}
            self.notes |= {each.topic: outcome.note for each in question.topics if outcome.note}
        self._rename_alike({each.topic: each for each in ordered if each.topic in self.names})

    def _rename_alike(self, named: Mapping[int, Evidence]) -> None:
        """Ask once more for each group of topics whose names are alike."""
        kept = list(self.wanted.taken.values())
        names = [*(self.names[topic] for topic in named), *kept]
        topics, questions = list(named), []
        for group in alike_groups(self._vectors(names), self.namer.config.alike):
            own = [place for place in group if place < len(topics)]
            taken = tuple(names[place] for place in group if place >= len(topics))
            for start in range(0, len(own), MAX_GROUP):
                part = own[start : start + MAX_GROUP]
                asked = tuple(named[topics[place]] for place in part)
                called = tuple(names[place] for place in part)
                if len(asked) > 1 or taken:
                    questions.append(GroupQuestion(asked, self.namer.config, called, taken))
        with track("name", len(questions), unit="groups of alike names") as progress:
            found = self.namer.answer_all(questions, lambda: progress.advance(1))
        self.outcomes += found
        for outcome in found:
            self.names |= outcome.names or {}

    def _vectors(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of names, by the encoder of the documents where it reads texts."""
        if not names:
            return np.empty((0, 1), np.float32)
        if isinstance(self.encoding, PrecomputedEmbed | ImagesEmbed):
            return same_words(names)
        return embed_texts(self.namer.store, pl.Series(names), self.encoding, self.runtime)

    @property
    def n_waiting(self) -> int:
        """Questions that are to be asked in the next run."""
        return sum(not outcome.is_final for outcome in self.outcomes)

    @property
    def keys(self) -> list[str]:
        """Keys of the answers."""
        return [outcome.key for outcome in self.outcomes if outcome.key]

    def named(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the topics' table with names, who gave them, and what was unusual; all names differ."""
        taken = dict(self.wanted.taken)
        others = {each.topic: each.name for each in self.evidence if each.topic not in self.names}
        keywords = {each.topic: each.keywords for each in self.evidence}
        names = distinct(self.names, keywords, [*taken.values(), *others.values()])
        by = dict.fromkeys(taken, "kept") | dict.fromkeys(names, "model")
        if "named_by" in table.columns:
            by |= dict.fromkeys(table.filter(pl.col("named_by") == "person")["topic"].to_list(), "person")
        called = taken | others | names
        topics = table["topic"].to_list()
        own = table["name"].to_list()
        return table.with_columns(
            pl.Series("name", [called.get(topic, own[topic]) for topic in topics], pl.String),
            pl.Series("named_by", [by.get(topic, "keywords") for topic in topics], pl.String),
            pl.Series("name_note", [self.notes.get(topic) for topic in topics], pl.String),
        )

    def figures(self) -> dict[str, object]:
        """Return what the artifact says of itself."""
        budget = self.namer.budget
        waiting = [outcome.note for outcome in self.outcomes if not outcome.is_final]
        return {
            "n_topics": len(self.evidence),
            "n_named": len(self.names),
            "n_waiting": len(waiting),
            "waiting_for": waiting[0] if waiting else "",
            "n_calls": budget.n_calls,
            "n_tokens": budget.n_tokens,
            "beside": [["answers", key] for key in self.keys],
        }
