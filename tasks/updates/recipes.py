"""Recipes of updates: a state and new data -> recipes.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.configs.sections.update import DriftConfig, MatchConfig, NewDocumentsConfig
from topicflow.tasks.documents import recipes as documents
from topicflow.tasks.given.recipes import given_fields
from topicflow.tasks.report import recipes as report
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import fields_of, library_versions
from topicflow.tasks.topics import recipes as topics

VERSIONS: Mapping[str, int] = {
    "new_documents": 2,
    "adopt": 1,
    "assign": 2,
    "drift": 1,
    "merge_batches": 1,
    "match": 1,
    "match_tree": 1,
    "overview": 5,
}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def new_documents(loading: LoadConfig, config: NewDocumentsConfig, source: str, state: str) -> Recipe:
    """Return the recipe of a `source` fingerprint's new documents for the state with that key, "" before the first."""
    fields = {**documents.load_fields(loading), "arrive": fields_of(config)}
    identity = {
        "source": source,
        "load": str(documents.VERSIONS["load"]),
    }  # load's code makes the documents
    return Recipe("new_documents", "arrivals", VERSIONS["new_documents"], fields, {"state": state}, identity)


def adopted(loading: LoadConfig, watermark: str | None, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the documents of a topic model's run as the first arrivals of a series of updates."""
    fields = {**documents.load_fields(loading), "watermark": watermark}
    return Recipe("adopt", "arrivals", VERSIONS["adopt"], fields, dict(inputs))


def cells(inputs: Mapping[str, str], seed: int) -> Recipe:
    """Return the recipe of the fitted vectors' cells, in which new documents find their nearest neighbours."""
    identity = library_versions("numpy", "numba")
    return Recipe("assign", "cells", VERSIONS["assign"], {}, dict(inputs), identity, seed)


def assign(inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the labels of new documents; the key of the cells identifies the fit."""
    identity = library_versions("numpy", "numba")
    return Recipe("assign", "labels", VERSIONS["assign"], {}, dict(inputs), identity)


def drift(config: DriftConfig, inputs: Mapping[str, str], n_updates: int) -> Recipe:
    """Return the recipe of the drift figures after `n_updates` runs since the fit."""
    fields = {**fields_of(config), "n_updates": n_updates}
    return Recipe("drift", "drifts", VERSIONS["drift"], fields, dict(inputs), library_versions("numpy"))


def merged_batches(batches: Sequence[str]) -> Recipe:
    """Return the recipe of the documents of several batches as one."""
    inputs = {str(number): key for number, key in enumerate(batches)}
    return Recipe("merge_batches", "documents", VERSIONS["merge_batches"], {}, inputs)


def lineage(config: MatchConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the lineage of a new fit's topics."""
    return Recipe(
        stage="match",
        kind="lineages",
        version=VERSIONS["match"],
        config=fields_of(config),
        inputs=dict(inputs),
        identity=library_versions("numpy", "scipy"),
    )


def group_ids(config: MatchConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the lasting ids of the groups of a tree."""
    fields = {"min_similarity": config.min_similarity, "min_share": config.min_share}
    identity = library_versions("numpy", "scipy")
    return Recipe("match_tree", "group-ids", VERSIONS["match_tree"], fields, dict(inputs), identity)


def overview(
    evaluating: EvaluateConfig,
    counting: CountConfig,
    reporting: ReportConfig,
    name: str,
    inputs: Mapping[str, str],
    names: str,
) -> Recipe:
    """Return the recipe of metrics and page of all documents so far; `names` is the digest of ids and names."""
    fields = {
        "evaluate": fields_of(evaluating),
        "report": fields_of(reporting.model_copy(update={"title": reporting.title or name})),
        "token_pattern": counting.token_pattern,
        "lowercase": counting.lowercase,
    }
    identity = {
        "names": names,
        "evaluate": str(topics.VERSIONS["evaluate"]),
        "report": str(report.VERSIONS["report"]),
    }
    identity |= library_versions("numpy", "scikit-learn", "plotly") | topics.words_of(counting.token_pattern)
    return Recipe("overview", "overviews", VERSIONS["overview"], fields, dict(inputs), identity)


def state(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a state, which is the state's content."""
    return Recipe("publish", "states", 1, dict(values))


FITTED_BY = ("seed", "embed", "neighbors", "reduce", "map", "cluster", "count", "label")
"""Sections that decide a fit, beside `topics`: if one of them changes, the next run refits."""


def fit_settings(config: TopicSections) -> str:
    """Return the digest of all sections that decide a fit; of given topics their content counts, not their file."""
    values = config.model_dump(mode="json", include=set(FITTED_BY))
    if isinstance(config.topics, ZeroShotTopics):
        values["topics"] = given_fields(config.topics)
    return digest(canonical_json(values))
