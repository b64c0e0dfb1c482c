"""Index runs: where an index is found, and how a new generation of it is made and named by a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.index import IndexConfig
from configs.models import LoadConfig, RuntimeConfig
from tasks import recipes
from tasks.digests import text_digests
from tasks.errors import ArtifactError, ConfigError, PipelineError
from tasks.index_build import write_index
from tasks.index_files import IndexFiles, take_file
from tasks.queries import check_vector
from tasks.runs import RunId, RunRecord, find_run, list_runs, point_latest, run_folder, write_json
from tasks.store import ArtifactRef, ArtifactStore, ArtifactWriter, canonical_json, digest, open_store

if TYPE_CHECKING:
    from tasks.search_index import SearchIndex

FLOW = "build_index"


def newest_index(runs: Path, wanted: str | None) -> RunRecord:
    """Return the record of an index's run by name, id or folder; of the newest completed one if None.

    Raises
    ------
    ConfigError
        When there is none.
    """
    if wanted is not None:
        return _index_record(
            find_run(runs, f"{wanted}/latest" if (runs / wanted / "latest").exists() else wanted)
        )
    for record in list_runs(runs):
        if record.get("flow") == FLOW and record.get("state") == "completed":
            return record
    msg = f"{runs}: no index; make one with `topicflow index CONFIG`, or name another folder with --runs"
    raise ConfigError(msg)


def _index_record(record: RunRecord) -> RunRecord:
    if record.get("flow") != FLOW or record.get("state") != "completed":
        found = f"a {record.get('state')} run of {record.get('flow')}"
        msg = f"{record['name']}/{record['run_id']} is {found}, expected a completed run of {FLOW}"
        raise ConfigError(msg)
    return record


def locate_index(path: Path) -> tuple[ArtifactStore, str, RunRecord | None]:
    """Return store, key and run's record of an index, by a run's folder or an artifact's; raise ConfigError if none."""
    if (path / "manifest.json").exists():
        folder = path.resolve()
        return ArtifactStore(folder.parents[1]), folder.name, None
    folder = path / "latest" if (path / "latest").exists() else path
    try:
        record = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        msg = f"{path}: no index here; expected a folder such as runs/search/latest or store/indexes/<key>"
        raise ConfigError(msg) from None
    return open_record({**record, "folder": str(folder.resolve())})


def open_record(record: RunRecord) -> tuple[ArtifactStore, str, RunRecord]:
    """Return store, key and record of the index that a run names."""
    _index_record(record)
    return open_store(RuntimeConfig(store=record["store"])), index_key(record), record


def index_key(record: RunRecord) -> str:
    """Return the key of the index that a run made."""
    return str(next(stage["key"] for stage in record["stages"] if stage["stage"] == "index"))


# --- have the documents changed since? ---


