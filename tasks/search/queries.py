"""Queries: text -> a unit vector (dim,) in an index's space; a vector from another space is refused.

Only this file turns a query into a vector: encoder, query prompt, adapter, normalization.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from topicflow.configs.sections.embed import (
    EmbedConfig,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
)
from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.encoding.adapters import KIND, AdapterFiles, apply_adapter
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import Encoder, load_encoder
from topicflow.tasks.encoding.images import as_text_model
from topicflow.tasks.encoding.model_files.bert_shape import ON_CPUS
from topicflow.tasks.encoding.vector_store import is_cut
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

IN_FLOAT32 = {"float16", "bfloat16", "int16"}
"""Precisions whose queries are encoded in float32 on a CPU: the same space, and faster for a few texts."""

_EMBED: TypeAdapter[Any] = TypeAdapter(EmbedConfig)


def space_of(
    store: ArtifactStore, embeddings: ArtifactRef, embedding: EmbedConfig, config: IndexConfig
) -> dict[str, Any]:
    """Return the space of an index's vectors: encoder, revision, prompts, precision, normalization, adapter, width."""
    meta = store.meta(embeddings)
    recipe = store.manifest(embeddings.kind, embeddings.key)["recipe"]
    return {
        "encoder": recipe["identity"]["encoder"],
        "model": meta.get("model", "precomputed"),
        "revision": meta.get("revision"),
        "precision": meta.get("precision"),
        "prompt": getattr(embedding, "prompt", None),
        "query_prompt": config.query_prompt,
        "query_model": config.query_model,
        "normalized": True,
        "adapter": meta.get("adapter"),
        "dim": int(store.array(embeddings, "embeddings").shape[1]),
    }


@dataclass(frozen=True)
class QueryEncoder:
    """Turns the text of a query into a vector in an index's space.

    One thread encodes at a time: the tokenizer's maximum length changes between counting and encoding, so that two
    threads would cut each other's texts at the wrong place, or not at all.
    """

    store: ArtifactStore
    adapter: AdapterFiles | None
    encoder: Encoder
    prompt: str | None
    max_tokens: int | None
    dim: int
    _alone: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return unit vectors (n, dim) and whether each text (n,) is longer than the encoder reads."""
        with self._alone:
            vectors, n_tokens = self.encoder.encode_queries(texts, self.prompt)
        if vectors.shape[1] != self.dim:
            msg = (
                f"index: the model of queries gives {vectors.shape[1]} dimensions, the index has {self.dim}: another "
                "space; name the model that the vectors were made with"
            )
            raise ConfigError(msg)
        vectors = apply_adapter(self.store, self.adapter, vectors)
        too_long = is_cut(n_tokens, self.max_tokens)
        return vectors, too_long

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, dim) of documents to add."""
        with self._alone:
            vectors = self.encoder.encode(texts)[0]
        return apply_adapter(self.store, self.adapter, vectors)


def open_queries(
    store: ArtifactStore,
    meta: dict[str, Any],
    device: str = "auto",
    n_threads: int | None = None,
    load: Callable[..., Encoder] = load_encoder,
) -> QueryEncoder:
    """Return the loaded encoder for queries of an index.

    Parameters
    ----------
    store : ArtifactStore
        The store with the adapter of the embeddings, if they have one.
    meta : dict
        The values of the index's manifest.
    device : str
        The device of the encoder.
    n_threads : int or None
        CPU threads.
    load : callable
        Loads the encoder; a server keeps those of all its indexes.

    Raises
    ------
    ConfigError
        If there is no encoder, or the model found here has another space.
    """
    space, embedding = meta["space"], _EMBED.validate_python(meta["embed"])
    if isinstance(embedding, PrecomputedEmbed):
        if space["query_model"] is None:
            msg = (
                "index: its vectors are precomputed and no model is set for queries; set index.query_model and run "
                "`topicflow index` again, or search with a vector"
            )
            raise ConfigError(msg)
        embedding = SentenceTransformersEmbed(model=space["query_model"])
    elif isinstance(embedding, ImagesEmbed):
        embedding = _same_space(as_text_model(embedding), space, store)
    else:
        embedding = _same_space(embedding, space, store)
    files = find_encoder(embedding, device, store, keep=False)
    if (
        isinstance(embedding, SentenceTransformersEmbed)
        and files.precision in IN_FLOAT32
        and files.device == "cpu"
    ):
        embedding = _in_float32(embedding)
        files = find_encoder(embedding, device)
    encoder = load(files, embedding, n_threads)
    adapter = _adapter(store, space["adapter"])
    return QueryEncoder(store, adapter, encoder, space["query_prompt"], files.max_tokens, int(space["dim"]))


def _in_float32(embedding: SentenceTransformersEmbed) -> SentenceTransformersEmbed:
    """Return the same model in float32: the same space, on any machine, and on a CPU faster for a few texts."""
    return embedding.model_copy(update={"precision": "float32"})


def _adapter(store: ArtifactStore, key: str | None) -> AdapterFiles | None:
    """Return the adapter of the embeddings, which also moves queries; raise ConfigError if it is gone."""
    if key is None:
        return None
    if store.state(KIND, key) != "hit":
        msg = f"index: its vectors need the adapter {key[:12]}, which is not in the store; tune it again"
        raise ConfigError(msg)
    ref = ArtifactRef(KIND, key, stage="tune")
    about = store.json(ref, "adapter")
    return AdapterFiles(ref, about["encoder"], int(about["dim"]))


def _same_space(embedding: Any, space: dict[str, Any], store: ArtifactStore) -> Any:  # noqa: ANN401  (a section `embed`)
    """Return the config of the documents' encoder; raise ConfigError if this machine's encoder is another one."""
    if isinstance(embedding, SentenceTransformersEmbed):
        embedding = embedding.model_copy(update={"precision": space["precision"]})
        if space["precision"] == "int8" and _is_int8_elsewhere(embedding, space["encoder"]):
            return _in_float32(embedding)
    found = find_encoder(embedding, "cpu" if space["precision"] in ON_CPUS else "auto", store, keep=False)
    if found.key != space["encoder"]:
        msg = (
            f"index: its documents were embedded by {space['model']} (encoder {space['encoder'][:8]}), the model of "
            f"that name here is another one ({found.key[:8]}): another space; restore the model or index again"
        )
        raise ConfigError(msg)
    return embedding


def _is_int8_elsewhere(embedding: SentenceTransformersEmbed, encoder: str) -> bool:
    """Return whether documents were embedded by the same model in the int8 of another kind of processor."""
    keys = []
    for own in (None, (), ("int8",)):  # as on this machine, by OpenVINO, and by our kernels
        with contextlib.suppress(ConfigError):  # such as a library that is not installed
            keys.append(find_encoder(embedding, "cpu", keep=False, own=own).key)
            if own is None and keys[0] == encoder:
                return False
    return encoder in keys


def check_vector(vector: NDArray[np.floating], dim: int) -> NDArray[np.float32]:
    """Return a query's vector (dim,) as unit float32; raise ConfigError if it cannot be in a space of `dim`."""
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and refused below
        found = np.asarray(vector, np.float32)
    if found.shape != (dim,):
        shape = "×".join(map(str, found.shape)) or "no"
        msg = f"search: the query's vector has {shape} dimensions, the index {dim}: another space"
        raise ConfigError(msg)
    norm = float(np.linalg.norm(found))
    if not np.isfinite(norm) or norm == 0.0:
        msg = f"search: the query's vector contains {'only zeros' if norm == 0 else 'NaN or infinite values'}"
        raise ConfigError(msg)
    return found / np.float32(norm)
