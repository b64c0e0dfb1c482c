"""Classes: names of given topics, and the classes of labelled documents -> the topic of each document's class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from topicflow.tasks.core.clusters.clustering import LabelArray
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def wanted_topics(store: ArtifactStore, documents: ArtifactRef, names: Sequence[str]) -> LabelArray | None:
    """Return the topic (n,) with the name of each document's class, -1 if there is none; None without classes."""
    table = store.table(documents, "documents")
    if "label" not in table.collect_schema():
        return None
    numbers = {plain(name): number for number, name in enumerate(names)}
    classes = table.select(pl.col("label").cast(pl.String).fill_null("")).collect()["label"]
    of_class = {each: numbers.get(plain(each), -1) for each in classes.unique()}
    wanted: LabelArray = classes.replace_strict(of_class, return_dtype=pl.Int32).to_numpy()
    return wanted


def plain(name: str) -> str:
    """Return a name in the form in which names of topics and classes are compared."""
    return re.sub(r"[\W_]+", " ", name).strip().casefold()
