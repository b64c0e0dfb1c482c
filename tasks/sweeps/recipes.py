"""Recipes of a sweep: a corpus, a setting and the sweep itself -> recipes.

The stages and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.sweep import SweepSection
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import fields_of, library_versions
from topicflow.tasks.topics import recipes as topics

VERSIONS: Mapping[str, int] = {"setting": 1, "sweep": 1, "draw": 1, "confirm": 1, "page": 2}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def fits_of(
    config: TopicModelConfig, corpus: topics.CorpusKeys, seed: int, seeds: int
) -> list[dict[str, Recipe]]:
    """Return the recipes of a setting with the run's seed, and of its vectors and labels with each further seed.

    There are no further ones if the seed decides no label.
    """
    first = topics.fit(config, corpus, seed)
    if first["reduce"].seed is None and first["cluster"].seed is None:
        return [first]
    return [first] + [
        {
            name: topics.fit(config, corpus, seed + further)[name]
            for name in ("neighbors", "reduce", "cluster")
        }
        for further in range(1, seeds)
    ]


def setting(config: TopicModelConfig, corpus: topics.CorpusKeys, seed: int, seeds: int) -> Recipe:
    """Return the recipe of a setting's result: its figures, and the agreement over seeds."""
    fits = fits_of(config, corpus, seed, seeds)
    inputs = {f"labels-{place}": each["cluster"].key for place, each in enumerate(fits)}
    return Recipe(
        stage="setting",
        kind="settings",
        version=VERSIONS["setting"],
        inputs={"metrics": fits[0]["evaluate"].key, **inputs},
        identity=library_versions("numpy", "scikit-learn"),
    )


def sweep(
    config: SweepSection,
    settings: Mapping[int, str],
    values: Sequence[Mapping[str, Any]],
    skipped: Sequence[str],
) -> Recipe:
    """Return the recipe of a sweep's table; `settings` maps the number of each setting to the key of its result."""
    about = {"values": digest(canonical_json(list(values))), "skipped": digest(canonical_json(list(skipped)))}
    return Recipe(
        stage="sweep",
        kind="sweeps",
        version=VERSIONS["sweep"],
        config={**fields_of(config, leave_out={"vary", "draws", "finalists", "max_settings"}), **about},
        inputs={f"setting-{number}": key for number, key in settings.items()},
    )


def draw(embeddings: str, number: int) -> Recipe:
    """Return the recipe of a draw's embeddings."""
    return Recipe("draw", "embeddings", VERSIONS["draw"], {"draw": number}, {"embeddings": embeddings})


def drawn(config: TopicModelConfig, corpus: topics.CorpusKeys, seed: int, number: int) -> Recipe:
    """Return the recipe of a setting's figures on a draw; all sections that decide them are in it."""
    own = topics.CorpusKeys(
        corpus.documents, draw(corpus.embeddings, number).key, corpus.counts, corpus.encoder
    )
    made = topics.fit(config, own, seed)
    return Recipe(
        stage="draw",
        kind="draws",
        version=VERSIONS["draw"],
        config={"draw": number},
        inputs={name: made[name].key for name in ("cluster", "label", "evaluate")},
        identity=made["evaluate"].identity,
    )


def confirm(
    finalists: Mapping[int, Sequence[str]], labels: Mapping[int, str], scale: Mapping[str, Any]
) -> Recipe:
    """Return the recipe of a recommendation: the draws of each finalist, its labels on all documents, the scale."""
    inputs = {
        f"draw-{number}-{place}": key for number, keys in finalists.items() for place, key in enumerate(keys)
    }
    return Recipe(
        stage="confirm",
        kind="confirmations",
        version=VERSIONS["confirm"],
        config={"scale": digest(canonical_json(dict(scale))), "finalists": list(finalists)},
        inputs={**inputs, **{f"labels-{number}": key for number, key in labels.items()}},
        identity=library_versions("numpy", "scikit-learn"),
    )


def page(name: str, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of a sweep's page."""
    return Recipe("page", "pages", VERSIONS["page"], {"name": name}, dict(inputs))
