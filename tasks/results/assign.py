"""Assign: new texts or vectors and a run with topics -> the topic of each, as an update would give it.

The rule is that of `tasks.updates.assign`: the vote of the nearest fitted documents.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.flows.names import FLOWS
from topicflow.configs.read import parse_config
from topicflow.configs.sections.embed import ApiEmbed, SentenceTransformersEmbed, StaticEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.nearest import Parts, exact_nearest
from topicflow.tasks.core.vectors.search import search_neighbors
from topicflow.tasks.core.vectors.unit_rows import unit_rows
from topicflow.tasks.documents.cleaning import clean_texts
from topicflow.tasks.documents.texts import is_filled
from topicflow.tasks.encoding.adapters import apply_adapter, find_adapter
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.results.tables import topic_names
from topicflow.tasks.results.vectors import fit_of, store_of
from topicflow.tasks.runs.history import RunRecord, called, flow_of
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.fitted_sample import N_NEAREST, sample_of
from topicflow.tasks.topics.named import NO_TOPIC, with_topic_names
from topicflow.tasks.topics.nearest_fitted import fitted_vectors
from topicflow.tasks.updates.assign import fitted_results, voted
from topicflow.tasks.updates.overview import lasting

EXACT_ROWS = 2_000
"""Vectors up to which each is compared with every fitted one; for more, cells are made, as an update does."""


def assign_texts(record: RunRecord, texts: Sequence[str | None], device: str = "auto") -> pl.DataFrame:
    """Return the topic of each text; a text without any character that is not blank has none.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update.
    texts : sequence of str
        New texts, n of them; they are cleaned and embedded as the run's documents were.
    device : str
        The device of the encoder.

    Returns
    -------
    pl.DataFrame
        As `assign_vectors`.

    Raises
    ------
    ConfigError
        If the run has no encoder for texts, or this machine has another one of that name.
    """
    config = _config_of(record)
    cleaned = clean_texts(pl.Series(texts, dtype=pl.String), config.load.clean)
    filled = is_filled(cleaned).to_numpy()
    vectors = (
        _encoded(record, config.embed, cleaned.filter(filled).to_list(), device) if filled.any() else None
    )
    found = _nothing(len(cleaned))
    if vectors is None:
        return found
    own = assign_vectors(record, vectors)
    rows = pl.Series("row", np.flatnonzero(filled), pl.UInt32)
    placed = found.with_row_index("row").update(own.insert_column(0, rows), on="row", how="left")
    return placed.drop("row")


def assign_vectors(record: RunRecord, vectors: NDArray[Any]) -> pl.DataFrame:
    """Return the topic of each vector.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update.
    vectors : ndarray of shape (n, dim)
        Vectors in the space of the run's embeddings; they need not have unit length.

    Returns
    -------
    pl.DataFrame
        n rows: topic Int32 (-1 for none), topic_name String, probability Float32, x and y Float32 on the map.

    Raises
    ------
    DataError
        If the vectors have another shape, or values that are not finite.

    Notes
    -----
    O(n n_fitted dim) up to EXACT_ROWS vectors; for more, the time of `tasks.core.vectors.search`.
    """
    store = store_of(record)
    fit, ids = fit_of(store, record)
    sample = sample_of(store, ArtifactRef("neighbors", fit.neighbors, "neighbors"))
    fitted = fitted_vectors(store, ArtifactRef("embeddings", fit.embeddings, "embed"), sample)
    asked = _checked(record, vectors, fitted.shape[1])
    clustering, layout = fitted_results(store, fit, sample)
    nearest, distances = _nearest(np.asarray(fitted), asked, min(N_NEAREST, len(fitted)))
    labels, probabilities, _, places = voted(nearest, distances, clustering, layout)
    table = pl.DataFrame(
        {
            "topic": labels if ids is None else lasting(labels, ids),
            "probability": probabilities,
            "x": np.ascontiguousarray(places[:, 0]),
            "y": np.ascontiguousarray(places[:, 1]),
        },
        schema_overrides={"topic": pl.Int32, "probability": pl.Float32, "x": pl.Float32, "y": pl.Float32},
    )
    return with_topic_names(table.lazy(), topic_names(record)).collect()


def _nearest(
    fitted: NDArray[np.float32], asked: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the `k` nearest fitted vectors (n, k) int32 of each vector and their cosine distances float32."""
    if len(asked) > EXACT_ROWS:
        return search_neighbors(fitted, asked, k)
    rows, similarities = exact_nearest(Parts([fitted]), asked, k)
    return rows.astype(np.int32), np.maximum(1.0 - similarities, 0.0).astype(np.float32)


def _nothing(n: int) -> pl.DataFrame:
    """Return n rows without a topic."""
    kinds = {
        "topic": pl.Int32,
        "topic_name": pl.String,
        "probability": pl.Float32,
        "x": pl.Float32,
        "y": pl.Float32,
    }
    return pl.DataFrame([(-1, NO_TOPIC, 0.0, None, None)] * n, schema=kinds, orient="row")


def _config_of(record: RunRecord) -> Any:  # noqa: ANN401  (a config with the sections load and embed)
    return parse_config(tomllib.loads(record["config"]), FLOWS[flow_of(record)], called(record))


def _encoded(record: RunRecord, config: Any, texts: list[str], device: str) -> NDArray[np.float32]:  # noqa: ANN401
    """Return unit vectors (n, dim) of texts by the encoder and the adapter of a run."""
    if not isinstance(config, SentenceTransformersEmbed | StaticEmbed | ApiEmbed):
        msg = f"{called(record)}: its vectors ({config.method}) have no encoder for texts; give assign() vectors"
        raise ConfigError(msg)
    store, embedding = store_of(record), record["embedding"]
    if isinstance(config, SentenceTransformersEmbed) and embedding.get("precision"):
        config = config.model_copy(update={"precision": embedding["precision"]})
    files = find_encoder(config, device, store, keep=False)
    wanted = _encoder_key(store, record)
    if files.key != wanted:
        msg = (
            f"{called(record)}: its documents were embedded by {embedding.get('model')} (encoder {wanted[:8]}), the "
            f"model of that name here is another one ({files.key[:8]}); restore the model, or run the config again"
        )
        raise ConfigError(msg)
    adapter = find_adapter(store, config, files.key, RuntimeConfig(store=record["store"]))
    return apply_adapter(store, adapter, load_encoder(files, config).encode(texts)[0])


def _encoder_key(store: ArtifactStore, record: RunRecord) -> str:
    """Return the key of the encoder of a run's documents."""
    fit, _ = fit_of(store, record)
    return str(store.manifest("embeddings", fit.embeddings)["recipe"]["identity"]["encoder"])


def _checked(record: RunRecord, vectors: NDArray[Any], dim: int) -> NDArray[np.float32]:
    """Return vectors as unit float32 rows; raise DataError if they cannot be in a space of `dim`."""
    found = np.asarray(vectors, np.float32)
    if found.ndim != 2 or found.shape[1] != dim:
        msg = f"assign: vectors of shape {found.shape}, expected (n, {dim}), the space of {called(record)}"
        raise DataError(msg)
    if not np.isfinite(found).all():
        msg = "assign: the vectors contain NaN or infinite values"
        raise DataError(msg)
    unit, lengths = unit_rows(found)
    if not (lengths > 0).all():
        first = int(np.argmin(lengths))
        msg = f"assign: {int((lengths == 0).sum()):,} vectors contain only zeros, the first in row {first}"
        raise DataError(msg)
    return unit
