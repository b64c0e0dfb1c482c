"""Embedding on workers: texts of n_docs documents without a vector -> chunks, embedded on any number of workers.

The plan is an artifact of three arrays: `rows` (n_missing,) int32, the texts' rows within their part of the documents,
chunk after chunk; `ends` (n_chunks + 1,) int64, the bounds of each chunk in `rows`; `parts` (n_chunks, 2) int64, the
start of the chunk's part in the documents and its number of rows. A worker gets only the number of a chunk.

The chunks and their order are those of a single process: equal texts give equal chunks, on any worker.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import SentenceTransformersEmbed, StaticEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.encoder_files import EncoderFiles, find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.vector_store import VectorStore, chunk_recipe, save_chunk
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.workers import map_chunks
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.store.digests import DigestIndex, Digests, text_digests

_one_at_a_time = threading.Lock()
"""A process embeds one chunk at a time, because a model uses its whole device or all its cores."""


def missing_rows(
    texts: pl.Series, digests: Digests, is_there: Callable[[Digests], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Return the rows of the distinct texts without a vector, in the order of embedding.

    Short texts come first, so that a batch has little padding; ties by digest, so that the order does not depend on the
    order of the documents.
    """
    _, first = np.unique(digests, axis=0, return_index=True)
    missing = first[~is_there(digests[first])]
    lengths = texts.gather(missing).str.len_bytes().to_numpy()
    return missing[np.lexsort((digests[missing, 1], digests[missing, 0], lengths))]


def embed_on_workers(
    store: ArtifactStore,
    documents: ArtifactRef,
    parts: Iterable[pl.Series],
    files: EncoderFiles,
    config: SentenceTransformersEmbed | StaticEmbed,
    runtime: RuntimeConfig,
    chunk_texts: int,
    on_done: Callable[[int], None],
) -> int:
    """Embed all texts without a vector on the workers; return how many texts were embedded.

    Parameters
    ----------
    store : ArtifactStore
        The store of the documents and vectors; the workers must reach it too.
    documents : ArtifactRef
        The documents.
    parts : iterable of pl.Series
        The texts in order, in the parts of a single process.
    files, config : EncoderFiles, SentenceTransformersEmbed or StaticEmbed
        The encoder. A worker finds it on its own machine.
    runtime : RuntimeConfig
        Settings with the cluster's address.
    chunk_texts : int
        Texts between two commits.
    on_done : callable
        Called with the number of texts after each chunk.

    Raises
    ------
    StageError
        If a worker has another encoder than this process.

    Notes
    -----
    Planning hashes each text once, about 1 million per second, and needs 36 bytes for each new text.
    """
    plan, n_chunks, n_texts = _plan(store, documents, parts, VectorStore(store, files.key), chunk_texts)
    work = partial(embed_batch, store, documents, plan, config, runtime, files.key)
    for n_done in map_chunks("embed-chunks", work, range(n_chunks), runtime):
        on_done(n_done)
    store.discard(plan.kind, plan.key)
    return n_texts


def _plan(
    store: ArtifactStore,
    documents: ArtifactRef,
    parts: Iterable[pl.Series],
    vectors: VectorStore,
    chunk_texts: int,
) -> tuple[ArtifactRef, int, int]:
    """Return the plan's artifact, its number of chunks, and its number of texts."""
    planned = DigestIndex()
    rows: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    sizes, places, start = [0], [], 0
    for texts in parts:
        digests = text_digests(texts)
        missing = missing_rows(
            texts, digests, lambda found: np.maximum(vectors.locate(found), planned.locate(found))[:, 0] >= 0
        )
        planned.add(digests[missing], np.zeros((len(missing), 2), np.int64))
        for first in range(0, len(missing), chunk_texts):
            rows.append(missing[first : first + chunk_texts].astype(np.int32))
            sizes.append(len(rows[-1]))
            places.append((start, len(texts)))
        start += len(texts)
    everything = np.concatenate(rows)
    content = hashlib.blake2b(everything.tobytes() + np.array(sizes).tobytes(), digest_size=16).hexdigest()
    inputs = {"documents": documents.key, "rows": content}
    recipe = Recipe("embed", "batches", 1, inputs=inputs, identity={"encoder": vectors.encoder})
    with store.writing(recipe) as writer:
        writer.save_array("rows", everything)
        writer.save_array("ends", np.cumsum(sizes))
        writer.save_array("parts", np.array(places, np.int64).reshape(-1, 2))
        writer.rows = len(everything)
    return store.committed(recipe, writer), len(places), len(everything)


def embed_batch(
    store: ArtifactStore,
    documents: ArtifactRef,
    plan: ArtifactRef,
    config: SentenceTransformersEmbed | StaticEmbed,
    runtime: RuntimeConfig,
    encoder: str,
    chunk: int,
) -> int:
    """Commit the vectors of a chunk of the plan, unless they exist; return its number of texts.

    Raises
    ------
    StageError
        If the encoder found here does not have the key `encoder`.
    """
    ends = store.array(plan, "ends")
    rows = np.asarray(store.array(plan, "rows")[int(ends[chunk]) : int(ends[chunk + 1])])
    start, length = (int(value) for value in store.array(plan, "parts")[chunk])
    part = store.table(documents, "documents").select("text").slice(start, length).collect()["text"]
    texts = part.gather(rows)
    digests = text_digests(texts)
    recipe = chunk_recipe(encoder, digests)
    if store.state(recipe.kind, recipe.key) == "hit":
        return len(rows)
    files = find_encoder(config, runtime.device)
    if files.key != encoder:
        msg = (
            f"embed: a worker found {files.name} on {files.device} in {files.precision} with key {files.key[:12]}, "
            f"the flow has {encoder[:12]}; use the same weights on both, and set runtime.device and embed.precision"
        )
        raise StageError(msg)
    with _one_at_a_time:
        vectors, n_tokens = load_encoder(files, config, runtime.n_threads).encode(texts.to_list())
    save_chunk(store, encoder, digests, vectors, n_tokens)
    return len(rows)
