"""Adoptable: the published run of a topic model -> the fit and documents that the first update of its name continues.

The documents of the run are update 1, and its topics keep their numbers as ids.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.read import parse_config
from topicflow.tasks.edits.wanted import digest_of
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.given.fitted_topics import has_fitted
from topicflow.tasks.runs.history import RunRecord, called, flow_of, is_published, newest
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import (
    EDIT,
    GIVEN,
    LABEL_EDITED,
    RENAME,
    final_labels,
    final_topics,
    labels_before_edits,
)
from topicflow.tasks.updates.recipes import fit_settings
from topicflow.tasks.updates.topic_state import Batch, Fit, TopicState, TreeState
from topicflow.tasks.updates.update_steps import edits_of_fit, refitted, with_model_names, with_tree

NEEDED = (
    "load", "keep", "embed", "neighbors", "map", "cluster", GIVEN, "count", "label", EDIT, LABEL_EDITED, RENAME, "tree",
    "name",
)  # fmt: skip
"""Stages whose artifacts an update continues, as far as the run has them."""

BY_TEXT = ("text_column", "text_separator", "clean")
"""Keys of `load` that decide a document's text, by which it is known if it has no id."""


@dataclass(frozen=True)
class Adoptable:
    """The published run of a topic model: its record, its config, and the artifacts of its stages by name."""

    record: RunRecord
    config: TopicModelConfig
    made: Mapping[str, ArtifactRef]

    @property
    def loaded(self) -> ArtifactRef:
        """All documents of the input, near-duplicates too."""
        return self.made["load"]

    @property
    def documents(self) -> ArtifactRef:
        """The documents of the topics."""
        return self.made.get("keep", self.loaded)

    @property
    def labels(self) -> ArtifactRef:
        """The topic of each document, after all edits."""
        return final_labels(self.made)

    @property
    def unedited(self) -> ArtifactRef | None:
        """The topic of each document before edits; None without edits of topics."""
        return labels_before_edits(self.made) if EDIT in self.made else None

    @property
    def topics(self) -> ArtifactRef:
        """The topics, after all edits but renames."""
        return final_topics(self.made)

    @property
    def batch(self) -> Batch:
        """The documents of the run as the first batch of a series."""
        return Batch(self.documents.key, self.made["embed"].key, self.labels.key, self.made["map"].key)

    def fit(self, store: ArtifactStore, config: UpdateTopicsConfig) -> Fit:
        """Return the fit of the run, without the cells, and the ids of topics before edits, that it does not need."""
        given = self.made.get(GIVEN)
        fit = Fit(
            embeddings=self.made["embed"].key, neighbors=self.made["neighbors"].key, labels=self.labels.key,
            layout=self.made["map"].key, counts=self.made["count"].key, topics=self.topics.key, cells="",
            settings=self._settings(config),
            edits="any" if {EDIT, RENAME} & self.made.keys() else "",
            unedited=() if self.unedited is None else (self.unedited.key, self.made["label"].key),
            clusters=self.made["cluster"].key if given is not None and has_fitted(store, given) else "",
            renamed=self.made[RENAME].key if RENAME in self.made else "",
        )  # fmt: skip
        return replace(fit, edits=digest_of(edits_of_fit(store, fit)))

    def _settings(self, config: UpdateTopicsConfig) -> str:
        """Return the digest of the run's config of its fit.

        The record has the key of an adapter where a config may have the name of its run; another adapter is noticed
        by the embeddings.
        """
        own, adapter = self.config.embed, getattr(config.embed, "adapter", None)
        if adapter and getattr(own, "adapter", None):
            own = own.model_copy(update={"adapter": adapter})
        return fit_settings(self.config.model_copy(update={"embed": own}))


@dataclass(frozen=True)
class Added:
    """What a series of updates needs of a run and the run itself does not.

    Attributes
    ----------
    arrivals : ArtifactRef
        By what the documents of the run are known again.
    cells : ArtifactRef
        The fitted vectors' cells, for new documents.
    ids : ArtifactRef
        The lineage of the topics: all are born, and their ids are their numbers.
    groups : ArtifactRef or None
        The ids of the groups of the tree; None without a tree.
    """

    arrivals: ArtifactRef
    cells: ArtifactRef
    ids: ArtifactRef
    groups: ArtifactRef | None = None


def adopted_state(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    run: Adoptable,
    added: Added,
    names: Mapping[int, str],
) -> TopicState:
    """Return the state of a run's topics, as if the run were the first update of its name; it is not saved.

    `names` are those that a person gave topics beside the runs.
    """
    fit = replace(run.fit(store, config), cells=added.cells.key)
    if fit.unedited:
        fit = replace(fit, unedited_ids=tuple(store.json(added.ids, "matching")["unedited_ids"]))
    state = refitted(store, None, fit, run.batch, added.arrivals, added.ids, names)
    if added.groups is not None:
        state = with_tree(store, state, run.made["tree"], added.groups)
    return with_model_names(store, state, run.made["name"]) if "name" in run.made else state


def not_yet_adopted(store: ArtifactStore, config: UpdateTopicsConfig, run: Adoptable) -> TopicState:
    """Return the state of a run's topics as far as a plan needs it: without what the run does not have."""
    tree = TreeState(run.made["tree"].key, (), 0) if "tree" in run.made else None
    return TopicState(run.fit(store, config), (run.batch,), (), (), {}, 0, None, {}, (), tree=tree)


def adoptable_run(store: ArtifactStore, runs: Path, name: str) -> Adoptable | None:
    """Return the newest published run of a topic model of a name, with its artifacts; None if there is none.

    Raises
    ------
    ArtifactError
        If an artifact of the run is not in the store, or a record cannot be read.
    """
    record = newest(runs, name, lambda each: is_published(each) and flow_of(each) == "topic_model")
    if record is None:
        return None
    again = "`topicflow run` with the same config makes a run that can be continued"
    try:
        config = parse_config(tomllib.loads(record["config"]), TopicModelConfig, called(record))
    except ValueError as error:
        raise ArtifactError(f"update: cannot continue from {called(record)}: {error}; {again}") from None
    made = {
        each["stage"]: ArtifactRef(each["kind"], each["key"], each["stage"], rows=each["rows"])
        for each in record["stages"]
        if each["stage"] in NEEDED
    }
    for ref in made.values():
        if (state := store.state(ref.kind, ref.key)) != "hit":
            msg = (
                f"update: cannot continue from {called(record)}: {ref.kind}/{ref.key} is {state} in {store.name}; "
                f"name the right --store, or {again}"
            )
            raise ArtifactError(msg)
    return Adoptable(record, config, made)


def check_adoptable(run: Adoptable, config: UpdateTopicsConfig) -> None:
    """Raise ConfigError if an update could not tell which documents are those of the run."""
    if run.config.load.split is not None:
        msg = (
            f"update: {called(run.record)} split its documents (load.split), and updates read whole documents; give "
            "the config of the updates another name"
        )
        raise ConfigError(msg)
    keys = ("id_column",) if run.config.load.id_column or config.load.id_column else BY_TEXT
    for key in keys:
        then, now = (getattr(each.load, key) for each in (run.config, config))
        if then != now:
            msg = (
                f"update: load.{key} was {_shown(then)} in {called(run.record)} and is {_shown(now)} now, so its "
                "documents would not be known again; give it the same value, or the config another name"
            )
            raise ConfigError(msg)


def _shown(value: object) -> str:
    return "not set" if value in (None, ()) else repr(value)
