"""Shares: documents, vectors, labels, counts and topics -> several topics of each document with their shares.

Documents that came after the fit of their topics are divided by the words of the fit, so that the shares of earlier
documents stay as they are.

`shares.parquet`: one row a document, `topic_shares` (topic, share), largest first, and, if asked for, `topic_words`
(word, topic, weight).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.slices import SharesConfig
from topicflow.tasks.core.words.joined_counts import moved_columns
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.shares import recipes
from topicflow.tasks.shares.estimate import Divided, Rows, TopicModelWords, divide
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.count import read_counts

MIN_SHARE = 0.01
"""Smaller shares are left out, unless nothing else is there."""

MAX_WORDS = 12
"""Words of a document that `topic_words` lists."""

MIN_BITS = 1.0
"""Minimum weight of a listed word: twice as frequent in its topic as elsewhere."""

SHARE = pl.Struct({"topic": pl.Int32, "share": pl.Float32})
WORD = pl.Struct({"word": pl.String, "topic": pl.Int32, "weight": pl.Float32})


@dataclass(frozen=True)
class FittedWords:
    """The documents from whose words the topics are known: the labels and the counts of a fit."""

    labels: ArtifactRef
    counts: ArtifactRef


@dataclass(frozen=True)
class Divisible:
    """The artifacts that shares are made from; their keys are the recipe's inputs."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef
    topics: ArtifactRef

    fitted: FittedWords | None = None
    """The fit of the topics, if the documents came after it."""

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        own = {role: ref.key for role, ref in vars(self).items() if role != "fitted"}
        of_fit = {} if self.fitted is None else vars(self.fitted)
        return own | {f"fitted_{role}": ref.key for role, ref in of_fit.items()}


def share_lists(divided: Divided, owners: NDArray[np.int64], n_owners: int, top: int) -> pl.Series:
    """Return `topic_shares` of each document (n_owners,), largest first; they sum to 1.

    `owners` are the documents of the rows; a document of several passages has the mean of their shares.
    """
    n = divided.topics.shape[1]
    long = pl.DataFrame(
        {
            "owner": np.repeat(owners, n),
            "topic": divided.topics.ravel(),
            "share": (divided.shares / np.bincount(owners, minlength=n_owners)[owners][:, None]).ravel(),
        }
    )
    summed = long.filter(pl.col("share") > 0).group_by("owner", "topic").agg(pl.col("share").sum())
    best = (
        summed.sort("owner", "share", "topic", descending=[False, True, False])
        .with_columns(place=pl.int_range(pl.len()).over("owner"))
        .filter((pl.col("place") < top) & ((pl.col("share") >= MIN_SHARE) | (pl.col("place") == 0)))
    )
    whole = pl.col("share") / pl.col("share").sum().over("owner")
    pairs = pl.struct(pl.col("topic"), whole.cast(pl.Float32).alias("share")).alias("topic_shares")
    lists = best.select("owner", pairs).group_by("owner", maintain_order=True).agg("topic_shares")
    owner = pl.DataFrame({"owner": np.arange(n_owners)})
    found = owner.join(lists, on="owner", how="left", maintain_order="left")["topic_shares"]
    return found.cast(pl.List(SHARE)).fill_null(pl.Series([[]], dtype=pl.List(SHARE)))