def source_files(load: LoadConfig) -> list[list[Any]]:
    """Return path, bytes and time of change of each local input file; none for other sources."""
    from tasks import docstrings
    from tasks.sources import find_files, is_remote

    if load.path is None or is_remote(load.path) or docstrings.is_docstrings(load.path):
        return []
    files = find_files(load)
    stats = [(path, path.stat()) for path in files.paths]
    return [[str(path.absolute()), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def changed_since(record: RunRecord, store: ArtifactStore, meta: Mapping[str, Any]) -> str | None:
    """Return the input that has other documents now than when the index was built, or None.

    Notes
    -----
    Files are read only where size or time of change differ: then their digests decide.
    """
    known = record.get("source_files")
    if not known or meta.get("documents") is None:
        return None
    load = LoadConfig.model_validate(tomllib.loads(record["config"])["load"])
    with contextlib.suppress(PipelineError, OSError):  # an input that is gone says nothing about the index
        if source_files(load) == known:
            return None
        from tasks.sources import fingerprint

        named = recipes.load(load, str(fingerprint(load)))
        if store.state("sources", named.key) == "hit":
            documents = store.json(ArtifactRef("sources", named.key, stage="load"), "documents")["documents"]
            if documents == meta["documents"]:
                return None
        return str(load.path)
    return None


# --- a new generation ---


def grow(
    index: SearchIndex,
    documents: Sequence[Mapping[str, Any]] | pl.DataFrame | None,
    vectors: NDArray[np.floating] | None,
    removed: Sequence[int],
) -> SearchIndex:
    """Return the index with documents added and rows removed, written as its next generation and named by a run.

    Raises
    ------
    ConfigError
        When the documents do not fit the index.
    ArtifactError
        When another has changed the index meanwhile, or it cannot be written.
    """
    from tasks.search_index import SearchIndex

    started = time.perf_counter()
    files = index.files
    fresh = _fresh(index, documents)
    again = index.documents["doc_id"].is_in(fresh["doc_id"].implode()).to_numpy()
    replaced = np.flatnonzero(again & ~np.asarray(files.array("removed")))
    gone = np.union1d(np.asarray(removed, np.int64), replaced)
    embedded = _embedded(index, fresh, vectors)
    config = IndexConfig.model_validate(files.meta["config"])
    with _alone(index.record):
        ref = _write(files, fresh, embedded, gone, config)
        record = None if index.record is None else _next_run(index.record, files.store, ref, started)
    return SearchIndex(IndexFiles.open(files.store, ref.key), record)


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
    """Keep the topics; fresh documents have none until the topic model has seen them."""
    writer.save_array("topics", np.append(files.array("topics"), np.full(n_fresh, -1, np.int32)))
    for name in ("topics.parquet", "topic_vectors.npy"):
        take_file(writer, files.path(name), name)


def _fresh(index: SearchIndex, documents: Sequence[Mapping[str, Any]] | pl.DataFrame | None) -> pl.DataFrame:
    """Return the documents to add with the index's columns."""
    schema = index.documents.schema
    if documents is None or not len(documents):
        return pl.DataFrame(schema=schema)
    given = pl.DataFrame(documents, infer_schema_length=None)
    if unknown := [name for name in given.columns if name not in schema]:
        msg = f"index: the documents to add have a column {unknown[0]!r}, the index has: {', '.join(schema)}"
        raise ConfigError(msg)
    if (
        "text" not in given.columns
        or given["text"].is_null().any()
        or (given["text"].str.strip_chars() == "").any()
    ):
        msg = "index: each document to add needs a text"
        raise ConfigError(msg)
    if "doc_id" not in given.columns:
        ids = text_digests(given["text"])[:, 0].astype("<u8").tobytes().hex()
        given = given.with_columns(doc_id=pl.Series([ids[16 * i : 16 * i + 16] for i in range(given.height)]))
    given = given.with_columns(pl.col("doc_id").cast(pl.String))
    if given["doc_id"].is_null().any() or given["doc_id"].is_duplicated().any():
        repeated = given["doc_id"].filter(given["doc_id"].is_duplicated()).head(1).to_list()
        what = f"repeat the id {repeated[0]!r}" if repeated else "lack an id"
        msg = f"index: the documents to add {what}; each needs one of its own"
        raise ConfigError(msg)
    own = set(given.columns)
    filled = [
        pl.col(name).cast(dtype) if name in own else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    ]
    try:
        return given.select(filled)
    except pl.exceptions.PolarsError as error:
        msg = f"index: the documents to add do not fit the index's columns: {str(error).splitlines()[0]}"
        raise ConfigError(msg) from None


def _embedded(
    index: SearchIndex, fresh: pl.DataFrame, vectors: NDArray[np.floating] | None
) -> NDArray[np.float32]:
    """Return unit vectors (n_fresh, dim) of the documents to add, given or embedded."""
    dim = index.vectors.dim
    if not fresh.height:
        return np.zeros((0, dim), np.float32)
    if vectors is None:
        return index.queries.encode_documents(fresh["text"].to_list())
    if len(vectors) != fresh.height:
        msg = f"index: {len(vectors):,} vectors for {fresh.height:,} documents to add; one each"
        raise ConfigError(msg)
    return np.stack([check_vector(vector, dim) for vector in vectors])


@contextlib.contextmanager
def _alone(record: RunRecord | None) -> Iterator[None]:
    """Hold the lock of a name's updates; raise ArtifactError where `latest` is no longer the run that was opened."""
    if record is None:
        yield
        return
    series = Path(record["folder"]).parent
    with (series / ".update.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        latest = (series / "latest").resolve().name
        if latest != record["run_id"]:
            msg = f"index: {series} was changed meanwhile (latest is {latest}); open it again and repeat the change"
            raise ArtifactError(msg)
        yield


def _next_run(record: RunRecord, store: ArtifactStore, ref: ArtifactRef, started: float) -> RunRecord:
    """Return the record of the run that names a new generation, its folder written and `latest` pointing at it."""
    run = RunId.new(record["name"])
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
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - started,
        "stages": stages,
        **index_figures(manifest["meta"]),
    }
    write_run(folder.parent, run, grown)
    return {**grown, "folder": str(folder / run.run_id)}


def index_figures(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's record says of its index: `n_documents` and `metrics`."""
    names = (
        "n_documents",
        "added",
        "removed",
        "method",
        "codes",
        "ef",
        "recall",
        "target_recall",
        "n_with_topic",
    )
    figures = {name: meta[name] for name in names if meta.get(name) is not None}
    figures |= {f"latency_ms_{name}": value for name, value in (meta.get("latency_ms") or {}).items()}
    return {"n_documents": meta["n_documents"], "metrics": figures}


def write_run(runs: Path, run: RunId, record: RunRecord) -> None:
    """Write the folder of an index's run and point `latest` at it; raise ArtifactError where that fails."""
    with run_folder(runs, run) as folder:
        write_json(folder / "metrics.json", record["metrics"])
        write_json(folder / "run.json", record)
        (folder / "config.toml").write_text(record["config"], encoding="utf-8")
    point_latest(runs / run.name, run.run_id)
