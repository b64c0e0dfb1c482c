"""Topic state: the result of an update for the next one, as one artifact of references; and the last run with one.

A state names every artifact of the documents so far, so that an update can start from any state, even if earlier runs
were deleted. Its manifest lists them (`refers_to`), and `gc` keeps the listed artifacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import RunRecord, is_published, list_runs
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes


@dataclass(frozen=True)
class Batch:
    """Keys of documents that came together, of their vectors, labels (numbers of the fit) and places on the map."""

    documents: str
    embeddings: str
    labels: str
    layout: str
    counts: str = ""
    """Key of the counts of all words; empty if no section of the config needs them."""
    shares: str = ""
    """Key of the topics of each document; empty without a section `shares`."""


@dataclass(frozen=True)
class Fit:
    """Keys of the fit to which new documents are assigned."""

    embeddings: str
    neighbors: str
    labels: str
    layout: str
    counts: str
    topics: str
    cells: str
    settings: str
    """Digest of the config of the fit: another config needs another fit."""
    edits: str = ""
    """Digest of the edits that a person made to its topics; empty without edits."""
    unedited: tuple[str, ...] = ()
    """Keys of the labels and of the topics before these edits; empty without edits."""
    unedited_ids: tuple[int, ...] = ()
    """Lasting ids of the topics before these edits; empty without edits."""
    clusters: str = ""
    """Key of the labels before given topics, if new documents are compared with these; empty without any."""

    renamed: str = ""
    """Key of the table with the names that a person gave by edits; empty without renames."""

    def without_edits(self) -> tuple[ArtifactRef, ArtifactRef]:
        """Return the labels and the topics before any edit."""
        labels, topics = self.unedited or (self.labels, self.topics)
        return ArtifactRef("labels", labels, "cluster"), ArtifactRef("topics", topics, "label")


@dataclass(frozen=True)
class Name:
    """A topic's name and its origin: `keywords`, `model` (a language model); by a person: `person`, `edit`, `given`."""

    name: str
    by: str = "keywords"


@dataclass(frozen=True)
class TreeState:
    """Key of a fit's tree; `ids[i]` is the lasting id of its group i, and no group has had `next_id` yet.

    `names` are those that a language model gave its groups, by lasting id.
    """

    key: str
    ids: tuple[int, ...]
    next_id: int
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """One update in the chain: its documents, and whether topics were refitted."""

    number: int
    watermark: str | None
    n_new: int
    n_late: int
    refit: bool


@dataclass(frozen=True)
class TopicState:
    """The state of a series of updates; `ids[i]` is the lasting id of topic i of the fit.

    `lineages` are the numbers of the runs that refitted, with the keys of their lineages.
    """

    fit: Fit
    batches: tuple[Batch, ...]
    arrivals: tuple[str, ...]
    ids: tuple[int, ...]
    names: Mapping[int, Name]
    next_id: int
    watermark: str | None
    schema: Mapping[str, str]
    updates: tuple[Update, ...]
    lineages: tuple[tuple[int, str], ...] = ()
    drift: str | None = None
    tree: TreeState | None = None
    key: str = field(default="", compare=False)

    @property
    def number(self) -> int:
        """The number of runs that have added documents."""
        return self.updates[-1].number

    @property
    def n_since_fit(self) -> int:
        """The number of runs since the last refit."""
        return next(i for i, update in enumerate(reversed(self.updates)) if update.refit)

    @property
    def ids_without_edits(self) -> tuple[int, ...]:
        """The lasting ids of the fit's topics as they are without edits."""
        return self.fit.unedited_ids if self.fit.unedited else self.ids

    @property
    def refers_to(self) -> list[list[str]]:
        """Kind and key of every artifact on which the state depends."""
        fit = self.fit
        named = [
            ("embeddings", fit.embeddings), ("neighbors", fit.neighbors), ("labels", fit.labels),
            ("reduced", fit.layout), ("counts", fit.counts), ("topics", fit.topics), ("cells", fit.cells),
        ]  # fmt: skip
        for batch in self.batches:
            named += [("documents", batch.documents), ("embeddings", batch.embeddings)]
            named += [("labels", batch.labels), (_layout_kind(batch), batch.layout)]
            named += [("counts", batch.counts)] if batch.counts else []
            named += [("shares", batch.shares)] if batch.shares else []
        named += [("arrivals", key) for key in self.arrivals]
        named += [("lineages", key) for _, key in self.lineages]
        named += [("drifts", self.drift)] if self.drift else []
        named += [*zip(("labels", "topics"), fit.unedited, strict=False)]
        named += [("labels", fit.clusters)] if fit.clusters else []
        named += [("renamed", fit.renamed)] if fit.renamed else []
        named += [("trees", self.tree.key)] if self.tree else []
        return [list(pair) for pair in dict.fromkeys(named)]


def _layout_kind(batch: Batch) -> str:
    """Return the kind of a batch's places: those of assigned documents are stored with their labels."""
    return "labels" if batch.layout == batch.labels else "reduced"


def documents_of(batch: Batch) -> ArtifactRef:
    """Return the reference of a batch's documents."""
    return ArtifactRef("documents", batch.documents, "load")


def sized(store: ArtifactStore, ref: ArtifactRef) -> ArtifactRef:
    """Return a reference with the number of rows of its artifact."""
    return replace(ref, rows=int(store.manifest(ref.kind, ref.key)["rows"]))