def word_lists(
    divided: Divided, rows: Rows, words: list[str], owners: NDArray[np.int64], n_owners: int
) -> pl.Series:
    """Return `topic_words` of each document: the words that speak most for one topic, with topic and weight in bits."""
    entries = np.repeat(owners, np.diff(np.asarray(rows.counts.indptr)))
    kept = np.flatnonzero(divided.word_weights >= MIN_BITS)
    long = pl.DataFrame(
        {
            "owner": entries[kept],
            "column": np.asarray(rows.counts.indices)[kept],
            "topic": divided.word_topics[kept],
            "weight": divided.word_weights[kept],
        }
    )
    order = long.sort("owner", "weight", "column", "topic", descending=[False, True, False, False])
    best = order.unique(["owner", "column"], keep="first", maintain_order=True).filter(
        pl.int_range(pl.len()).over("owner") < MAX_WORDS
    )
    spelled = pl.Series("word", words, pl.String).gather(best["column"])
    lists = (
        best.with_columns(spelled)
        .select("owner", pl.struct("word", "topic", "weight").alias("topic_words"))
        .group_by("owner", maintain_order=True)
        .agg("topic_words")
    )
    owner = pl.DataFrame({"owner": np.arange(n_owners)})
    found = owner.join(lists, on="owner", how="left", maintain_order="left")["topic_words"]
    return found.cast(pl.List(WORD)).fill_null(pl.Series([[]], dtype=pl.List(WORD)))


@stage("shares")
def shares(context: Context, divisible: Divisible, config: SharesConfig) -> ArtifactRef:
    """Return the shares' artifact, computing it on a miss."""
    store = context.store
    recipe = recipes.shares(config, divisible.keys)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        rows, model, words = _read(store, divisible)
        owners = owners_of(store, divisible.documents, len(rows.labels))
        n_owners = int(owners.max(initial=-1)) + 1
        divided = _divided(rows, model, config)
        table = share_lists(divided, owners, n_owners, config.top).to_frame()
        if config.words:
            table = table.with_columns(word_lists(divided, rows, words, owners, n_owners))
        writer.save_table("shares", table)
        writer.rows = n_owners
    return store.committed(recipe, writer)


def _read(store: ArtifactStore, divisible: Divisible) -> tuple[Rows, TopicModelWords | None, list[str]]:
    """Return the rows, what the topics are made of (None without any topic), and the words of both."""
    own = read_counts(store, divisible.counts)
    labels = np.asarray(store.array(divisible.labels, "labels"))
    centroids = np.asarray(store.array(divisible.topics, "centroids"))
    if (fitted := divisible.fitted) is None:
        (counts, words), (known, of_known) = own, (own[0], labels)
    else:
        known, words = read_counts(store, fitted.counts)
        of_known = np.asarray(store.array(fitted.labels, "labels"))
        counts = with_columns(*own, words)
    rows = Rows(
        counts,
        store.array(divisible.embeddings, "embeddings"),
        labels,
        np.asarray(store.array(divisible.labels, "probabilities")),
        are_counted=fitted is None,
    )
    return rows, TopicModelWords.of(known, of_known, centroids) if len(centroids) else None, words


def with_columns(counts: csr_matrix, words: list[str], wanted: list[str]) -> csr_matrix:
    """Return counts (n_rows, n_wanted) of the wanted words; those of all other words are left out."""
    places = {word: column for column, word in enumerate(wanted)}
    columns = np.array([places.get(word, -1) for word in words], np.int32)
    return moved_columns(counts, columns, len(wanted))


def _divided(rows: Rows, model: TopicModelWords | None, config: SharesConfig) -> Divided:
    """Return the shares of all rows; empty ones without any topic."""
    n = len(rows.labels)
    if model is None:
        entries = len(rows.counts.data)
        none = np.zeros((n, 0))
        return Divided(
            none.astype(np.int32), none, np.zeros(entries, np.int32), np.zeros(entries, np.float32)
        )
    return divide(rows, model, config.vector_weight)


def owners_of(store: ArtifactStore, documents: ArtifactRef, n_rows: int) -> NDArray[np.int64]:
    """Return the document of each row (n_rows,), in the order of documents.parquet."""
    if not store.meta(documents)["has_passages"]:
        return np.arange(n_rows)
    parents = store.table(documents, "documents").select("parent").collect()
    places = parents.unique(maintain_order=True).with_row_index("place")
    found = parents.join(places, on="parent", how="left", maintain_order="left")["place"]
    return found.to_numpy().astype(np.int64)
