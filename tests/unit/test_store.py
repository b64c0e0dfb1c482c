"""The store: commit and hit, damage, full disks, racing and killed writers."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.commands import all_ready
from topicflow.flows.commands.options import open_store
from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.runs.retention import list_artifacts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.store.files import read_array
from topicflow.tasks.store.verify import verify_artifacts

RECIPE = Recipe(stage="count", kind="numbers", version=1, config={"n": 3}, seed=7)


def write(store: ArtifactStore, recipe: Recipe = RECIPE) -> ArtifactRef:
    with store.writing(recipe) as writer:
        writer.save_array("a", np.arange(6).reshape(2, 3))
        writer.save_table("t", pl.DataFrame({"word": ["x", None]}))
        writer.save_json("deep/j", {"x": [1, None]})
        writer.rows, writer.meta = 2, {"note": "é"}
    return store.committed(recipe, writer)


def visible(store: ArtifactStore) -> list[str]:
    return sorted(f"{a.kind}/{a.key}" for a in list_artifacts(store))


def staged(store: ArtifactStore) -> list[Path]:
    return list((store.root / ".staging").iterdir())


# --- commit and hit ---


def test_what_is_written_is_found_and_read_back(store: ArtifactStore) -> None:
    assert store.find(RECIPE) is None
    made = write(store)
    found = store.find(RECIPE)
    assert found == made
    assert (made.cached, found.cached, found.rows, found.stage) == (False, True, 2, "count")
    assert store.array(found, "a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert store.table(found, "t").collect()["word"].to_list() == ["x", None]
    assert store.json(found, "deep/j") == {"x": [1, None]}
    assert store.meta(found) == {"note": "é"}
    assert staged(store) == []


def test_the_files_of_an_artifact_have_the_permissions_that_the_umask_gives(store: ArtifactStore) -> None:
    with (
        store.writing(RECIPE) as writer,
        tempfile.NamedTemporaryFile(dir=writer.folder, delete=False) as file,
    ):
        file.write(b"1")
        named = Path(file.name).name
    folder = store.root / RECIPE.kind / RECIPE.key
    assert (folder / named).stat().st_mode & 0o666 == folder.stat().st_mode & 0o666


def test_arrays_are_mapped_and_read_only(store: ArtifactStore) -> None:
    array = store.array(write(store), "a")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_the_manifest_names_inputs_and_files(store: ArtifactStore) -> None:
    made = write(store)
    manifest = store.manifest(made.kind, made.key)
    assert manifest["recipe"] == RECIPE.as_dict()
    assert {name: entry["bytes"] for name, entry in manifest["files"].items()} == {
        name: store.path(made, name).stat().st_size for name in ("a.npy", "t.parquet", "deep/j.json")
    }


def test_artifacts_without_format_json_are_no_new_store(store: ArtifactStore, tmp_path: Path) -> None:
    made = write(store)
    (store.root / "format.json").unlink()
    with pytest.raises(
        ArtifactError, match=rf"format\.json is gone, but \S+/{made.kind} has artifacts; write"
    ):
        open_store(str(store.root))
    (tmp_path / "other/photos/2024").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no store here"):
        open_store(str(tmp_path / "other"))


def test_a_block_that_fails_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(ZeroDivisionError), store.writing(RECIPE) as writer:  # noqa: PT012
        writer.save_array("a", np.zeros(3))
        _ = 1 / 0
    assert (visible(store), staged(store)) == ([], [])


def test_a_second_writer_of_a_key_keeps_the_artifact_of_the_first(store: ArtifactStore) -> None:
    write(store)
    before = (store.folder("numbers", RECIPE.key) / "a.npy").stat().st_ino
    write(store)
    assert (store.folder("numbers", RECIPE.key) / "a.npy").stat().st_ino == before
    assert staged(store) == []


def test_memory_maps_of_any_size_are_written(store: ArtifactStore) -> None:
    with store.writing(RECIPE) as writer:
        writer.open_array("big", (5, 2), "float32")[:] = 3
        writer.open_array("none", (0, 2), "float32")
    made = store.committed(RECIPE, writer)
    assert store.array(made, "big").tolist() == [[3, 3]] * 5
    assert store.array(made, "none").shape == (0, 2)


def test_rows_are_appended_in_order(store: ArtifactStore) -> None:
    rows = np.arange(10, dtype=np.float64).reshape(5, 2)
    with store.writing(RECIPE) as writer:
        with writer.appended_array("big", (5, 2), "float32") as append:
            append(rows[:2])
            append(rows[::-1][:3][::-1])
        with writer.appended_array("none", (0, 2), "float32"):
            pass
    made = store.committed(RECIPE, writer)
    assert store.array(made, "big").tolist() == rows.tolist()
    assert store.array(made, "none").shape == (0, 2)


def test_too_few_rows_are_no_array(store: ArtifactStore) -> None:
    with (
        pytest.raises(ValueError, match="big has 1 rows, expected 5"),
        store.writing(RECIPE) as writer,
        writer.appended_array("big", (5, 2), "float32") as append,
    ):
        append(np.zeros((1, 2), np.float32))
    assert (visible(store), staged(store)) == ([], [])


# --- damage ---


def spoil(store: ArtifactStore, how: str) -> None:
    folder = store.folder("numbers", RECIPE.key)
    manifest = folder / "manifest.json"
    if how == "manifest gone":
        manifest.unlink()
    elif how == "manifest cut":
        manifest.write_bytes(manifest.read_bytes()[:50])
    elif how == "manifest empty":
        manifest.write_bytes(b"")
    elif how == "manifest of another form":
        manifest.write_text('{"files": {}}')
    elif how == "file cut":
        (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:-1])
    elif how == "file gone":
        (folder / "t.parquet").unlink()


DAMAGE = {
    "manifest gone": "corrupt: manifest.json is gone",
    "manifest cut": "corrupt: manifest.json is not JSON",
    "manifest empty": "corrupt: manifest.json is not JSON",
    "manifest of another form": "corrupt: manifest.json lacks format",
    "file cut": "corrupt: a.npy has 175 bytes, expected 176",
    "file gone": "corrupt: t.parquet is gone",
}


@pytest.mark.parametrize(("how", "named"), DAMAGE.items())
def test_damage_is_named_never_used_and_repaired_by_writing_again(
    store: ArtifactStore, how: str, named: str
) -> None:
    write(store)
    spoil(store, how)
    assert store.state("numbers", RECIPE.key) == named
    assert store.find(RECIPE) is None
    write(store)
    assert store.state("numbers", RECIPE.key) == "hit"
    assert staged(store) == []


def test_verify_reads_every_byte_and_removes_only_if_asked(store: ArtifactStore) -> None:
    good = write(store, Recipe("count", "numbers", 2))
    made = write(store)
    path = store.path(made, "a.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert store.state("numbers", made.key) == "hit"  # a hit looks at sizes
    for remove in (False, True):
        problems = {found.key: found.problem for found in verify_artifacts(store, remove=remove)}
        assert problems == {good.key: "", made.key: "corrupt: a.npy changed since written"}
    assert visible(store) == [f"numbers/{good.key}"]
    assert store.find(RECIPE) is None


def test_an_object_array_in_the_store_is_not_unpickled(store: ArtifactStore) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(store.root / "unpickled"),)

    made = write(store)
    for value in (np.array([Trap()]), np.array(Trap())):
        np.save(store.path(made, "a.npy"), value, allow_pickle=True)
        with pytest.raises(DamagedError, match=r"a\.npy is damaged"):
            store.array(made, "a")
        with pytest.raises(ValueError, match="Python objects"):
            read_array(store.root / ".damaged" / f"numbers-{made.key}" / "a.npy")
        write(store)
    assert not (store.root / "unpickled").exists()
    with pytest.raises(ValueError, match="allow_pickle=False"), store.writing(RECIPE) as writer:
        writer.save_array("a", np.array([Trap()]))


def test_a_store_of_a_newer_version_is_refused_in_one_line(store: ArtifactStore) -> None:
    write(store)
    (store.root / "format.json").write_text('{"format": 2}')
    with pytest.raises(ArtifactError) as error:
        ArtifactStore(store.root)
    assert str(error.value) == (
        f"store: {store.root} has format 2, this version reads up to 1; "
        "upgrade topicflow or choose another --store"
    )


@pytest.mark.parametrize(
    "marker", ["", "[]", "{}", '{"format": "x"}', '{"format": 1.5}', '{"format": 0}', "[" * 99_999]
)
def test_a_marker_that_cannot_be_read_is_refused_in_one_line(store: ArtifactStore, marker: str) -> None:
    write(store)
    (store.root / "format.json").write_text(marker)
    with pytest.raises(ArtifactError, match=r"^store: .*choose another --store$"):
        ArtifactStore(store.root)


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "file")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot be written \(file exists\); free space or choose"):
        write(store)
    with pytest.raises(ArtifactError, match=r"could not be read: not a directory; .*another --store$"):
        ArtifactStore(tmp_path / "file" / "store")


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("what", ["array", "map", "table", "json"])
def test_a_full_disk_is_one_line_and_leaves_the_store_intact(small_disk: Path, what: str) -> None:
    store = ArtifactStore(small_disk / "store")
    write(store)
    noise = np.random.default_rng(0).random(500_000)
    code = Recipe("count", "numbers", 2)
    with pytest.raises(ArtifactError) as error, store.writing(code) as writer:  # noqa: PT012
        if what == "array":
            writer.save_array("a", noise)
        elif what == "map":
            writer.open_array("a", noise.shape, "float64")[:] = noise
        elif what == "table":
            writer.save_table("a", pl.DataFrame({"x": noise}))
        else:
            writer.save_json("a", "x" * 4_000_000)
    assert str(error.value) == (
        f"store: {store.root} cannot be written (no space left on device); free space or choose another --store"
    )
    assert staged(store) == []
    assert [found.problem for found in verify_artifacts(store)] == [""]
    write(store, code)
    assert store.state("numbers", code.key) == "hit"


# --- racing and killed writers ---

WRITER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from topicflow.tasks.store import artifact_store as module, local as folder
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe

point, root = sys.argv[1], Path(sys.argv[2])

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = ArtifactStore(root)
recipe = Recipe(stage="count", kind="numbers", version=1, config={"n": 3}, seed=7)
if point == "digest": module.file_digest = die
if point == "fsync": folder.fsync_tree = die
if point == "rename": folder.LocalFolder._replace = die
if point == "race":
    (root / f"ready-{os.getpid()}").touch()
    while not (root / "go").exists():
        time.sleep(0.001)
with store.writing(recipe) as writer:
    if point == "begun": die()
    writer.save_array("a", np.arange(6).reshape(2, 3))
    if point == "array":
        die()
    if point == "half":
        (writer.folder / "a.npy").write_bytes(b"half")
        die()
    writer.rows = 2
print("committed")
"""


