"""Retention: the store and the runs -> the runs to delete, lists of artifacts, and artifacts that no run refers to."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from topicflow.configs.flows.serving import RetentionConfig
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.history import LATEST, RunRecord, is_published, list_runs
from topicflow.tasks.runs.prometheus import METRICS_FILE
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.in_use import in_use_since
from topicflow.tasks.store.local import clear_files, clear_folders
from topicflow.tasks.store.protocol import Entry


@dataclass(frozen=True)
class Artifact:
    """An artifact in a listing: kind, key, size in bytes, rows, when it was made."""

    kind: str
    key: str
    bytes: int
    rows: int
    created: str


@dataclass(frozen=True)
class Cleaned:
    """The result of a cleaning: the folders of runs and the artifacts that were deleted."""

    runs: list[Path]
    artifacts: list[Artifact]


def clean(store: ArtifactStore, runs: Sequence[Path], policy: RetentionConfig) -> Cleaned:
    """Delete runs beyond the policy, then artifacts that no kept run refers to; return what was (or would be) deleted.

    Parameters
    ----------
    store : ArtifactStore
        The store to clean.
    runs : sequence of Path
        Folders of runs.
    policy : RetentionConfig
        Which runs are kept; its `store` and `runs` are not read.

    Raises
    ------
    ConfigError
        If a folder of runs does not exist or contains no record, and the policy does not say that there are no runs.
    ArtifactError
        If a record cannot be read; nothing is deleted then.
    """
    if not policy.no_runs:
        _check_runs(store, runs)
    gone = [run for folder in runs for run in expired_runs(folder, policy)]
    if not policy.dry_run:
        for folder in gone:
            _remove_run(folder)
    min_age_s = policy.min_age_hours * 3600.0
    return Cleaned(gone, collect_garbage(store, runs, min_age_s, dry_run=policy.dry_run, without=gone))


def _check_runs(store: ArtifactStore, runs: Sequence[Path]) -> None:
    """Raise ConfigError if a folder contains no run, so that nothing in the store would be kept for it."""
    for folder in runs:
        if not list_runs(folder) and next(iter(store.entries()), None) is not None:
            found = "contains no record of a run" if folder.is_dir() else "no such folder"
            msg = (
                f"store gc: {folder}: {found}, so artifacts of its runs would be deleted; name the right folder with "
                "--runs, or give --no-runs if there are no runs to keep"
            )
            raise ConfigError(msg)


def expired_runs(runs: Path, policy: RetentionConfig) -> list[Path]:
    """Return the folders of the runs that the policy does not keep, oldest first; none if it sets no limit.

    Kept are the newest `keep_runs` published runs of each name, runs that are younger than `keep_days`, and the
    runs that `latest` points at. A run depends only on artifacts, never on another run's folder.

    Raises
    ------
    ArtifactError
        If a record cannot be read: its run may be one of the newest.
    """
    if policy.keep_runs is None and policy.keep_days is None:
        return []
    n_good: Counter[str] = Counter()
    gone = []
    for record in list_runs(runs):  # newest first
        is_good = is_published(record)
        n_good[record["name"]] += is_good
        folder = Path(record["folder"])
        is_kept = (
            (is_good and n_good[record["name"]] <= (policy.keep_runs or 0))
            or _is_younger(record, policy.keep_days or 0.0)
            or (folder.parent / LATEST).resolve() == folder.resolve()
        )
        if not is_kept:
            gone.append(folder)
    return gone[::-1]


def _is_younger(record: RunRecord, days: float) -> bool:
    """Return whether a run began less than this many days ago; a record without a date is old."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        began = datetime.fromisoformat(str(record["created"]))
        return (datetime.now(UTC) - began).total_seconds() < days * 86_400.0
    return False


def _remove_run(folder: Path) -> None:
    """Move a run's folder out of sight in one rename, then delete it."""
    aside = folder.with_name(f".{folder.name}.removed")
    with contextlib.suppress(FileNotFoundError):  # another cleaning was faster
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def list_artifacts(store: ArtifactStore) -> list[Artifact]:
    """Return every artifact of a store, by kind and key; those without a readable manifest have -1 rows."""
    return list(store.each(lambda entry: _describe(store, entry), store.entries()))


