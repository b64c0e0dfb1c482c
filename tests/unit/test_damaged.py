"""Damage: wrong bytes that were read are named with their path, set aside, and made again by the same command."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.unit.test_store import RECIPE, visible, write
from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store import files
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.store.verify import verify_artifacts

READS: dict[str, Callable[[ArtifactStore, ArtifactRef], object]] = {
    "a.npy": lambda store, made: store.array(made, "a"),
    "t.parquet": lambda store, made: store.table(made, "t"),
    "deep/j.json": lambda store, made: store.json(made, "deep/j"),
    "model/x.bin": lambda store, made: store.whole(made, "model"),
}


def write_all(store: ArtifactStore) -> ArtifactRef:
    with store.writing(RECIPE) as writer:
        writer.save_array("a", np.arange(6).reshape(2, 3))
        writer.save_table("t", pl.DataFrame({"word": ["x", None]}))
        writer.save_json("deep/j", {"x": [1, None]})
        writer.path("model/x.bin").write_bytes(b"weights")
        writer.rows = 2
    return store.committed(RECIPE, writer)


def flip(path: Path, place: int = -20) -> None:
    """Change one bit but keep the size and the time of change, as a bad disk does."""
    raw, stat = bytearray(path.read_bytes()), path.stat()
    raw[max(place, -len(raw))] ^= 4
    path.write_bytes(raw)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture(autouse=True)
def _nothing_compared_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins like a process; within a process, bytes are compared only once."""
    monkeypatch.setattr(files, "_sound", {})


@pytest.mark.parametrize("name", READS)
def test_a_flipped_bit_is_noticed_by_the_read_and_set_aside_until_made_again(
    store: ArtifactStore, name: str
) -> None:
    made = write_all(store)
    path = store.folder(made.kind, made.key) / name
    flip(path)
    assert store.find(RECIPE) == made  # a hit looks at sizes
    with pytest.raises(DamagedError) as error:
        READS[name](store, made)
    aside = store.root / ".damaged" / f"numbers-{made.key}"
    assert str(error.value) == (
        f"store: {path} is damaged ({name} changed since written); the artifact was set aside in {aside}; "
        "run the same command again to make it again"
    )
    assert (aside / name).exists()
    assert store.state(made.kind, made.key) == f"corrupt: {name} changed since written; it was set aside"
    assert store.find(RECIPE) is None
    assert visible(store) == []
    assert list(verify_artifacts(store)) == []
    assert write_all(store) == made
    READS[name](store, made)
    assert (aside / name).exists()  # for a look, until gc


@pytest.mark.parametrize("how", ["cut", "gone", "a folder"])
@pytest.mark.parametrize("name", READS)
def test_a_file_that_is_cut_gone_or_a_folder_is_named(store: ArtifactStore, name: str, how: str) -> None:
    made = write_all(store)
    path = store.folder(made.kind, made.key) / name
    size = path.stat().st_size
    if how == "cut":
        os.truncate(path, size - 1)
    else:
        path.unlink()
    if how == "a folder":
        path.mkdir()
    with pytest.raises(DamagedError, match=rf"{name} is damaged \({name} (has|is gone|changed)"):
        READS[name](store, made)
    assert store.find(RECIPE) is None


def test_a_part_of_a_table_that_is_gone_is_noticed(store: ArtifactStore) -> None:
    with store.writing(RECIPE) as writer:
        for part in range(3):
            writer.save_table(f"parts/{part}", pl.DataFrame({"x": [part]}))
    made = store.committed(RECIPE, writer)
    assert store.table(made, "parts").collect()["x"].to_list() == [0, 1, 2]
    (store.folder(made.kind, made.key) / "parts" / "1.parquet").unlink()
    with pytest.raises(DamagedError, match=r"parts/1\.parquet is gone"):
        store.table(made, "parts")


def test_a_name_that_an_artifact_does_not_contain_is_one_line(store: ArtifactStore) -> None:
    made = write_all(store)
    reads = (store.array, store.table, store.json, store.whole)
    for read in reads:
        with pytest.raises(ArtifactError, match=rf"^store: .*{made.key} contains no .*nothing"):
            read(made, "nothing")
    assert store.find(RECIPE) == made


# --- arrays ---


