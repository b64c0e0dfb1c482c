"""Seeds of a run: the artifact of the stage `seeds` -> its table, record, metrics and remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import SEEDS
from topicflow.tasks.topics.named import with_topic_names

SHOWN = 5
"""Seeds or words that a remark lists."""


def write_seeds(
    folder: Path, store: ArtifactStore, stages: Mapping[str, ArtifactRef], topics: pl.DataFrame
) -> list[dict[str, Any]]:
    """Write seeds.parquet and seeds.csv, and return the topics in which each seed ended; nothing without seeds.

    `topics` has number (topic), name (name) and size (size) of each topic.
    """
    if SEEDS not in stages:
        return []
    named = with_topic_names(store.table(stages[SEEDS], "seeds"), topics).collect()
    sizes = topics.select("topic", pl.col("size").alias("topic_size"))
    table = named.join(sizes, on="topic", how="left", maintain_order="left")
    table.write_parquet(folder / "seeds.parquet")
    write_csv(table, folder / "seeds.csv")
    return [
        {
            "name": own["name"][0],
            "n_documents": own["n_documents"][0],
            "topics": own.filter("ended").select("topic", "topic_name", "topic_size", "share").to_dicts(),
        }
        for own in table.partition_by("seed", maintain_order=True)
    ]


def seed_figures(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> dict[str, float | int]:
    """Return the figures of seeds and of the nearest seed of each document, for a run's metrics."""
    return dict(store.meta(stages[SEEDS])["figures"]) if SEEDS in stages else {}


def seed_remarks(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> list[str]:
    """Return sentences on documents near seeds, on seeds and words without effect, and on known classes."""
    if SEEDS not in stages:
        return []
    meta, table = store.meta(stages[SEEDS]), store.table(stages[SEEDS], "seeds").collect()
    figures, n_seeds = meta["figures"], table["seed"].n_unique()
    said = [f"{figures['seeded_share']:.0%} of the documents are near one of the {n_seeds:,} seeds."]
    if "seeded_as_nearest" in figures:
        said[0] += (
            " Of the documents in topics of seeds, "
            f"{figures['seeded_as_nearest']:.0%} have the seed of their topic as the nearest one."
        )
    if shared := shared_topics(table):
        said.append(f"Seeds that ended in one topic: {_listed(shared)}.")
    if empty := table.filter(pl.col("n_documents") == 0)["name"].to_list():
        said.append(f"No document is near {_listed([repr(name) for name in empty])}.")
    said += [
        f"The corpus has no word {_listed([repr(word) for word in words])} of the seed {name!r}."
        for name, words in meta["unknown_words"].items()
    ][:SHOWN]
    if "seeded_nmi" in figures:
        said.append(
            f"Documents of a class with the name of a seed: their topics agree with the classes by NMI "
            f"{figures['seeded_nmi']:.3f}, their nearest seeds by {figures['nearest_seed_nmi']:.3f}; "
            f"{figures['seeded_accuracy']:.0%} are in a topic of their seed, and "
            f"{figures['nearest_seed_accuracy']:.0%} have it as the nearest."
        )
    return said


def shared_topics(table: pl.DataFrame) -> list[str]:
    """Return the names of the seeds of each topic in which two or more have most of their documents."""
    most = table.filter("ended").unique("seed", keep="first", maintain_order=True)
    named = most.group_by("topic", maintain_order=True).agg("name").filter(pl.col("name").list.len() > 1)
    return [" and ".join(map(repr, names)) for names in named["name"].to_list()]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN:,} more"