def collect_garbage(
    store: ArtifactStore,
    runs: Iterable[Path],
    min_age_s: float,
    *,
    dry_run: bool = False,
    without: Iterable[Path] = (),
) -> list[Artifact]:
    """Delete the artifacts that no run record refers to, directly or through an input, and return them.

    Artifacts that a running run made or found since its begin are kept, for any `min_age_s`. All vectors of texts are
    kept while a run is running: it knows which of them it needs only after reading its texts.

    Parameters
    ----------
    store : ArtifactStore
        The store to clean.
    runs : iterable of Path
        Folders of runs; everything that a record in them refers to is kept.
    min_age_s : float
        Younger artifacts are kept, in seconds.
    dry_run : bool
        Remove nothing.
    without : iterable of Path
        Folders of runs whose records do not count.

    Raises
    ------
    ArtifactError
        If a record cannot be read; nothing is deleted then.
    """
    runs = tuple(runs)
    since = in_use_since(
        store.backend
    )  # before the records are read: a run may end meanwhile and write its record
    kept = _referred_to(store, runs, {str(folder) for folder in without})
    oldest_kept = min(time.time() - min_age_s, since or float("inf"))
    removed = []
    for entry in store.entries():
        if (entry.kind, entry.key) in kept or entry.modified > oldest_kept:
            continue
        if entry.kind.startswith("vectors-") and in_use_since(store.backend) is not None:
            continue  # they may belong to a run that has just begun
        removed.append(_describe(store, entry))
        if not dry_run:
            store.discard(entry.kind, entry.key)
    if not dry_run:
        store.backend.clear(oldest_kept)
        clear_folders(_found(runs, "*/.*.staging", "*/.*.removed"), oldest_kept)
        clear_files(_found(runs, "*/.latest-*", f"{METRICS_FILE}.[0-9]*.[0-9]*"), oldest_kept)
    return removed


def _found(runs: Iterable[Path], *patterns: str) -> Iterator[Path]:
    """Yield what was being written, or removed, in folders of runs when its process was killed."""
    for folder in runs:
        for pattern in patterns:
            yield from folder.glob(pattern)


def _describe(store: ArtifactStore, entry: Entry) -> Artifact:
    try:
        manifest = store.manifest(entry.kind, entry.key)
        rows, created = int(manifest["rows"]), str(manifest["created"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        rows, created = -1, ""
    return Artifact(entry.kind, entry.key, entry.bytes, rows, created)


def _referred_to(store: ArtifactStore, runs: Iterable[Path], without: set[str]) -> set[tuple[str, str]]:
    """Return kind and key of everything the records refer to, with the vectors and sources that these depend on."""
    kept = {
        (stage["kind"], stage["key"])
        for folder in runs
        for record in list_runs(folder)
        if record["folder"] not in without
        for stage in record.get("stages", [])
    }
    for kind, key in [
        each for each in kept if each[0] == "states"
    ]:  # of updates: everything that they refer to
        state = store.state(kind, key)
        if state == "hit":
            kept |= {(of, own) for of, own in store.manifest(kind, key)["meta"]["refers_to"]}
        elif state != "missing":
            msg = (
                f"store gc: {store.name}: {kind}/{key} is {state}, so the artifacts of its chain of updates are not "
                "known; restore it, or delete the folder of the run that names it"
            )
            raise ArtifactError(msg)
    for kind, key in tuple(kept):
        if store.state(kind, key) != "hit":
            continue
        meta = store.manifest(kind, key)["meta"]
        kept |= {(f"vectors-{meta['encoder']}", chunk) for chunk in meta.get("chunks", ())}
        kept |= {("trials", trial) for trial in meta.get("trials", ())}
        kept |= {(kind, key) for kind, key in meta.get("beside", ())}
        kept |= {("adapters", meta["adapter"])} if kind == "embeddings" and "adapter" in meta else set()
    documents = {key for kind, key in kept if kind == "documents"}
    for key in store.hits("sources"):
        named = store.json(ArtifactRef("sources", key, stage="load"), "documents")["documents"]
        kept |= {("sources", key)} if named in documents else set()
    return kept
