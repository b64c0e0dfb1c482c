"""The artifacts and runs that gc keeps and removes."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import clean_environment
from tests.fakes import save
from tests.runs import complete
from topicflow.configs.flows.serving import RetentionConfig
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import point_latest
from topicflow.tasks.runs.retention import clean, collect_garbage, expired_runs, list_artifacts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.in_use import in_use, in_use_since

DAY_S = 86_400.0


@pytest.fixture
def kept(store: ArtifactStore) -> set[str]:
    """Artifacts that a run refers to, directly or through another, and the same number without a reference."""
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


def test_gc_keeps_what_records_refer_to_and_removes_the_rest(store: ArtifactStore, kept: set[str]) -> None:
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


def test_gc_clears_the_folders_of_runs_that_were_killed_but_none_at_work(store: ArtifactStore) -> None:
    series = store.root.parent / "runs" / "topics"
    for name in (".r1.staging", ".r2.removed", ".r3.staging", "r4"):
        (series / name).mkdir(parents=True)
        (series / name / "report.html").write_text("")
        age(series / name)
    (series / ".r3.staging" / "report.html").write_text("more")
    collect_garbage(store, [series.parent], DAY_S, dry_run=True)
    assert len(list(series.iterdir())) == 4
    collect_garbage(store, iter([series.parent]), DAY_S)
    assert sorted(path.name for path in series.iterdir()) == [".r3.staging", "r4"]


def test_gc_clears_links_and_files_that_killed_runs_did_not_rename(
    store: ArtifactStore, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    complete(runs, 1)
    save(store, "topics", {"x": np.zeros(3)})
    link = runs / "topics/.latest-0123456789abcdef"
    link.symlink_to("20260101-000001-abcdef")
    files = [runs / "metrics.prom.12.34", store.root / ".format-0123456789abcdef"]
    for path in files:
        path.write_text("half")
    collect_garbage(store, [runs], 3600.0)
    assert all(path.exists() for path in (link, *files))
    collect_garbage(store, [runs], 0.0)
    assert not any(path.is_symlink() or path.exists() for path in (link, *files))
    assert (runs / "topics/latest/run.json").exists()


def test_an_artifact_without_a_manifest_is_listed_and_collected(store: ArtifactStore) -> None:
    ref = save(store, "documents", {"d": np.ones(2)})
    store.path(ref, "manifest.json").unlink()
    age(store.folder(ref.kind, ref.key))
    assert [(a.key, a.rows) for a in list_artifacts(store)] == [(ref.key, -1)]
    assert len(collect_garbage(store, [], DAY_S)) == 1
    assert left(store) == set()


# --- the policy ---


def past(runs: Path, name: str, days_ago: float, **changes: Any) -> str:
    """Make the record of a run that began this long ago and return `name/id`."""
    began = datetime.now(UTC) - timedelta(days=days_ago)
    run_id = f"{began:%Y%m%d-%H%M%S}-abcdef"
    (runs / name / run_id).mkdir(parents=True)
    values = {"run_id": run_id, "name": name, "state": "completed", "created": began.isoformat(), **changes}
    (runs / name / run_id / "run.json").write_text(json.dumps(values))
    return f"{name}/{run_id}"


def expired(runs: Path, **policy: Any) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in expired_runs(runs, RetentionConfig(**policy))]


def test_the_last_runs_of_each_name_and_young_ones_are_kept(tmp_path: Path) -> None:
    a = [past(tmp_path, "a", days) for days in (50, 40, 30, 20, 10)]  # oldest first
    b = [past(tmp_path, "b", days) for days in (45, 5)]
    assert expired(tmp_path) == []
    assert expired(tmp_path, keep_runs=2) == a[:3]
    assert expired(tmp_path, keep_runs=1) == [a[0], b[0], a[1], a[2], a[3]]
    assert expired(tmp_path, keep_days=25) == [a[0], b[0], a[1], a[2]]
    assert expired(tmp_path, keep_runs=4, keep_days=1) == a[:1]
    assert expired(tmp_path, keep_runs=5) == []


def test_failed_and_held_runs_do_not_push_good_ones_out(tmp_path: Path) -> None:
    good = [past(tmp_path, "a", days) for days in (9, 8)]
    bad = [past(tmp_path, "a", 7, state="failed"), past(tmp_path, "a", 6, published=False)]
    published = past(tmp_path, "a", 5, published=True)
    assert expired(tmp_path, keep_runs=2) == [good[0], *bad]
    assert expired(tmp_path, keep_runs=1) == [*good, *bad]
    assert published not in expired(tmp_path, keep_runs=1)


def test_the_run_of_latest_is_kept_at_any_age(tmp_path: Path) -> None:
    runs = [past(tmp_path, "a", days, published=False) for days in (30, 20, 10)]
    point_latest(tmp_path / "a", runs[0].partition("/")[2])
    assert expired(tmp_path, keep_runs=1) == runs[1:]


def test_clean_removes_runs_and_then_what_only_they_refer_to(store: ArtifactStore, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    refs = {name: save(store, "labels", {"l": np.ones(3)}, name=name) for name in ("old", "both", "new")}

    def stages(*names: str) -> list[dict[str, str]]:
        return [{"stage": "cluster", "kind": refs[name].kind, "key": refs[name].key} for name in names]

    old = past(runs, "a", 30, stages=stages("old", "both"))
    new = past(runs, "a", 1, stages=stages("new", "both"))
    for folder in store.root.glob("*/*"):
        age(folder)
    policy = RetentionConfig(keep_runs=1, min_age_hours=24, dry_run=True)
    would = clean(store, [runs], policy)
    assert ([str(path) for path in would.runs], len(left(store))) == ([str(runs / old)], 3)
    assert [artifact.key for artifact in would.artifacts] == [refs["old"].key]
    assert (runs / old).exists()
    did = clean(store, [runs], policy.model_copy(update={"dry_run": False}))
    assert did == would
    assert left(store) == {f"labels/{refs[name].key}" for name in ("both", "new")}
    assert [f"a/{path.name}" for path in (runs / "a").iterdir()] == [new]


# --- what must not be mistaken for "no run needs it" ---


@pytest.mark.parametrize("content", ["", "{", '{"run_id": "r1", "name": "topics", "st', "[]"])
def test_nothing_is_deleted_while_a_record_cannot_be_read(
    store: ArtifactStore, kept: set[str], tmp_path: Path, content: str
) -> None:
    runs, before = tmp_path / "runs", left(store)
    path = runs / "topics" / "r1" / "run.json"
    path.write_text(content)
    old = past(runs, "other", 30)
    for delete in (
        lambda: collect_garbage(store, [runs], 0.0),
        lambda: clean(store, [runs], RetentionConfig(min_age_hours=0, keep_runs=1)),
        lambda: clean(store, [tmp_path / "runs"], RetentionConfig(min_age_hours=0, dry_run=True)),
        lambda: expired_runs(runs, RetentionConfig(keep_runs=1)),
    ):
        with pytest.raises(ArtifactError, match=f"^runs: {path} cannot be read"):
            delete()
    assert left(store) == before > kept
    assert (runs / old).is_dir()


def test_a_folder_without_runs_is_refused_unless_allowed(
    store: ArtifactStore, kept: set[str], tmp_path: Path
) -> None:
    before, empty = left(store), tmp_path / "empty"
    empty.mkdir()
    for folder, said in ((tmp_path / "elsewhere", "no such folder"), (empty, "contains no record of a run")):
        for runs in ([folder], [tmp_path / "runs", folder]):
            with pytest.raises(
                ConfigError, match=f"^store gc: {folder}: {said}, so .* --runs, or give --no-runs"
            ):
                clean(store, runs, RetentionConfig(min_age_hours=0))
    assert left(store) == before > kept
    clean(store, [tmp_path / "elsewhere"], RetentionConfig(min_age_hours=0, no_runs=True))
    assert left(store) == set()
    assert clean(store, [tmp_path / "elsewhere"], RetentionConfig()).artifacts == []  # nothing could be lost


def test_nothing_is_deleted_while_the_artifacts_of_a_chain_are_unknown(
    store: ArtifactStore, tmp_path: Path
) -> None:
    batch = save(store, "documents", {"d": np.ones(2)}, name="batch")
    state = save(store, "states", {"state": {}}, {"refers_to": [["documents", batch.key]]})
    record(store, "r1", [state])
    collect_garbage(store, [tmp_path / "runs"], 0.0)
    assert left(store) == {f"documents/{batch.key}", f"states/{state.key}"}
    store.path(state, "manifest.json").write_text("{")
    with pytest.raises(
        ArtifactError, match=f"states/{state.key} is corrupt: .* so the artifacts of its chain of updates"
    ):
        collect_garbage(store, [tmp_path / "runs"], 0.0)
    assert store.state("documents", batch.key) == "hit"


# --- runs at work ---


def test_artifacts_of_a_running_run_stay_at_any_age(store: ArtifactStore, tmp_path: Path) -> None:
    chunk, old = (save(store, kind, {"v": np.ones(2)}, name="o") for kind in ("vectors-enc", "labels"))
    for ref in (chunk, old):
        age(store.folder(ref.kind, ref.key))
    with in_use(store.backend):
        made = save(store, "documents", {"d": np.ones(2)}, name="new")
        collect_garbage(store, [tmp_path / "runs"], 0.0)
        assert left(store) == {f"documents/{made.key}", f"vectors-enc/{chunk.key}"}
    collect_garbage(store, [tmp_path / "runs"], 0.0)
    assert left(store) == set()


def test_artifacts_that_a_running_run_is_writing_stay(store: ArtifactStore, tmp_path: Path) -> None:
    staging = tmp_path / "runs" / "topics" / ".r1.staging"
    staging.mkdir(parents=True)
    half = store.root / ".staging" / "half"
    with in_use(store.backend):
        half.mkdir(parents=True)
        collect_garbage(store, [tmp_path / "runs"], 0.0)
        assert half.is_dir()
        assert staging.is_dir()
    collect_garbage(store, [tmp_path / "runs"], 0.0)
    assert not half.exists()
    assert not staging.exists()


KILLED = """
import os, signal, sys, time
from pathlib import Path
from topicflow.tasks.store.in_use import in_use
from topicflow.tasks.store.local import LocalFolder

with in_use(LocalFolder(Path(sys.argv[1]))):
    print("at work", flush=True)
    time.sleep(600)
"""


def test_another_process_is_at_work_until_it_is_killed(store: ArtifactStore, tmp_path: Path) -> None:
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store.root)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    since = in_use_since(store.backend)
    assert since is not None
    assert began - 7300 < since < began
    process.kill()
    process.wait()
    assert in_use_since(store.backend) is None
    assert list((store.root / ".leases").iterdir()) == []
    process.stdout.close()
