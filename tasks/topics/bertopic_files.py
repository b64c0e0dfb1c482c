"""BERTopic files: topics, centroids, c-TF-IDF -> the folder that `BERTopic.load` reads, safetensors and JSON.

Written without importing bertopic, which takes seconds and loads umap, hdbscan and plotly. A test compares every file
with the files that BERTopic itself saves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray
from topicflow.tasks.core.words.counts import top_words
from topicflow.tasks.core.words.word_pattern import DIFFERENCES, nearest_pattern

VECTORIZER: Mapping[str, Any] = {
    "analyzer": "word", "binary": False, "decode_error": "strict", "encoding": "utf-8", "input": "content",
    "max_df": 1.0, "max_features": None, "min_df": 1, "strip_accents": None, "vocabulary": None,
}  # fmt: skip
"""scikit-learn's defaults for parameters that a run does not set."""

MODEL: Mapping[str, Any] = {
    "calculate_probabilities": False, "language": "multilingual", "low_memory": False, "min_topic_size": 10,
    "n_gram_range": [1, 1], "nr_topics": None, "seed_topic_list": None, "verbose": False,
    "zeroshot_min_similarity": 0.7, "zeroshot_topic_list": None,
}  # fmt: skip
"""BERTopic's defaults except the language: without an encoder it deletes all but ASCII letters of English texts."""

CARD = """# Topic model

A BERTopic model; `BERTopic.load("model")` reads it. Its vectorizer has the words and the stop words of the run.

## Words

{words}
"""

SAME_WORDS = "The vectorizer cuts texts into words by the run's own `count.token_pattern`, as the run did."

NEAR_WORDS = """The vectorizer cuts texts by a regular expression that finds the words of the run in most languages.
The differences are:

{differences}

New texts are assigned to topics by their vectors, so the difference does not change topics. It changes what BERTopic
counts again: `update_topics`, `topics_over_time`, `topics_per_class`."""


def save_model(
    folder: Path,
    labels: LabelArray,
    centroids: FloatArray,
    topics: pl.DataFrame,
    weights: csr_matrix,
    idf: np.ndarray[Any, np.dtype[np.float64]],
    words: Sequence[str],
    config: LabelConfig,
    vectorizer: Mapping[str, Any],
) -> None:
    """Write a BERTopic model; without words it has no c-TF-IDF.

    Parameters
    ----------
    folder : Path
        Output folder.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    centroids : ndarray of shape (n_topics + n_noise, dim), float32
        Mean embeddings; noise first if there is any.
    topics : pl.DataFrame
        topic, name, keywords and weights of each topic, without noise.
    weights : sparse matrix of shape (n_topics + n_noise, n_words), float64
        c-TF-IDF; noise first if there is any.
    idf : ndarray of shape (n_words,), float64
        Inverse frequencies of c-TF-IDF.
    words : sequence of str
        The words of the columns.
    config : LabelConfig
        Weighting of the words.
    vectorizer : mapping
        Parameters of the CountVectorizer.

    References
    ----------
    bertopic 0.17.4, `_save_utils`.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    numbers, sizes = np.unique(labels, return_counts=True)
    noise = bool(len(numbers)) and numbers[0] < 0
    top_n = max((len(one) for one in topics["keywords"].to_list()), default=10) or 10
    keywords = {
        row["topic"]: list(zip(row["keywords"], row["weights"], strict=True))
        for row in topics.iter_rows(named=True)
    }
    if noise:
        columns, values = top_words(weights[:1], top_n)[0]
        of_noise = [(words[i], value) for i, value in zip(columns.tolist(), values.tolist(), strict=True)]
        keywords = {-1: of_noise, **keywords}
    _write(folder / "config.json", {**MODEL, "top_n_words": top_n})
    _write(
        folder / "topics.json",
        {
            "topic_representations": keywords,
            "topics": labels.tolist(),
            "topic_sizes": dict(zip(numbers.tolist(), sizes.tolist(), strict=True)),
            "topic_mapper": np.repeat(numbers, 2).reshape(-1, 2).tolist(),
            "topic_labels": {
                topic: f"{topic}_" + "_".join(word for word, _ in own[:4]) for topic, own in keywords.items()
            },
            "custom_labels": (["no topic"] if noise else []) + topics["name"].to_list(),
            "_outliers": int(noise),
            "topic_aspects": {},
        },
    )
    (folder / "README.md").write_text(CARD.format(words=_words_of(vectorizer)), encoding="utf-8")
    save_file({"topic_embeddings": centroids}, folder / "topic_embeddings.safetensors")
    if not words:
        return
    save_file(
        {
            "indptr": weights.indptr,
            "indices": weights.indices,
            "data": weights.data,
            "shape": np.array(weights.shape),
            "diag": idf,
        },
        folder / "ctfidf.safetensors",
    )
    weighting = {
        "bm25_weighting": config.bm25_weighting,
        "reduce_frequent_words": config.reduce_frequent_words,
    }
    vocabulary = {word: number for number, word in enumerate(words)}
    counting = {"params": {**VECTORIZER, **vectorizer}, "vocab": vocabulary}
    _write(folder / "ctfidf_config.json", {"ctfidf_model": weighting, "vectorizer_model": counting})


def _words_of(vectorizer: Mapping[str, Any]) -> str:
    """Return what the card says about the words of the vectorizer."""
    if vectorizer["token_pattern"] != nearest_pattern():
        return SAME_WORDS
    return NEAR_WORDS.format(differences="\n".join(f"- {each};" for each in DIFFERENCES)[:-1] + ".")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(
        json.dumps(value, separators=(",", ":")), encoding="utf-8"
    )  # indents would take ten times as long