def start(point: str, store: ArtifactStore) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, point, str(store.root)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, ArtifactStore]]:
    """The stores that killed writers left at each point, with the writers' exit codes."""
    points = ["begun", "array", "half", "digest", "fsync", "rename"]
    stores = {point: ArtifactStore(tmp_path_factory.mktemp(point) / "store") for point in points}
    writers = {point: start(point, store) for point, store in stores.items()}
    return {point: (writer.wait(60), stores[point]) for point, writer in writers.items()}


@pytest.mark.parametrize("point", ["begun", "array", "half", "digest", "fsync", "rename"])
def test_a_killed_writer_leaves_only_staging(
    killed: dict[str, tuple[int, ArtifactStore]], point: str
) -> None:
    code, store = killed[point]
    assert code == -signal.SIGKILL
    assert store.find(RECIPE) is None
    assert visible(store) == []
    assert len(staged(store)) == 1
    write(store)
    assert visible(store) == [f"numbers/{RECIPE.key}"]


@pytest.mark.parametrize("corrupt", [False, True])
def test_racing_writers_all_end_well_and_leave_one_artifact(store: ArtifactStore, corrupt: bool) -> None:
    if corrupt:
        write(store)
        spoil(store, "file cut")
    else:
        store.root.mkdir(parents=True)
    writers = [start("race", store) for _ in range(4)]
    all_ready(store.root, 4)
    (store.root / "go").write_text("")
    assert [writer.communicate(timeout=60)[0] for writer in writers] == ["committed\n"] * 4
    assert [writer.returncode for writer in writers] == [0] * 4
    assert [found.problem for found in verify_artifacts(store)] == [""]
    assert staged(store) == []


def test_threads_racing_over_a_corrupt_artifact_all_end_well(store: ArtifactStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(10):
        write(store)
        spoil(store, "file gone")
        with ThreadPoolExecutor(8) as pool:
            refs = list(pool.map(lambda _: write(store), range(8)))
        assert {ref.key for ref in refs} == {RECIPE.key}
        assert store.state("numbers", RECIPE.key) == "hit"
    assert staged(store) == []


def test_a_manifest_is_canonical(store: ArtifactStore) -> None:
    raw = (store.folder("numbers", write(store).key) / "manifest.json").read_bytes()
    assert (
        raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
