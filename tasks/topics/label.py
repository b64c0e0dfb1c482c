"""Label: labels (n_docs,), counts (n_docs, n_words), embeddings (n_docs, dim) -> topics with keywords, names, examples.

The topics are also a BERTopic model: `BERTopic.load` reads the files that are saved here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import (
    ApiEmbed,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import topic_centroids
from topicflow.tasks.core.clusters.central import closest_rows
from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray
from topicflow.tasks.core.words.counts import emphasize, top_words, topic_counts, weigh_classes
from topicflow.tasks.core.words.keywords import closest_words, distinct_names, diverse_words
from topicflow.tasks.core.words.seed_words import raise_seed_words, seed_shares
from topicflow.tasks.encoding.adapters import apply_adapter, find_adapter
from topicflow.tasks.encoding.embed import text_parts, vectors_of
from topicflow.tasks.encoding.encoder_files import EncoderFiles, find_encoder
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.bertopic_files import save_model
from topicflow.tasks.topics.count import counted_with, read_counts
from topicflow.tasks.topics.tokenization import vectorizer_params

Keywords = list[list[tuple[str, float]]]
"""The words of each topic with weights, best first."""


@dataclass(frozen=True)
class TopicWords:
    """c-TF-IDF of the topics.

    Attributes
    ----------
    weights : sparse matrix of shape (n_topics + n_noise, n_words), float64
        c-TF-IDF; row 0 is noise if there is any.
    scores : sparse matrix of shape (n_topics + n_noise, n_words), float64
        The weights after `spread` and `exclusivity`, which rank the keywords.
    words : list of str
        The words of the columns.
    idf : ndarray of shape (n_words,), float64
        Factor of a word's share of its topic.
    first : int
        Label of row 0: -1 with noise, otherwise 0.
    """

    weights: csr_matrix
    scores: csr_matrix
    words: list[str]
    idf: NDArray[np.float64]
    first: int

    def candidates(self, n: int) -> Keywords:
        """Return the `n` best words of each topic with their scores, without noise."""
        return [
            [(self.words[i], weight) for i, weight in zip(columns.tolist(), weights.tolist(), strict=True)]
            for columns, weights in top_words(self.scores[-self.first :], n)
        ]


def weigh_words(
    counts: csr_matrix, words: list[str], labels: LabelArray, config: LabelConfig, n_topics: int = 0
) -> TopicWords:
    """Return the c-TF-IDF of the topics; the values equal BERTopic's.

    Parameters
    ----------
    counts : sparse matrix of shape (n_docs, n_words), uint8, uint16 or int32
        Word counts of the documents.
    words : list of str
        The words of its columns.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none; noise is a separate class, as in BERTopic.
    config : LabelConfig
        Weighting.
    n_topics : int
        Number of topics if the last ones have no documents.

    Notes
    -----
    O(non-zero counts), for topics of any size.
    """
    first = int(min(labels.min(initial=0), 0))
    classes, present = topic_counts(counts, labels, first, n_topics)
    if 0 in classes.shape:
        empty = classes.astype(np.float64)
        return TopicWords(empty, empty, words, np.empty(0), first)
    weights, idf = weigh_classes(
        classes, bm25_weighting=config.bm25_weighting, reduce_frequent_words=config.reduce_frequent_words
    )
    sizes = np.bincount(labels - first, minlength=classes.shape[0])
    scores = emphasize(weights, classes, present, sizes, config.spread, config.exclusivity)
    return TopicWords(weights, scores, words, idf, first)


def with_seed_words(
    store: ArtifactStore, topic_words: TopicWords, labels: LabelArray, seeds: Seeds
) -> TopicWords:
    """Return the words of topics with higher scores of seed words where their seeds have documents."""
    own = [seed["words"] for seed in store.meta(seeds.pulled)["seeds"]]
    first, scores = topic_words.first, topic_words.scores
    shares = seed_shares(
        np.asarray(store.array(seeds.pulled, "seeds")), labels, len(own), scores.shape[0] + first
    )
    shares = np.concatenate([np.zeros((-first, len(own))), shares])
    raised = raise_seed_words(scores, topic_words.words, own, shares, seeds.word_weight)
    return replace(topic_words, scores=raised)


def choose_keywords(
    candidates: Keywords, centroids: FloatArray, vectors: Mapping[str, FloatArray], config: LabelConfig
) -> Keywords:
    """Return each topic's keywords: the candidates closest to it (keybert) or most different from each other (mmr).

    Parameters
    ----------
    candidates : list of lists of (str, float)
        c-TF-IDF words of each topic with weights, best first.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embeddings of the topics.
    vectors : mapping of str to ndarray of shape (dim,)
        Unit vectors of the candidate words.
    config : LabelConfig
        Representation and number of words.
    """
    chosen: Keywords = []
    for topic, words in enumerate(candidates):
        if not words:
            chosen.append([])
            continue
        stacked = np.stack([vectors[word] for word, _ in words])
        if config.representation == "keybert":
            rows, similarity = closest_words(stacked, centroids[topic], config.top_n_words)
            chosen.append([(words[i][0], float(s)) for i, s in zip(rows, similarity, strict=True)])
        else:
            weights = np.array([weight for _, weight in words], np.float32)
            rows = diverse_words(stacked, weights / weights.max(), config.top_n_words, config.diversity)
            chosen.append([words[i] for i in rows])
    return chosen


def distinct_rows(
    candidates: Sequence[NDArray[np.int64]], rows: NDArray[np.int64], digests: NDArray[np.void], n: int
) -> list[list[int]]:
    """Return the first `n` candidates of each topic with distinct texts.

    Parameters
    ----------
    candidates : sequence of ndarray
        Rows of each topic, best first.
    rows : ndarray of shape (n_rows,), int64
        All rows that are candidates of any topic, ascending.
    digests : ndarray of shape (n_rows,)
        Digests of their texts.
    n : int
        Number of rows of each topic.
    """
    chosen = []
    for own in candidates:
        taken: dict[bytes, int] = {}
        for row, place in zip(own.tolist(), np.searchsorted(rows, own).tolist(), strict=True):
            taken.setdefault(digests[place].tobytes(), row)
            if len(taken) == n:
                break
        chosen.append(list(taken.values()))
    return chosen


def representative_rows(
    store: ArtifactStore, documents: ArtifactRef, candidates: Sequence[NDArray[np.int64]], n: int
) -> list[list[int]]:
    """Return the first `n` candidates of each topic with distinct texts; reads the documents part by part.

    Memory is 16 bytes for each candidate, for texts of any length.
    """
    rows = np.sort(np.concatenate([*candidates, np.empty(0, np.int64)]))
    digests, start, low = [text_digests([])], 0, 0
    for texts in text_parts(store, documents):
        high = int(np.searchsorted(rows, start + len(texts)))
        digests.append(text_digests(texts.gather(rows[low:high] - start)))
        start, low = start + len(texts), high
    return distinct_rows(candidates, rows, np.concatenate(digests), n)


def topics_table(
    keywords: Keywords,
    labels: LabelArray,
    representatives: list[list[int]],
    doc_ids: pl.Series,
    config: LabelConfig,
) -> pl.DataFrame:
    """Return the topics as a table: topic, size, name, keywords, weights, representatives, row of the centroid."""
    words = [[word for word, _ in one] for one in keywords]
    every = iter(doc_ids.gather([row for rows in representatives for row in rows]).to_list())
    sizes = np.bincount(labels[labels >= 0], minlength=len(keywords))
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "topic": pl.Int32,
        "size": pl.UInt32,
        "name": pl.String,
        "keywords": pl.List(pl.String),
        "weights": pl.List(pl.Float32),
        "representative": pl.List(pl.String),
        "representative_rows": pl.List(pl.UInt32),
        "centroid": pl.UInt32,
    }
    return pl.DataFrame(
        {
            "topic": list(range(len(keywords))),
            "size": sizes.tolist(),
            "name": distinct_names(words, config.n_name_words),
            "keywords": words,
            "weights": [[weight for _, weight in one] for one in keywords],
            "representative": [list(islice(every, len(rows))) for rows in representatives],
            "representative_rows": representatives,
            "centroid": list(range(len(keywords))),
        },
        schema=schema,
    )


def with_given_names(topics: pl.DataFrame, of_labels: Mapping[str, Any]) -> pl.DataFrame:
    """Return the topics with the names that the labels' meta data give: those of classes, and those of a person.

    A topic whose name there is None keeps the one that is made of its keywords. If a person gave names, the column
    `named_by` says whose names they are.
    """
    if given := of_labels.get("names"):
        names = [own if name is None else name for name, own in zip(given, topics["name"], strict=True)]
        topics = topics.with_columns(pl.Series("name", names, dtype=pl.String))
    if persons := of_labels.get("named_by_person"):
        by = pl.when(pl.col("topic").is_in(persons)).then(pl.lit("person")).otherwise(pl.lit("keywords"))
        topics = topics.with_columns(by.alias("named_by"))
    return topics


@dataclass(frozen=True)
class Seeds:
    """The artifact with the seed of each document and the words of seeds, and how much their weight is raised."""

    pulled: ArtifactRef
    word_weight: float

    @property
    def key(self) -> tuple[str, float]:
        """What the recipe of topics has of it."""
        return self.pulled.key, self.word_weight


@dataclass(frozen=True)
class Clustered:
    """The artifacts that topics are made from."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef
    seeds: Seeds | None = None
    """The seeds, if there are any."""


