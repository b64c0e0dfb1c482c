"""Embed: texts of n_docs documents -> embeddings (n_docs, dim) float32, unit length.

If the encoder cuts some texts, `cut` (n_docs,) bool marks them: their vectors represent only the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import (
    ApiEmbed,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.unit_rows import unit_rows
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.encoding import recipes
from topicflow.tasks.encoding.adapters import AdapterFiles, apply_adapter, find_adapter, load_adapter
from topicflow.tasks.encoding.api.encoder import ApiEncoder
from topicflow.tasks.encoding.embed_on_workers import embed_on_workers, missing_rows
from topicflow.tasks.encoding.encoder_files import EncoderFiles, find_encoder, precomputed_digest
from topicflow.tasks.encoding.encoders import Encoder, load_encoder
from topicflow.tasks.encoding.images import embed_images
from topicflow.tasks.encoding.int8_encoder import Int8Encoder
from topicflow.tasks.encoding.vector_files import read_vectors, vectors_in_texts
from topicflow.tasks.encoding.vector_store import VectorStore, is_cut, text_digests
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import Progress, track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.execution.workers import on_cluster
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter

_VECTOR_ROWS = 65_536
"""Precomputed vectors that are converted at a time."""

CHUNK_TEXTS = {"cpu": 1024, "mps": 4096, "cuda": 131_072}
"""Texts embedded between two commits: a few seconds of work, which is all that a killed run loses."""

PIECE_TEXTS = 128
"""Texts of a chunk on a CPU that are encoded between two messages to a person."""

PART_TEXTS = {"cpu": 65_536, "mps": 65_536, "cuda": 524_288}
"""Documents sorted by length at a time. A batch of a GPU contains many texts of one length."""


def embed_missing(
    texts: pl.Series, vectors: VectorStore, encoder: Encoder, chunk_texts: int, on_done: Callable[[int], None]
) -> int:
    """Add to `vectors` every text that it lacks; return how many texts were embedded.

    Texts are processed in order of length, so that a batch has little padding. The order is fixed, so that a restarted
    run continues exactly: the existing chunks are a prefix of it. A chunk is committed while the next one is embedded.

    Parameters
    ----------
    texts : pl.Series
        Texts, str, duplicates allowed.
    vectors : VectorStore
        The store of the vectors.
    encoder : Encoder
        The encoder.
    chunk_texts : int
        Texts between two commits.
    on_done : callable
        Called with the number of texts after each chunk.
    """
    digests = text_digests(texts)
    missing = missing_rows(texts, digests, lambda found: vectors.locate(found)[:, 0] >= 0)
    if isinstance(encoder, ApiEncoder):
        _embed_by_server(texts.gather(missing), digests[missing], vectors, encoder, on_done)
        return len(missing)
    piece_texts = PIECE_TEXTS if chunk_texts <= CHUNK_TEXTS["cpu"] else chunk_texts
    with ThreadPoolExecutor(1, "commit") as commits:
        last: Future[None] | None = None
        for start in range(0, len(missing), chunk_texts):
            rows = missing[start : start + chunk_texts]
            found, n_tokens = _encode(encoder, texts.gather(rows).to_list(), piece_texts, on_done)
            if last is not None:
                last.result()
            last = commits.submit(vectors.add, digests[rows], found, n_tokens)
        if last is not None:
            last.result()
    return len(missing)


def _encode(
    encoder: Encoder, texts: Sequence[str], size: int, on_done: Callable[[int], None]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the vectors and lengths of a chunk; `on_done` is called with the number of texts of each piece of `size`.

    A person sees the first piece after a second or two. A text's vector does not depend on the piece.
    """
    pieces = [texts[start : start + size] for start in range(0, len(texts), size)]
    found = []
    for piece in pieces:
        found.append(encoder.encode(piece))
        on_done(len(piece))
    return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])


def _embed_by_server(
    texts: pl.Series,
    digests: NDArray[np.uint64],
    vectors: VectorStore,
    encoder: ApiEncoder,
    on_done: Callable[[int], None],
) -> None:
    """Add the vectors of texts with `digests` (n, 2) as a server gives them; they stay even if the run fails."""

    def keep(rows: NDArray[np.int64], found: NDArray[np.float32], n_tokens: NDArray[np.int32]) -> None:
        vectors.add(digests[rows], found, n_tokens)
        on_done(len(rows))

    encoder.encode_each(texts.to_list(), keep)