@pytest.mark.parametrize("byte", range(128))
def test_a_flipped_header_of_a_large_array_is_one_line(
    store: ArtifactStore, byte: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Larger arrays are mapped and not read completely; each flip in the header is noticed or harmless."""
    monkeypatch.setattr(files, "WHOLE_BYTES", 0)
    monkeypatch.setattr("topicflow.tasks.store.artifact_store.WHOLE_BYTES", 0)
    values = np.arange(200, dtype=np.float32).reshape(20, 10)
    with store.writing(RECIPE) as writer:
        writer.save_array("a", values)
    path = store.folder("numbers", RECIPE.key) / "a.npy"
    good = path.read_bytes()
    for bit in range(8):
        made = store.find(RECIPE)
        assert made is not None
        changed = bytearray(good)
        changed[byte] ^= 1 << bit
        path.write_bytes(changed)
        try:
            found = store.array(made, "a")
        except DamagedError as error:
            assert "a.npy is damaged (a.npy changed since written)" in str(error)  # noqa: PT017
            shutil.rmtree(store.root / "numbers", ignore_errors=True)
            with store.writing(RECIPE) as writer:
                writer.save_array("a", values)
        else:
            np.testing.assert_array_equal(found, values)


def test_a_large_array_is_compared_before_a_run_is_published(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topicflow.tasks.store.artifact_store.WHOLE_BYTES", 0)
    made = write_all(store)
    flip(store.folder(made.kind, made.key) / "a.npy", -1)
    assert store.array(made, "a").shape == (2, 3)
    with pytest.raises(DamagedError, match=r"a\.npy changed since written"):
        store.array(made, "a", whole=True)


def test_bytes_are_compared_once_in_a_process(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_all(store)
    read: list[Path] = []
    compared = files.file_digest
    monkeypatch.setattr(files, "file_digest", lambda path: read.append(path) or compared(path))
    for _ in range(3):
        store.array(made, "a")
        store.table(made, "t")
    assert [path.name for path in read] == ["a.npy", "t.parquet"]
    os.utime(read[0])
    store.array(made, "a")
    assert len(read) == 3


# --- setting aside ---


def test_what_was_made_again_meanwhile_is_not_set_aside(store: ArtifactStore) -> None:
    made = write(store)
    path = store.folder(made.kind, made.key) / "a.npy"
    good = path.read_bytes()
    flip(path, -1)
    problem = store._problem_now(made, "a.npy", "a.npy changed since written")
    assert problem == "a.npy changed since written"
    path.write_bytes(good)  # another process was faster
    assert (
        store.backend.set_aside(made.kind, made.key, lambda: store._problem_now(made, "a.npy", problem))
        is None
    )
    assert store.find(RECIPE) == made


def test_threads_that_find_the_same_damage_all_say_so_and_one_folder_is_kept(store: ArtifactStore) -> None:
    made = write(store)
    flip(store.folder(made.kind, made.key) / "a.npy", -1)

    def read(_: int) -> str:
        with pytest.raises(ArtifactError) as error:
            store.array(made, "a")
        return str(error.value)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(read, range(8)))
    assert sum("set aside" in line for line in told) == 1
    assert all("run the same command again to make it again" in line for line in told)
    assert [path.name for path in (store.root / ".damaged").iterdir()] == [f"numbers-{made.key}"]


def test_damage_found_twice_keeps_the_newer_and_gc_removes_it_when_it_is_old(store: ArtifactStore) -> None:
    for name in ("a.npy", "t.parquet"):
        made = write(store)
        flip(store.folder(made.kind, made.key) / name)
        with pytest.raises(DamagedError):
            store.whole(made)
    aside = store.root / ".damaged" / f"numbers-{made.key}"
    assert (aside / "damage.txt").read_text() == "t.parquet changed since written"
    collect_garbage(store, [], 3600.0)
    assert aside.exists()
    collect_garbage(store, [], -1.0)
    assert not aside.exists()
    assert store.state(made.kind, made.key) == "missing"


def test_a_writer_keeps_the_damaged_artifact_that_it_replaces(store: ArtifactStore) -> None:
    made = write(store)
    os.truncate(store.folder(made.kind, made.key) / "a.npy", 100)
    assert store.find(RECIPE) is None
    write(store)
    assert store.find(RECIPE) == made
    aside = store.root / ".damaged" / f"numbers-{made.key}"
    assert (aside / "damage.txt").read_text() == "a.npy has 100 bytes, expected 176"


def test_a_second_recipe_is_not_touched(store: ArtifactStore) -> None:
    other = write(store, Recipe("count", "numbers", 2))
    made = write(store)
    flip(store.folder(made.kind, made.key) / "deep/j.json", -2)
    with pytest.raises(DamagedError):
        store.json(made, "deep/j")
    assert visible(store) == [f"numbers/{other.key}"]
    assert time.time() - (store.root / ".damaged" / f"numbers-{made.key}").stat().st_mtime < 60
