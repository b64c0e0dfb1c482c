"""Seeds: the seed of each document and its topic (n_docs,) -> the topics in which each seed ended.

seeds: the table `seeds`, a row for each seed and topic with documents in common: seed, name, n_documents (of the seed),
topic (-1 for none, null for a seed without documents), n_shared, share (of the seed's documents), share_of_topic (of
the topic's), ended (whether the seed ended there). The meta data have `figures`, and `unknown_words`, the words of each
seed that the corpus does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.core.clusters.clustering import LabelArray
from topicflow.tasks.core.clusters.quality import agreement
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.given import recipes
from topicflow.tasks.given.classes import wanted_topics
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

ENDED = 0.1
"""Minimum share of a seed's documents in a topic for the seed to have ended there."""

SCHEMA = {
    "seed": pl.Int32, "name": pl.String, "n_documents": pl.UInt32, "topic": pl.Int32, "n_shared": pl.UInt32,
    "share": pl.Float64, "share_of_topic": pl.Float64, "ended": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Seeded:
    """The artifacts that say where seeds ended; the fields are the recipe's inputs."""

    documents: ArtifactRef
    pulled: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}


@stage("seeds")
def seeds(context: Context, seeded: Seeded) -> ArtifactRef:
    """Return the artifact of the topics in which seeds ended, computing it on a miss."""
    store = context.store
    recipe = recipes.seeds(seeded.keys)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        given: list[Mapping[str, Any]] = store.meta(seeded.pulled)["seeds"]
        names = [str(seed["name"]) for seed in given]
        own, nearest = (np.asarray(store.array(seeded.pulled, name)) for name in ("seeds", "nearest"))
        labels = np.asarray(store.array(seeded.labels, "labels"))
        table = ended_table(own, labels, names)
        wanted = wanted_topics(store, seeded.documents, names)
        writer.save_table("seeds", table)
        writer.rows = len(names)
        writer.meta = {
            "figures": figures(table, own, nearest, labels, wanted),
            "unknown_words": unknown_words(store, seeded.counts, given),
        }
    return store.committed(recipe, writer)


def ended_table(own: LabelArray, labels: LabelArray, names: Sequence[str]) -> pl.DataFrame:
    """Return the table `seeds`: topics of each seed by decreasing share, for the seed of each document (n_docs,)."""
    sizes = np.bincount(labels + 1)
    documents = np.bincount(own[own >= 0], minlength=len(names))
    pairs, shared = np.unique(np.stack([own, labels])[:, own >= 0], axis=1, return_counts=True)
    rows = [
        (
            seed,
            names[seed],
            int(documents[seed]),
            topic,
            n,
            n / documents[seed],
            n / sizes[topic + 1],
            topic >= 0 and n >= ENDED * documents[seed],
        )
        for seed, topic, n in zip(*pairs.tolist(), shared.tolist(), strict=True)
    ]
    rows += [
        (seed, names[seed], 0, None, 0, 0.0, 0.0, False) for seed in np.flatnonzero(documents == 0).tolist()
    ]
    return pl.DataFrame(rows, SCHEMA, orient="row").sort(
        "seed", "n_shared", "topic", descending=[False, True, False], nulls_last=True
    )


def seed_of_topics(table: pl.DataFrame) -> dict[int, int]:
    """Return the seed of each topic in which one ended: of several, the one with the most documents in it."""
    first = (
        table.filter("ended")
        .sort("n_shared", "seed", descending=[True, False])
        .unique("topic", maintain_order=True, keep="first")
    )
    return dict(first.select("topic", "seed").iter_rows())


def figures(
    table: pl.DataFrame,
    own: LabelArray,
    nearest: LabelArray,
    labels: LabelArray,
    wanted: LabelArray | None,
) -> dict[str, float | int]:
    """Return how the topics of seeds compare with the nearest seed of each document.

    With classes of the names of seeds, NMI is that of these documents' topics and nearest seeds with their classes, and
    accuracy the share of them in a topic of their class's seed, or with it as their nearest.
    """
    of_topics = seed_of_topics(table)
    numbers = np.full(int(labels.max(initial=-1)) + 2, -1, np.int32)
    numbers[list(of_topics)] = list(of_topics.values())
    placed = numbers[labels]  # of no topic: the last one
    found: dict[str, float | int] = {
        "seeded_share": float((own >= 0).mean()),
        "seeds_empty": int((table["n_documents"] == 0).sum()),
        "seeds_without_topic": len(
            set(table.filter(pl.col("n_documents") > 0)["seed"]) - set(of_topics.values())
        ),
    }
    if (placed >= 0).any():
        found["seeded_as_nearest"] = float((placed == nearest)[placed >= 0].mean())
    if wanted is None or not (known := wanted >= 0).any():
        return found
    found["seeded_accuracy"] = float((placed == wanted)[known].mean())
    found["nearest_seed_accuracy"] = float((nearest == wanted)[known].mean())
    if len(np.unique(wanted[known])) > 1:
        found["seeded_nmi"] = agreement(labels[known], wanted[known])["nmi"]
        found["nearest_seed_nmi"] = agreement(nearest[known], wanted[known])["nmi"]
    return found


def unknown_words(
    store: ArtifactStore, counts: ArtifactRef, given: Sequence[Mapping[str, Any]]
) -> dict[str, list[str]]:
    """Return the words of each seed that are no words of the corpus; no entry for a seed of which all are."""
    if not any(seed["words"] for seed in given):
        return {}
    there = set(store.table(counts, "words").collect()["word"].str.to_lowercase())
    absent = {seed["name"]: [word for word in seed["words"] if word.lower() not in there] for seed in given}
    return {name: words for name, words in absent.items() if words}
