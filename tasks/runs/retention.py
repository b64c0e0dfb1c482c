"""Retention: the store and the runs -> which runs go, lists of artifacts, and what no run refers to."""

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
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.in_use import in_use_since
from topicflow.tasks.store.local import clear_folders
from topicflow.tasks.store.protocol import Entry


@dataclass(frozen=True)
class Artifact:
    """What is known of an artifact from its place: kind, key, size in bytes, rows, when it was made."""

    kind: str
    key: str
    bytes: int
    rows: int
    created: str


@dataclass(frozen=True)
class Cleaned:
    """What a cleaning removed: folders of runs, and artifacts."""

    runs: list[Path]
    artifacts: list[Artifact]


def clean(store: ArtifactStore, runs: Sequence[Path], policy: RetentionConfig) -> Cleaned:
    """Return what was removed (or would be): runs beyond the policy, then what no kept run refers to.

    Parameters
    ----------
    store : ArtifactStore
        What is cleaned.
    runs : sequence of Path
        Folders of runs.
    policy : RetentionConfig
        Which runs are kept; its `store` and `runs` are not read.

    Raises
    ------
    ConfigError
        When a folder of runs is not there or holds no record, and the policy does not say that there are none.
    ArtifactError
        When a record cannot be read; nothing is deleted then.
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
    """Raise ConfigError where a folder names no run, so that nothing in the store would be kept for it."""
    for folder in runs:
        if not list_runs(folder) and next(iter(store.entries()), None) is not None:
            found = "holds no record of a run" if folder.is_dir() else "no such folder"
            msg = (
                f"store gc: {folder}: {found}, so artifacts of its runs would be deleted; name the right folder with "
                "--runs, or give --no-runs where there are no runs to keep"
            )
            raise ConfigError(msg)


def expired_runs(runs: Path, policy: RetentionConfig) -> list[Path]:
    """Return the folders of the runs that the policy does not keep, oldest first; none if it names no bound.

    Kept are the last `keep_runs` of each name that completed and were not held back by a gate, what is younger than
    `keep_days`, and what `latest` points at. A run stands on artifacts alone, never on another run's folder.

    Raises
    ------
    ArtifactError
        When a record cannot be read: its run may be one of the last.
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
    """True when a run began less than this many days ago; a record without a date is old."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        began = datetime.fromisoformat(str(record["created"]))
        return (datetime.now(UTC) - began).total_seconds() < days * 86_400.0
    return False


def _remove_run(folder: Path) -> None:
    """Take a run's folder out of sight in one rename, then delete it."""
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
    """Return the artifacts removed: those that no run record refers to, directly or through an input.

    What a run at work made or found since it began stays, whatever `min_age_s` says, and so do all vectors of texts
    while one is at work: which of them it needs is known only when it has read its texts.

    Parameters
    ----------
    store : ArtifactStore
        What is cleaned.
    runs : iterable of Path
        Folders of runs; what any record in them refers to stays.
    min_age_s : float
        What is younger stays, in seconds.
    dry_run : bool
        Remove nothing.
    without : iterable of Path
        Folders of runs whose records do not count.

    Raises
    ------
    ArtifactError
        When a record cannot be read; nothing is deleted then.
    """
    runs = tuple(runs)
    since = in_use_since(
        store.backend
    )  # before the records are read: a run may end meanwhile, and leave its own
    kept = _referred_to(store, runs, {str(folder) for folder in without})
    oldest_kept = min(time.time() - min_age_s, since or float("inf"))
    removed = []
    for entry in store.entries():
        if (entry.kind, entry.key) in kept or entry.modified > oldest_kept:
            continue
        if entry.kind.startswith("vectors-") and in_use_since(store.backend) is not None:
            continue  # of a run that has begun just now, too
        removed.append(_describe(store, entry))
        if not dry_run:
            store.discard(entry.kind, entry.key)
    if not dry_run:
        store.backend.clear(oldest_kept)
        clear_folders(_unfinished(runs), oldest_kept)
    return removed


def _unfinished(runs: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders of runs that were being written, or removed, when their process was killed."""
    for folder in runs:
        for pattern in ("*/.*.staging", "*/.*.removed"):
            yield from folder.glob(pattern)


def _describe(store: ArtifactStore, entry: Entry) -> Artifact:
    try:
        manifest = store.manifest(entry.kind, entry.key)
        rows, created = int(manifest["rows"]), str(manifest["created"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        rows, created = -1, ""
    return Artifact(entry.kind, entry.key, entry.bytes, rows, created)


def _referred_to(store: ArtifactStore, runs: Iterable[Path], without: set[str]) -> set[tuple[str, str]]:
    """Return kind and key of what the records refer to, with the vectors and source records these stand on."""
    kept = {
        (stage["kind"], stage["key"])
        for folder in runs
        for record in list_runs(folder)
        if record["folder"] not in without
        for stage in record.get("stages", [])
    }
    for kind, key in [each for each in kept if each[0] == "states"]:  # of updates: all that they stand on
        state = store.state(kind, key)
        if state == "hit":
            kept |= {(of, own) for of, own in store.manifest(kind, key)["meta"]["refers_to"]}
        elif state != "missing":
            msg = (
                f"store gc: {store.name}: {kind}/{key} is {state}, so what its chain of updates stands on is not "
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