def check_vectors(
    vectors: NDArray[np.floating], n_rows: int, where: str, rows: NDArray[np.integer] | None = None
) -> NDArray[np.float32]:
    """Return precomputed vectors (n_rows, dim) as unit float32.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, dim), floating
        The user's vectors.
    n_rows : int
        Expected number of rows.
    where : str
        File or column, for messages.
    rows : ndarray of shape (n_docs,), optional
        Rows that became documents. Rows of empty texts are neither checked nor returned. Default: all.

    Raises
    ------
    DataError
        If the shape, the type, or a row (NaN, infinite or zero) cannot be used; the message names `where`.
    """
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        msg = f"embed: {where} has shape {vectors.shape} of {vectors.dtype}, expected (rows, dim) of floats"
        raise DataError(msg)
    if len(vectors) != n_rows:
        msg = (
            f"embed: {where} has {len(vectors):,} rows, expected {n_rows:,} as in the input: one vector "
            "for each row, in order"
        )
        raise DataError(msg)
    n_taken = n_rows if rows is None else len(rows)
    unit, lengths = np.empty((n_taken, vectors.shape[1]), np.float32), np.empty(n_taken, np.float32)
    for start in range(0, n_taken, _VECTOR_ROWS):  # so that float64 and half precision are not copied whole
        part = slice(start, min(start + _VECTOR_ROWS, n_taken))
        unit[part], lengths[part] = unit_rows(np.asarray(vectors[part if rows is None else rows[part]]))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        found = "only zeros" if lengths[bad[0]] == 0 else "NaN or infinite values"
        row = bad[0] if rows is None else rows[bad[0]]
        msg = f"embed: {where} row {row} contains {found} ({len(bad):,} such rows); correct or omit these documents"
        raise DataError(msg)
    return unit


@stage("embed")
def embed(
    context: Context,
    documents: ArtifactRef,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed | ImagesEmbed,
) -> ArtifactRef:
    """Return the embeddings artifact, embedding only texts that this encoder has not embedded before."""
    store, runtime = context.store, context.runtime
    if isinstance(config, PrecomputedEmbed):
        return _take_precomputed(store, documents, config, runtime)
    if isinstance(config, ImagesEmbed):
        return embed_images(store, documents, config, runtime)
    files = find_encoder(config, runtime.device, store)
    adapter = find_adapter(store, config, files.key, runtime)
    recipe = recipes.embed(
        config, store.meta(documents)["texts"], files.key, adapter.key if adapter else None
    )
    if found := store.find(recipe):
        return found
    for note in files.notes:
        LOG.info("embed: %s.", note)
    with store.writing(recipe) as writer:
        with track("embed", documents.rows, unit="documents") as progress:
            if files.is_cheap:
                encoder = load_encoder(files, config, runtime.n_threads)
                _write_all(store, documents, encoder, writer, adapter, progress)
                n_embedded = documents.rows
            else:
                n_embedded = _embed_all(store, documents, files, config, runtime, progress)
        n_cut, chunks = 0, list[str]()
        if not files.is_cheap:
            vectors = VectorStore(store, files.key)
            n_cut, chunks = _gather(store, documents, vectors, writer, files.max_tokens, adapter)
        writer.meta = {
            "encoder": files.key,
            "model": files.name,
            "revision": files.revision,
            "device": files.device,
            "precision": files.precision,
            "n_embedded": n_embedded,
            "truncated_share": n_cut / max(1, documents.rows),
            "n_cut": n_cut,
            "max_tokens": files.max_tokens,
            "chunks": chunks,
            **({"notes": list(files.notes)} if files.notes else {}),
            **_named(adapter),
            **({"beside": files.beside} if files.beside else {}),
            **_asked(files, config, runtime, n_embedded),
        }
    return store.committed(recipe, writer)


embed_again = embed.named("embed_again")
"""The same stage with the encoder that a flow has tuned, in a flow that has embedded before."""


def _asked(
    files: EncoderFiles,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    runtime: RuntimeConfig,
    n_embedded: int,
) -> dict[str, int]:
    """Return the number of requests and tokens for this artifact; empty if no server was used."""
    encoder = (
        load_encoder(files, config, runtime.n_threads)
        if isinstance(config, ApiEmbed) and n_embedded
        else None
    )
    return encoder.usage if isinstance(encoder, ApiEncoder) else {}


