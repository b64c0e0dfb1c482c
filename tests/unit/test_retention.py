"""What gc keeps and removes."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.retention import collect_garbage, list_artifacts
from tasks.store import ArtifactRef, ArtifactStore
from tests.fakes import save

DAY_S = 86_400.0


@pytest.fixture
def kept(store: ArtifactStore) -> set[str]:
    """Artifacts that a run refers to, directly or through another, beside as many that none refers to."""
    ones = np.ones(3)
    names = {}
    for name in ("kept", "lost"):
        chunk = save(store, "vectors-enc", {"vectors": ones}, name=name)
        embeddings = save(store, "embeddings", {"e": ones}, {"encoder": "enc", "chunks": [chunk.key]}, name)
        documents = save(store, "documents", {"d": ones}, name=name)
        source = save(store, "sources", {"documents": {"documents": documents.key}}, name=name)
        names[name] = [chunk, embeddings, documents, source]
    record(store, "r1", names["kept"][1:3])
    for folder in store.root.glob("*/*"):
        age(folder)
    return {f"{ref.kind}/{ref.key}" for ref in names["kept"]}


def record(store: ArtifactStore, run_id: str, refs: list[ArtifactRef]) -> None:
    folder = store.root.parent / "runs" / "topics" / run_id
    folder.mkdir(parents=True)
    stages = [{"stage": ref.stage, "kind": ref.kind, "key": ref.key} for ref in refs]
    text = json.dumps({"run_id": run_id, "name": "topics", "state": "completed", "stages": stages})
    (folder / "run.json").write_text(text)


def age(folder: Path, days: float = 2) -> None:
    then = time.time() - days * DAY_S
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


def left(store: ArtifactStore) -> set[str]:
    return {f"{a.kind}/{a.key}" for a in list_artifacts(store)}


def test_gc_keeps_what_records_stand_on_and_removes_the_rest(store: ArtifactStore, kept: set[str]) -> None:
    runs = [store.root.parent / "runs"]
    lost = left(store) - kept
    assert len(lost) == 4
    assert {f"{a.kind}/{a.key}" for a in collect_garbage(store, runs, DAY_S, dry_run=True)} == lost
    assert left(store) == kept | lost
    removed = collect_garbage(store, runs, DAY_S)
    assert {f"{a.kind}/{a.key}" for a in removed} == lost
    assert all(artifact.bytes > 100 for artifact in removed)
    assert left(store) == kept
    assert collect_garbage(store, runs, DAY_S) == []


def test_gc_keeps_what_is_young(store: ArtifactStore, kept: set[str]) -> None:
    young = save(store, "documents", {"d": np.ones(2)}, name="young")
    collect_garbage(store, [store.root.parent / "runs"], DAY_S)
    assert left(store) == kept | {f"documents/{young.key}"}
    collect_garbage(store, [store.root.parent / "runs"], 0.0)
    assert left(store) == kept


def test_gc_reads_all_folders_of_runs(store: ArtifactStore, kept: set[str], tmp_path: Path) -> None:
    assert collect_garbage(store, [tmp_path / "elsewhere", store.root.parent / "runs"], DAY_S, dry_run=True)
    assert left(store) > kept
    collect_garbage(store, [tmp_path / "elsewhere"], DAY_S)
    assert left(store) == set()


def test_gc_clears_what_killed_writers_left_but_no_writer_at_work(
    store: ArtifactStore, kept: set[str]
) -> None:
    staging = store.root / ".staging"
    for name in ("killed", "at-work", "begun"):
        (staging / name).mkdir(parents=True)
        (staging / name / "a.npy").write_text("half")
        age(staging / name)
    os.utime(staging / "at-work" / "a.npy")  # its folder is old, what it writes is not
    os.utime(staging / "begun")
    collect_garbage(store, [store.root.parent / "runs"], DAY_S, dry_run=True)
    assert len(list(staging.iterdir())) == 3
    collect_garbage(store, [store.root.parent / "runs"], DAY_S)
    assert {path.name for path in staging.iterdir()} == {"at-work", "begun"}
    assert left(store) == kept


def test_an_artifact_without_a_manifest_is_listed_and_collected(store: ArtifactStore) -> None:
    ref = save(store, "documents", {"d": np.ones(2)})
    store.path(ref, "manifest.json").unlink()
    age(store.folder(ref.kind, ref.key))
    assert [(a.key, a.rows) for a in list_artifacts(store)] == [(ref.key, -1)]
    assert len(collect_garbage(store, [], DAY_S)) == 1
    assert left(store) == set()