def batch_stages(batch: Batch) -> dict[str, ArtifactRef]:
    """Return a batch's artifacts by the stages of a topic model that make such artifacts."""
    shares = {"shares": ArtifactRef("shares", batch.shares, "shares")} if batch.shares else {}
    return {
        "load": documents_of(batch),
        "embed": ArtifactRef("embeddings", batch.embeddings, "embed"),
        "cluster": ArtifactRef("labels", batch.labels, "cluster"),
        "map": ArtifactRef(_layout_kind(batch), batch.layout, "reduce"),
        **shares,
    }


def save_state(store: ArtifactStore, state: TopicState) -> ArtifactRef:
    """Return the state's artifact, written if it does not exist."""
    values = _values_of(state)
    recipe = recipes.state(values)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        writer.save_json("state", values)
        writer.rows = sum(update.n_new for update in state.updates)
        writer.meta = {"refers_to": state.refers_to}
    return store.committed(recipe, writer)


def key_of(state: TopicState) -> str:
    """Return the key that the state's artifact has, or would have."""
    return recipes.state(_values_of(state)).key


def _values_of(state: TopicState) -> dict[str, Any]:
    """Return a state as JSON values; without a feature they are what they were before the feature existed."""
    values = {name: value for name, value in asdict(state).items() if name != "key"}
    unused: tuple[str, ...] = () if state.fit.edits else ("edits", "unedited", "unedited_ids")
    unused += tuple(name for name in ("clusters", "renamed") if not getattr(state.fit, name))
    values["fit"] = {name: value for name, value in values["fit"].items() if name not in unused}
    values["batches"] = [
        {name: value for name, value in batch.items() if value or name not in {"counts", "shares"}}
        for batch in values["batches"]
    ]
    if state.tree is None:
        del values["tree"]
    else:
        values["tree"] = _tree_values(state.tree)
    values["names"] = {str(number): vars(name) for number, name in state.names.items()}
    return values


def read_state(store: ArtifactStore, key: str) -> TopicState:
    """Return the state with a key.

    Raises
    ------
    ArtifactError
        If it, or an artifact on which it depends, is not in the store.
    """
    if store.state("states", key) != "hit":
        raise ArtifactError(f"store: {store.name}: states/{key} is {store.state('states', key)}")
    try:
        values: dict[str, Any] = store.json(ArtifactRef("states", key, "publish"), "state")
    except DamagedError:  # no command makes a state again, so the store's advice would be wrong
        raise ArtifactError(f"store: {store.name}: states/{key} is {store.state('states', key)}") from None
    state = TopicState(
        fit=Fit(
            **values["fit"]
            | {name: tuple(values["fit"].get(name, ())) for name in ("unedited", "unedited_ids")}
        ),
        batches=tuple(Batch(**batch) for batch in values["batches"]),
        arrivals=tuple(values["arrivals"]),
        ids=tuple(values["ids"]),
        names={int(number): Name(**name) for number, name in values["names"].items()},
        next_id=values["next_id"],
        watermark=values["watermark"],
        schema=values["schema"],
        updates=tuple(Update(**update) for update in values["updates"]),
        lineages=tuple((number, lineage) for number, lineage in values["lineages"]),
        drift=values["drift"],
        tree=_read_tree(values.get("tree")),
    )
    for kind, own in state.refers_to:
        if (found := store.state(kind, own)) != "hit":
            raise ArtifactError(f"store: {store.name}: {kind}/{own} is {found}")
    return replace(state, key=key)


def _tree_values(tree: TreeState) -> dict[str, Any]:
    """Return a tree as JSON values; one without names as it was before there were any."""
    names = {str(number): name for number, name in tree.names.items()}
    values = {"key": tree.key, "ids": list(tree.ids), "next_id": tree.next_id}
    return values | ({"names": names} if names else {})


def _read_tree(values: Mapping[str, Any] | None) -> TreeState | None:
    if values is None:
        return None
    names = {int(number): name for number, name in values.get("names", {}).items()}
    return TreeState(values["key"], tuple(values["ids"]), values["next_id"], names)


def published_runs(runs: Path, name: str) -> list[RunRecord]:
    """Return the records of a series' published updates, the last one of the chain first.

    The order is that of the chain, not of the clock: after a clock was set back, a later run has an earlier id. So
    every record of the series must be readable: each may be the last of the chain.

    Raises
    ------
    ArtifactError
        If one cannot be read.
    """
    records = [record for record in list_runs(runs, name) if is_published(record) and "update" in record]
    return sorted(records, key=lambda record: int(record["update"]["number"]), reverse=True)


def last_published(store: ArtifactStore, runs: Path, name: str) -> tuple[RunRecord, TopicState] | None:
    """Return the last published run whose state is complete, with the state; None if there is no run yet.

    A run that was deleted, or whose artifacts are gone, is skipped: its documents are new again.

    Raises
    ------
    ArtifactError
        If there are published runs, but none has all of its artifacts in the store, or a record cannot be read.
    """
    problems = []
    for record in published_runs(runs, name):
        try:
            state = read_state(store, record["update"]["state"])
        except ArtifactError as error:
            problems.append(f"{record['run_id']} ({error})")
            continue
        if problems:
            LOG.warning("continuing from %s; skipped: %s", record["run_id"], "; ".join(problems))
        return record, state
    if not problems:
        return None
    msg = (
        f"{runs / name}: no run has a complete state in the store, last {problems[0]}; name the right --store, "
        "restore it, or give the config another name to begin again"
    )
    raise ArtifactError(msg)
