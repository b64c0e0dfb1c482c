"""Retention: the store and the kept runs -> lists of artifacts, damaged ones, and what no run refers to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.backends import Entry
from tasks.errors import ArtifactError
from tasks.runs import list_runs
from tasks.store import ArtifactRef, ArtifactStore


@dataclass(frozen=True)
class Artifact:
    """What is known of an artifact from its place: kind, key, size in bytes, rows, when it was made."""

    kind: str
    key: str
    bytes: int
    rows: int
    created: str


def list_artifacts(store: ArtifactStore) -> list[Artifact]:
    """Return every artifact of a store, by kind and key; those without a readable manifest have -1 rows."""
    return list(store.each(lambda entry: _describe(store, entry), store.entries()))


def verify_artifacts(store: ArtifactStore) -> Iterator[tuple[Artifact, str]]:
    """Yield every artifact with what is wrong with it, an empty string where nothing is; every byte is read.

    What is damaged is removed, so that the next run computes it again: a hit looks at sizes only.
    """
    for entry in store.entries():
        artifact = _describe(store, entry)
        state = store.state(artifact.kind, artifact.key)
        problem = state if state != "hit" else _wrong_digests(store, artifact)
        if problem:
            store.discard(artifact.kind, artifact.key)
        yield artifact, problem


def collect_garbage(
    store: ArtifactStore, runs: Iterable[Path], min_age_s: float, *, dry_run: bool = False
) -> list[Artifact]:
    """Return the artifacts removed: those that no run record refers to, directly or through an input.

    Parameters
    ----------
    store : ArtifactStore
        What is cleaned.
    runs : iterable of Path
        Folders of runs; what any record in them refers to stays.
    min_age_s : float
        What is younger stays, in seconds: a run that has no record yet may be using it.
    dry_run : bool
        Remove nothing.
    """
    kept = _referred_to(store, runs)
    oldest_kept = time.time() - min_age_s
    removed = []
    for entry in store.entries():
        if (entry.kind, entry.key) in kept or entry.modified > oldest_kept:
            continue
        removed.append(_describe(store, entry))
        if not dry_run:
            store.discard(entry.kind, entry.key)
    if not dry_run:
        store.backend.clear(oldest_kept)
    return removed


def _describe(store: ArtifactStore, entry: Entry) -> Artifact:
    try:
        manifest = store.manifest(entry.kind, entry.key)
        rows, created = int(manifest["rows"]), str(manifest["created"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        rows, created = -1, ""
    return Artifact(entry.kind, entry.key, entry.bytes, rows, created)


def _wrong_digests(store: ArtifactStore, artifact: Artifact) -> str:
    files = store.manifest(artifact.kind, artifact.key)["files"]
    wrong = [
        name
        for name, entry in files.items()
        if store.backend.digest(artifact.kind, artifact.key, name) != entry["blake2b"]
    ]
    return f"corrupt: {', '.join(wrong)} changed since written" if wrong else ""


def _referred_to(store: ArtifactStore, runs: Iterable[Path]) -> set[tuple[str, str]]:
    """Return kind and key of what the records refer to, with the vectors and source records these stand on."""
    kept = {
        (stage["kind"], stage["key"])
        for folder in runs
        for record in list_runs(folder)
        for stage in record.get("stages", [])
    }
    for kind, key in tuple(kept):
        if store.state(kind, key) != "hit":
            continue
        meta = store.manifest(kind, key)["meta"]
        kept |= {(f"vectors-{meta['encoder']}", chunk) for chunk in meta.get("chunks", ())}
        kept |= {("trials", trial) for trial in meta.get("trials", ())}
    documents = {key for kind, key in kept if kind == "documents"}
    for key in store.hits("sources"):
        named = store.json(ArtifactRef("sources", key, stage="load"), "documents")["documents"]
        kept |= {("sources", key)} if named in documents else set()
    return kept
