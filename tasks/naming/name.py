"""Name: topics and the groups of their tree -> names by a language model: the topics first, then each layer of groups.

names: `topics.parquet`, the topics' table with `name`, `named_by` (`model`, `keywords` or `person`, `kept` for other
topics that were not to be named) and `name_note`; with a tree `groups.parquet`, `group` and the same three columns. The
meta data list the answers, which are artifacts of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from topicflow.configs.sections.embed import EmbedConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.chats.asking import Asker
from topicflow.tasks.chats.call_budget import CallBudget
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.naming import recipes
from topicflow.tasks.naming.alike import distinct
from topicflow.tasks.naming.cost import cost_of
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.groups import Group, Told, gather, without_persons
from topicflow.tasks.naming.rounds import Rounds
from topicflow.tasks.naming.wanted import EVERY, Wanted
from topicflow.tasks.store.artifact_store import ArtifactRef

UNNAMED_PART = "not asked: a topic inside it has no name yet"


@stage("name")
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
    grouped = None if modelled.tree is None else modelled.tree.key
    recipe = recipes.name(config, modelled.topics.key, grouped, wanted)
    if found := store.find(recipe):
        return found
    started = time.perf_counter()
    wanted = without_persons(store, modelled, wanted)
    told = gather(store, modelled, config, wanted)
    if (cost := cost_of(store, told, config)).n_calls:
        LOG.info("names: %s", cost)
    asker = Asker(store, config, CallBudget(config), goes_on=config.on_failure == "keywords")
    rounds = Rounds(asker, config, encoding, context.runtime)
    naming = Naming(rounds, told, wanted)
    naming.ask()
    if rounds.waiting:
        recipe = recipes.unfinished(recipe, rounds.keys)
        if found := store.find(recipe):
            return replace(found, seconds=time.perf_counter() - started)
    with store.writing(recipe) as writer:
        table = store.table(modelled.topics, "topics").sort("topic").collect()
        writer.save_table("topics", naming.topics(table))
        if modelled.tree is not None:
            writer.save_table("groups", naming.groups(table.height))
        writer.rows = len(told.topics)
        writer.meta = naming.figures()
    ref = store.committed(recipe, writer)
    return replace(ref, seconds=time.perf_counter() - started)


class Naming:
    """The names of one run on their way.

    Parameters
    ----------
    rounds : Rounds
        Asks for names.
    told : Told
        What the model is told.
    wanted : Wanted
        The topics and groups that are to be named.
    """

    def __init__(self, rounds: Rounds, told: Told, wanted: Wanted) -> None:
        self.rounds, self.told, self.wanted = rounds, told, wanted
        self.names: dict[int, str] = dict(told.names)
        self.by_model: set[int] = set()

    def ask(self) -> None:
        """Ask for the names of the topics, then for those of the groups, the finest layer first."""
        kept = list(self.wanted.taken.values())
        keywords = {each.topic: each.keywords for each in self.told.topics}
        self._take(self.rounds.ask(self.told.topics, kept, "topics"), keywords, kept)
        layers = sorted({group.layer for group in self.told.groups})
        for layer in layers:
            self._ask_layer([group for group in self.told.groups if group.layer == layer])

    def _ask_layer(self, groups: list[Group]) -> None:
        """Ask for the names of the groups of a layer of which all parts have their names."""
        waiting = self.rounds.waiting
        late = {group.node: UNNAMED_PART for group in groups if any(part in waiting for part in group.parts)}
        evidence = [group.told(self.names) for group in groups if group.node not in late]
        found = self.rounds.ask(evidence, list(self.wanted.taken_by_groups.values()), "groups of topics")
        waiting |= late
        self.rounds.notes.update(late)
        own = {group.node for group in groups}
        self._take(
            found,
            {group.node: group.evidence.keywords for group in groups},
            [name for node, name in self.names.items() if node not in own],
        )

    def _take(
        self, found: Mapping[int, str], keywords: Mapping[int, tuple[str, ...]], taken: list[str]
    ) -> None:
        """Take the names of the model; all names differ."""
        left = [self.names[node] for node in keywords if node not in found]
        self.names |= distinct(found, keywords, [*taken, *left])
        self.by_model |= set(found)

    def topics(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the topics' table with names, who gave them, and what was unusual."""
        topics = table["topic"].to_list()
        by = dict.fromkeys(self.wanted.taken, "kept") | dict.fromkeys(self.by_model, "model")
        if "named_by" in table.columns:
            by |= dict.fromkeys(table.filter(pl.col("named_by") == "person")["topic"].to_list(), "person")
        own = dict(zip(topics, table["name"].to_list(), strict=True))
        return table.with_columns(
            pl.Series("name", [self.names.get(topic, own[topic]) for topic in topics], pl.String),
            pl.Series("named_by", [by.get(topic, "keywords") for topic in topics], pl.String),
            pl.Series("name_note", [self.rounds.notes.get(topic) for topic in topics], pl.String),
        )

    def groups(self, n_topics: int) -> pl.DataFrame:
        """Return one row a group: its number, its name, who gave it, and what was unusual."""
        nodes = [node for node in sorted(self.names) if node >= n_topics]
        kept = {n_topics + number for number in self.wanted.taken_by_groups}
        by = ["model" if node in self.by_model else "kept" if node in kept else "keywords" for node in nodes]
        return pl.DataFrame(
            {
                "group": pl.Series([node - n_topics for node in nodes], dtype=pl.Int32),
                "name": pl.Series([self.names[node] for node in nodes], dtype=pl.String),
                "named_by": pl.Series(by, dtype=pl.String),
                "name_note": pl.Series([self.rounds.notes.get(node) for node in nodes], dtype=pl.String),
            }
        )

    def figures(self) -> dict[str, object]:
        """Return what the artifact says of itself."""
        budget, waiting = self.rounds.asker.budget, self.rounds.waiting
        groups = {group.node for group in self.told.groups}
        counted = {"n_groups": len(groups), "n_groups_named": len(groups & self.by_model)} if groups else {}
        return {
            "n_topics": len(self.told.topics),
            "n_named": len(self.by_model - groups),
            **counted,
            "n_waiting": len(waiting),
            "waiting_for": next(iter(waiting.values()), ""),
            "n_calls": budget.n_calls,
            "n_tokens": budget.n_tokens,
            "beside": [["answers", key] for key in self.rounds.keys],
        }