def _embed_all(
    store: ArtifactStore,
    documents: ArtifactRef,
    files: EncoderFiles,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    runtime: RuntimeConfig,
    progress: Progress,
) -> int:
    """Embed all texts without a vector, here or on workers; return how many were embedded."""
    if on_cluster(runtime) and not isinstance(config, ApiEmbed):  # a server has its own workers
        # no encoder is loaded here
        chunk_texts = Int8Encoder.chunk_texts if files.precision == "int8" else None
        parts = text_parts(store, documents, PART_TEXTS[files.device])
        return embed_on_workers(
            store,
            documents,
            parts,
            files,
            config,
            runtime,
            chunk_texts or CHUNK_TEXTS[files.device],
            progress.advance,
        )
    vectors = VectorStore(store, files.key)
    encoder, n_embedded, n_done = None, 0, 0
    for texts in text_parts(store, documents, PART_TEXTS[files.device]):
        if (vectors.locate(text_digests(texts))[:, 0] < 0).any():
            encoder = encoder or load_encoder(files, config, runtime.n_threads)
            chunk_texts = encoder.chunk_texts or CHUNK_TEXTS[files.device]
            n_embedded += embed_missing(texts, vectors, encoder, chunk_texts, progress.advance)
        n_done += len(texts)
        progress.reach(n_done)
    return n_embedded


def embed_texts(
    store: ArtifactStore,
    texts: pl.Series,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    runtime: RuntimeConfig,
) -> NDArray[np.float32]:
    """Return unit vectors (n_texts, dim) of any texts by `config`, embedding only texts without a stored vector."""
    files = find_encoder(config, runtime.device, store)
    found, _ = vectors_of(store, texts, files, config, runtime)
    return apply_adapter(store, find_adapter(store, config, files.key, runtime), found)


def vectors_of(
    store: ArtifactStore,
    texts: pl.Series,
    files: EncoderFiles,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    runtime: RuntimeConfig,
) -> tuple[NDArray[np.float32], list[str]]:
    """Return the encoder's own vectors (n_texts, dim) of any texts, and the keys of the chunks that contain them."""
    if files.is_cheap:
        return load_encoder(files, config, runtime.n_threads).encode(texts.to_list())[0], []
    vectors = VectorStore(store, files.key)
    digests = text_digests(texts)
    if (vectors.locate(digests)[:, 0] < 0).any():
        encoder = load_encoder(files, config, runtime.n_threads)
        chunk_texts = encoder.chunk_texts or CHUNK_TEXTS[files.device]
        embed_missing(texts, vectors, encoder, chunk_texts, lambda _: None)
    found, places = np.empty((len(texts), vectors.dim), np.float32), vectors.locate(digests)
    vectors.gather(places, found)
    return found, vectors.keys(sorted(set(places[:, 0].tolist())))


def text_parts(
    store: ArtifactStore,
    documents: ArtifactRef,
    rows: int = 65_536,
    *,
    start: int = 0,
    length: int | None = None,
) -> Iterator[pl.Series]:
    """Yield the documents' texts in order, in parts of at most `rows`; only `length` documents from `start`."""
    texts = store.table(documents, "documents").select("text").slice(start, length)
    for part in texts.collect_batches(chunk_size=rows):
        for first in range(0, part.height, rows):
            yield part["text"].slice(first, rows)


def _write_all(
    store: ArtifactStore,
    documents: ArtifactRef,
    encoder: Encoder,
    writer: ArtifactWriter,
    adapter: AdapterFiles | None,
    progress: Progress,
) -> None:
    """Embed all documents in order and write their vectors once; equal texts are embedded again."""
    head = load_adapter(store, adapter.ref) if adapter else None
    writer.rows = documents.rows
    with writer.appended_array("embeddings", (documents.rows, encoder.dim), "float32") as append:
        for texts in text_parts(store, documents, PART_TEXTS["cpu"]):
            found, _ = encoder.encode(texts.to_list())
            append(found if head is None else head.apply(found))
            progress.advance(len(texts))


