"""Access: files that the system refuses to read are named with reason and remedy; they are never called damaged."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_store import RECIPE, spoil, visible, write
from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.store import files
from topicflow.tasks.store.access import disk_failure, unreadable
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.store.verify import verify_artifacts

OTHER = Recipe(stage="count", kind="numbers", version=2)

NOBODY = 65_534

AS_ANOTHER = """
import os, sys
import numpy, polars, tomllib
from topicflow.configs import read
from topicflow.configs.flows import topic_model, update_topics
from topicflow.flows.commands import cli
from topicflow.tasks.runs import retention, run_files
from topicflow.tasks.store import verify
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from pathlib import Path

os.chdir(sys.argv[2])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
store = ArtifactStore(Path("store"))
recipe = Recipe(stage="count", kind="numbers", version=1, config={"n": 3}, seed=7)
"""


@pytest.fixture
def shared() -> Iterator[ArtifactStore]:
    """A store that other users can reach: pytest's own folders are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101
        yield ArtifactStore(Path(folder) / "store")


def as_another_user(store: ArtifactStore, code: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    return subprocess.run(
        [sys.executable, "-c", AS_ANOTHER + code, "-", str(store.root.parent)], capture_output=True, text=True,
        cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip


def close_to_others(store: ArtifactStore, names: str = "*") -> Path:
    """Make files of the artifact readable only by their owner, and return its folder."""
    folder = store.folder("numbers", RECIPE.key)
    for path in folder.rglob(names):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


def refused_manifest() -> str:
    return (
        f"store: store/numbers/{RECIPE.key}/manifest.json could not be read: permission denied; ask its owner for "
        "access, or choose another --store"
    )


# --- another user ---


def test_verify_as_another_user_reports_and_leaves_a_colleagues_artifacts(shared: ArtifactStore) -> None:
    write(shared, OTHER)
    write(shared)
    folder = close_to_others(shared)
    for option in ("", ", '--remove'"):
        done = as_another_user(shared, f"sys.argv = ['topicflow', 'store', 'verify'{option}]\ncli.main()")
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            f"numbers/{RECIPE.key}: {refused_manifest()}",
            "2 artifacts read, 0 damaged, 1 could not be read",
        ]
        assert done.returncode == 1
    assert (folder / "manifest.json").exists()
    assert [found.problem for found in verify_artifacts(shared)] == ["", ""]


def test_an_unreadable_file_does_not_end_the_command_and_other_damage_is_reported(
    shared: ArtifactStore,
) -> None:
    write(shared, OTHER)
    write(shared)
    close_to_others(shared, "a.npy")
    path = shared.folder("numbers", OTHER.key) / "t.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = as_another_user(shared, "sys.argv = ['topicflow', 'store', 'verify']\ncli.main()")
    lines = done.stdout.splitlines()
    assert f"numbers/{OTHER.key}: corrupt: t.parquet changed since written" in lines
    assert sum("a.npy could not be read: permission denied" in line for line in lines) == 1
    assert lines[-1].startswith("2 artifacts read, 1 damaged, 1 could not be read; ")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_kind_that_cannot_be_listed_is_one_line_of_verify(shared: ArtifactStore) -> None:
    write(shared)
    (shared.root / "numbers").chmod(0o700)
    done = as_another_user(shared, "sys.argv = ['topicflow', 'store', 'verify']\ncli.main()")
    assert "numbers could not be read: permission denied" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize("names", ["*", "manifest.json"])
def test_find_of_what_it_may_not_read_is_one_line_and_makes_nothing_again(
    shared: ArtifactStore, names: str
) -> None:
    write(shared)
    shared.root.chmod(0o777)
    (shared.root / "numbers").chmod(0o777)  # it could be discarded: only the artifact is closed
    folder = close_to_others(shared, names)
    code = """
key = recipe.key
for act in (lambda: store.find(recipe), lambda: store.find(recipe, claim=False), lambda: store.state("numbers", key),
            lambda: store.hits("numbers"), lambda: store.backend.commit(Path("x"), "numbers", key, {})):
    try:
        print(act())
    except Exception as error:
        print(type(error).__name__, error)
"""
    Path(shared.root.parent, "x").mkdir()
    Path(shared.root.parent, "x").chmod(0o777)
    done = as_another_user(shared, code)
    assert done.stdout.splitlines() == [f"ArtifactError {refused_manifest()}"] * 5
    assert done.stderr == ""
    assert folder.stat().st_uid == os.geteuid()
    assert shared.state("numbers", RECIPE.key) == "hit"


def test_a_data_file_that_may_not_be_read_is_named_at_its_use(shared: ArtifactStore) -> None:
    write(shared)
    close_to_others(shared, "a.npy")
    close_to_others(shared, "t.parquet")
    close_to_others(shared, "j.json")
    code = """
ref = store.find(recipe)
for act in (lambda: store.array(ref, "a"), lambda: store.table(ref, "t"), lambda: store.json(ref, "deep/j"),
            lambda: store.whole(ref)):
    try:
        act()
    except Exception as error:
        print(type(error).__name__, error)
"""
    lines = as_another_user(shared, code).stdout.splitlines()
    names = ("a.npy", "t.parquet", "deep/j.json", "a.npy")
    assert lines == [
        f"ArtifactError store: store/numbers/{RECIPE.key}/{name} could not be read: permission denied; "
        "ask its owner for access, or choose another --store"
        for name in names
    ]
    assert visible(shared) == [f"numbers/{RECIPE.key}"]


def test_damage_in_a_read_only_store_is_named_and_left(shared: ArtifactStore) -> None:
    write(shared)
    path = shared.folder("numbers", RECIPE.key) / "a.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    code = """
try:
    store.array(store.find(recipe), "a")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = as_another_user(shared, code)
    assert done.stdout == (
        f"DamagedError store: store/numbers/{RECIPE.key}/a.npy is damaged (a.npy changed since written); it could "
        "not be set aside (permission denied); `topicflow store verify --remove` removes it\n"
    )
    assert path.exists()


# --- errors of disks, shares and limits ---

REFUSALS = {
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the share again",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOSPC: "free space",
    errno.EACCES: "ask its owner for access",
    errno.ETIMEDOUT: "check the share",
}


@pytest.fixture(params=REFUSALS, ids=lambda number: errno.errorcode[number])
def refused(
    request: pytest.FixtureRequest, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Let every file of the artifact's folder fail to open as on a bad disk; return reason and remedy."""
    opened = Path.open

    def failing(self: Path, *arguments: Any, **options: Any) -> Any:
        if RECIPE.key in str(self) and ".leases" not in str(self):
            raise OSError(request.param, os.strerror(request.param), str(self))
        return opened(self, *arguments, **options)

    write(store)
    monkeypatch.setattr(files, "_sound", {})
    monkeypatch.setattr(Path, "open", failing)
    return os.strerror(request.param).lower(), REFUSALS[request.param]


def test_a_refusal_of_the_disk_is_not_damage(store: ArtifactStore, refused: tuple[str, str]) -> None:
    reason, remedy = refused
    for remove in (False, True):
        (found,) = verify_artifacts(store, remove=remove)
        assert (found.damage, found.has_digest) == ("", True)
        assert f"could not be read: {reason}; {remedy}" in found.refused
    with pytest.raises(ArtifactError) as error:
        store.find(RECIPE)
    assert f"{RECIPE.key}/manifest.json could not be read: {reason}; {remedy}" in str(error.value)
    assert not isinstance(error.value, DamagedError)
    assert store.folder("numbers", RECIPE.key).exists()


def test_a_data_file_that_a_disk_refuses_is_not_damaged(
    store: ArtifactStore, refused: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason, remedy = refused
    failing = Path.open
    monkeypatch.setattr(
        Path, "open",
        lambda self, *given, **options: open(self, *given, **options)  # noqa: PTH123, SIM115
        if self.name == "manifest.json"
        else failing(self, *given, **options),
    )  # fmt: skip
    made = store.find(RECIPE)
    assert made is not None
    for read in (
        lambda: store.array(made, "a"),
        lambda: store.table(made, "t"),
        lambda: store.json(made, "deep/j"),
    ):
        with pytest.raises(ArtifactError, match=reason) as error:
            read()
        assert not isinstance(error.value, DamagedError)
        assert remedy in str(error.value)
    (found,) = verify_artifacts(store)
    assert (found.damage, reason in found.refused) == ("", True)


def test_the_limit_on_open_files_is_named_by_reads_and_writes(store: ArtifactStore) -> None:
    """A real process without a free file handle, instead of made-up errors."""
    write(store)
    code = f"""
import os, resource
from pathlib import Path
import numpy, polars
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
store = ArtifactStore(Path({str(store.root)!r}))
recipe, other = (Recipe("count", "numbers", version, seed=7, config={{"n": 3}}) for version in (1, 3))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
def write():
    with store.writing(other) as writer:
        writer.save_json("j", 1)
for act in (lambda: store.find(recipe), write):
    try:
        act()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    read, wrote = done.stdout.splitlines()
    limit = "raise the limit on open files (ulimit -n) and run the same command again"
    assert read.endswith(f"manifest.json could not be read: too many open files; {limit}")
    assert wrote == f"ArtifactError store: {store.root} cannot be written (too many open files); {limit}"
    assert visible(store) == [f"numbers/{RECIPE.key}"]


def test_an_input_that_is_refused_while_an_artifact_is_written_is_not_the_store(
    store: ArtifactStore, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.csv"
    with pytest.raises(PermissionError), store.writing(RECIPE):
        raise PermissionError(errno.EACCES, "Permission denied", str(theirs))
    with (
        pytest.raises(ArtifactError, match=r"cannot be written \(permission denied\); ask"),
        store.writing(RECIPE),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(store.root / "x"))


def test_verify_counts_damage_and_absence_as_damage(store: ArtifactStore) -> None:
    for how in ("manifest gone", "manifest cut", "file cut", "file gone"):
        write(store)
        spoil(store, how)
        (found,) = verify_artifacts(store)
        assert (bool(found.damage), found.refused) == (True, "")
        shutil.rmtree(store.root / "numbers")


def test_reasons_are_the_systems_own_and_every_remedy_is_named() -> None:
    told = str(unreadable("x", OSError(errno.ELOOP, "Too many levels of symbolic links")))
    assert told == (
        "store: x could not be read: too many levels of symbolic links; run the same command again, or choose "
        "another --store"
    )
    assert disk_failure(OSError(errno.EDQUOT, "Disk quota exceeded")) == "disk quota exceeded"
    assert disk_failure(OSError(errno.ENOENT, "No such file or directory")) is None
    assert (
        disk_failure(RuntimeError("io error: No space left on device (os error 28)"))
        == "no space left on device"
    )
