"""Grow: an index and documents to add or rows to remove -> its next generation, with a run that names it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.index import IndexConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import (
    RunId,
    RunRecord,
)
from topicflow.tasks.search import recipes
from topicflow.tasks.search.additions import Documents, fresh_documents
from topicflow.tasks.search.index_build import write_index
from topicflow.tasks.search.index_files import IndexFiles, take_file
from topicflow.tasks.search.open_index import OpenIndex
from topicflow.tasks.search.queries import check_vector
from topicflow.tasks.search.run_folder import index_figures, write_run
from topicflow.tasks.store.artifact_store import (
    ArtifactRef,
    ArtifactStore,
    ArtifactWriter,
    canonical_json,
    digest,
)


def grow(
    index: OpenIndex,
    documents: Documents | None,
    vectors: NDArray[np.floating] | None,
    removed: Sequence[int],
) -> tuple[IndexFiles, RunRecord | None]:
    """Add documents and remove rows; return files and record of the next generation, which a run names.

    If there is nothing to add or remove, return those of this generation.

    Raises
    ------
    ConfigError
        If the documents do not fit the index.
    ArtifactError
        If another process has changed the index meanwhile, or it cannot be written.
    """
    run = None if index.record is None else RunId.new(index.record["name"])
    files, there = index.files, pl.Series(~index.removed)
    fresh = fresh_documents(
        [] if documents is None else documents,
        index.documents.schema,
        index.documents["doc_id"].filter(there),
    )
    replaced = index.documents["doc_id"].is_in(fresh["doc_id"].implode()) & there
    gone = np.union1d(np.asarray(removed, np.int64), replaced.arg_true().to_numpy())
    if not fresh.height and not len(gone):
        return files, index.record
    embedded = _embedded(index, fresh, vectors)
    config = IndexConfig.model_validate(files.meta["config"])
    with _alone(index.record):
        ref = _write(files, fresh, embedded, gone, config)
        record = (
            None if run is None or index.record is None else _next_run(run, index.record, files.store, ref)
        )
    return IndexFiles.open(files.store, ref.key), record


def _write(
    files: IndexFiles,
    fresh: pl.DataFrame,
    vectors: NDArray[np.float32],
    gone: NDArray[np.int64],
    config: IndexConfig,
) -> ArtifactRef:
    """Return the next generation's artifact."""
    recipe = files.store.manifest("indexes", files.ref.key)["recipe"]
    content = digest(
        canonical_json([fresh.write_ndjson(), gone.tolist(), digest(np.ascontiguousarray(vectors).tobytes())])
    )
    seed = int(recipe["seed"])
    grown = recipes.index(
        config, {"base": files.ref.key, "changes": content}, files.meta["space"]["encoder"], seed
    )
    if (found := files.store.find(grown)) is not None:
        return found
    with files.store.writing(grown) as writer:
        write_index(writer, files, fresh.lazy(), vectors, gone, config, seed, RuntimeConfig())
        kept = ("space", "embed", "topics", "topic_keys", "config")
        writer.meta |= {name: files.meta[name] for name in kept} | {"documents": None}
        if files.meta["topics"] is not None:
            _take_topics(writer, files, len(fresh))
    return files.store.committed(grown, writer)


def _take_topics(writer: ArtifactWriter, files: IndexFiles, n_fresh: int) -> None:
    """Keep the topics; new documents have none until the topic model has assigned them."""
    writer.save_array("topics", np.append(files.topics()[0], np.full(n_fresh, -1, np.int32)))
    for name in ("topics.parquet", "topic_vectors.npy"):
        take_file(writer, files.trusted(name), name)


def _embedded(
    index: OpenIndex, fresh: pl.DataFrame, vectors: NDArray[np.floating] | None
) -> NDArray[np.float32]:
    """Return unit vectors (n_fresh, dim) of the documents to add, as given, or computed."""
    dim = index.files.meta["dim"]
    if not fresh.height:
        return np.zeros((0, dim), np.float32)
    if vectors is None:
        return index.queries.encode_documents(fresh["text"].to_list())
    if len(vectors) != fresh.height:
        msg = f"index: {len(vectors):,} vectors for {fresh.height:,} documents to add; give one vector per document"
        raise ConfigError(msg)
    return np.stack([check_vector(vector, dim) for vector in vectors])


@contextlib.contextmanager
def _alone(record: RunRecord | None) -> Iterator[None]:
    """Hold the lock of a name's updates; raise ArtifactError if `latest` is no longer the run that was opened."""
    if record is None:
        yield
        return
    series = Path(record["folder"]).parent
    with (series / ".update.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        latest = (series / "latest").resolve().name
        if latest != record["run_id"]:
            msg = f"index: {series} has changed (latest is {latest}); open it again and repeat the change"
            raise ArtifactError(msg)
        yield


def _next_run(run: RunId, record: RunRecord, store: ArtifactStore, ref: ArtifactRef) -> RunRecord:
    """Write the folder of a run that names a new generation, point `latest` at it, and return its record."""
    folder = Path(record["folder"]).parent
    manifest = store.manifest(ref.kind, ref.key)
    stage = {
        "stage": "index", "kind": ref.kind, "key": ref.key, "state": "computed", "seconds": round(ref.seconds, 3),
        "peak_rss_bytes": ref.peak_rss_bytes, "rows": ref.rows, "recipe": manifest["recipe"],
    }  # fmt: skip
    others = {"state": "cached", "seconds": 0.0}
    stages = [stage if each["stage"] == "index" else {**each, **others} for each in record["stages"]]
    grown = {
        **{name: value for name, value in record.items() if name != "folder"},
        "run_id": run.run_id,
        "created": run.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - run.started).total_seconds(),
        "stages": stages,
        **index_figures(manifest["meta"]),
    }
    write_run(folder.parent, run, grown)
    return {**grown, "folder": str(folder / run.run_id)}