def _gather(
    store: ArtifactStore,
    documents: ArtifactRef,
    vectors: VectorStore,
    writer: ArtifactWriter,
    max_tokens: int | None,
    adapter: AdapterFiles | None,
) -> tuple[int, list[str]]:
    """Write the documents' vectors in order; return how many texts were truncated, and the chunks of the vectors.

    An adapter moves them here: stored by text are the encoder's own vectors, which all adapters share.
    """
    head = load_adapter(store, adapter.ref) if adapter else None
    embeddings = writer.open_array("embeddings", (documents.rows, vectors.dim), "float32")
    writer.rows = documents.rows
    used: set[int] = set()
    start, cut = 0, np.zeros(documents.rows, bool)
    for texts in text_parts(store, documents):
        places = vectors.locate(text_digests(texts))
        part = embeddings[start : start + len(texts)]
        n_tokens = vectors.gather(places, part)
        if head is not None:
            part[:] = head.apply(part)
        cut[start : start + len(texts)] = is_cut(n_tokens, max_tokens)
        used.update(np.unique(places[:, 0]).tolist())
        start += len(texts)
    if cut.any():
        writer.save_array("cut", cut)
    return int(cut.sum()), vectors.keys(sorted(used))


def cut_texts(store: ArtifactStore, embeddings: ArtifactRef) -> NDArray[np.bool_]:
    """Return which documents (n_docs,) have a vector of only the beginning of their text."""
    if not store.meta(embeddings).get("n_cut"):
        return np.zeros(embeddings.rows, bool)
    return np.asarray(store.array(embeddings, "cut"))


def _named(adapter: AdapterFiles | None) -> dict[str, str]:
    """Return the adapter's key for an artifact's `meta`; an empty dict without an adapter."""
    return {} if adapter is None else {"adapter": adapter.key}


def _take_precomputed(
    store: ArtifactStore, documents: ArtifactRef, config: PrecomputedEmbed, runtime: RuntimeConfig
) -> ArtifactRef:
    """Return the embeddings artifact of vectors that the user already has."""
    adapter = find_adapter(store, config, "precomputed", runtime)
    recipe = recipes.embed(
        config, documents.key, precomputed_digest(config), adapter.key if adapter else None
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        rows = store.table(documents, "documents").select("row").collect()["row"].to_numpy()
        if config.path:
            n_rows = store.meta(documents)["n_input_rows"]
            vectors = check_vectors(read_vectors(Path(config.path)), n_rows, config.path, rows)
        else:
            vectors = check_vectors(
                _read_column(store, documents, str(config.column)), len(rows), f"column {config.column!r}"
            )
        if adapter is not None:
            vectors = apply_adapter(store, adapter, vectors)
        writer.save_array("embeddings", vectors)
        writer.rows = len(rows)
        writer.meta = {"encoder": "precomputed", "truncated_share": None, **_named(adapter)}
    return store.committed(recipe, writer)


def _read_column(store: ArtifactStore, documents: ArtifactRef, column: str) -> NDArray[np.floating]:
    """Return a list or array column of the input as (n_docs, dim)."""
    columns = store.table(documents, "columns")
    schema = columns.collect_schema()
    require_column("embed", column, schema, "embed.column")
    values = columns.select(column).collect()[column]
    if values.dtype == pl.String:
        values = _parsed(values, column)
    if not isinstance(values.dtype, pl.List | pl.Array) or not values.dtype.inner.is_numeric():
        msg = f"embed: column {column!r} is {values.dtype}, expected a list of floats"
        raise DataError(msg)
    widths = (
        values.list.len()
        if isinstance(values.dtype, pl.List)
        else pl.Series([values.dtype.size] * len(values))
    )
    if values.null_count() or widths.n_unique() > 1:
        found = f"{values.null_count():,} nulls and {widths.n_unique()} widths"
        msg = f"embed: column {column!r} contains {found}, expected vectors of one width"
        raise DataError(msg)
    width = int(widths[0])
    return values.cast(pl.Array(pl.Float32, width)).to_numpy().reshape(len(values), width)


def _parsed(values: pl.Series, column: str) -> pl.Series:
    """Return the vectors of a column of texts such as `[0.1, 0.2]`."""
    found = vectors_in_texts(values)
    if values.null_count() < len(values) and found.null_count() > values.null_count():
        wrong = values.filter(found.is_null() & values.is_not_null())[0]
        msg = f"embed: column {column!r} contains {wrong[:40]!r}, expected a list of floats"
        raise DataError(msg)
    return found