@stage("label")
def label(
    context: Context,
    clustered: Clustered,
    config: LabelConfig,
    counting: CountConfig,
    encoding: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed | ImagesEmbed,
) -> ArtifactRef:
    """Return the topics' artifact, computing it on a miss; `encoding` has embedded the documents."""
    store, documents, embeddings = context.store, clustered.documents, clustered.embeddings
    labels, counts = clustered.labels, clustered.counts
    embeds_words = config.representation != "ctfidf"
    files = (
        find_encoder(encoding, context.runtime.device, store)
        if embeds_words and not isinstance(encoding, PrecomputedEmbed | ImagesEmbed)
        else None
    )
    encoder, seeds = files.key if files else "precomputed", clustered.seeds
    recipe = recipes.label(
        config,
        documents.key,
        embeddings.key,
        labels.key,
        counts.key,
        encoder,
        seeds.key if seeds else None,
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        vectors, topics = store.array(embeddings, "embeddings"), np.asarray(store.array(labels, "labels"))
        n_topics = len(store.meta(labels).get("names") or ())  # a given topic may have no documents
        topic_words = weigh_words(*read_counts(store, counts), topics, config, n_topics)
        if seeds is not None:
            topic_words = with_seed_words(store, topic_words, topics, seeds)
        everything = topic_centroids(vectors, topics, topic_words.first, n_topics)
        centroids = everything[-topic_words.first :]
        keywords = topic_words.candidates(config.top_n_words)
        if (
            config.representation != "ctfidf"
            and files
            and not isinstance(encoding, PrecomputedEmbed | ImagesEmbed)
        ):
            candidates = topic_words.candidates(config.n_candidates)
            words = _embed_words(store, writer, candidates, files, encoding, context.runtime)
            keywords = choose_keywords(candidates, centroids, words, config)
        # a topic with many copies gets fewer examples instead of a longer search
        closest = closest_rows(vectors, topics, centroids, 20 * config.n_representative)
        rows = representative_rows(store, documents, closest, config.n_representative)
        doc_ids = store.table(documents, "documents").select("doc_id").collect()["doc_id"]
        described = topics_table(keywords, topics, rows, doc_ids, config)
        described = with_given_names(described, store.meta(labels))
        writer.save_table("topics", described)
        writer.save_array("centroids", centroids)
        save_model(
            writer.folder / "model",
            topics,
            everything,
            described,
            topic_words.weights,
            topic_words.idf,
            topic_words.words,
            config,
            vectorizer_params(counted_with(store, counts, counting)),
        )
        writer.rows = described.height
        writer.meta["representation"] = config.representation
    return store.committed(recipe, writer)


def _embed_words(
    store: ArtifactStore,
    writer: ArtifactWriter,
    candidates: Keywords,
    files: EncoderFiles,
    encoding: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    runtime: RuntimeConfig,
) -> dict[str, FloatArray]:
    """Return the unit vectors of all candidate words, embedding only new ones, and record their chunks."""
    words = pl.Series("word", sorted({word for topic in candidates for word, _ in topic}), dtype=pl.String)
    found, chunks = vectors_of(store, words, files, encoding, runtime)
    moved = apply_adapter(store, find_adapter(store, encoding, files.key, runtime), found)
    writer.meta |= {"encoder": files.key, "chunks": chunks}
    return dict(zip(words, moved, strict=True))
