"""Folder: artifacts in a local or shared folder, each made visible by one directory rename.

    ROOT/<kind>/<key>/manifest.json, <files>
    ROOT/.staging/<unique>/           artifacts being written
    ROOT/.leases/<kind>-<key>         locked by the process that is making the artifact, until the process ends
    ROOT/.damaged/<kind>-<key>/       a damaged artifact that was set aside, with damage.txt; `gc` deletes it

A killed writer leaves only a staging folder, which `gc` removes. Two writers of one key do no harm: one renames first,
and the other finds the folder in place and drops its own copy, which has the same content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from topicflow.tasks.store.access import ABSENT
from topicflow.tasks.store.artifacts import file_digest
from topicflow.tasks.store.durable import fsync, fsync_tree, open_as_folder
from topicflow.tasks.store.manifests import sealed
from topicflow.tasks.store.process import staging_name
from topicflow.tasks.store.protocol import Entry, look_at

STAGING = ".staging"
"""Name of the folder, below a store's local folder, for artifacts that are being written."""

LEASES = ".leases"
"""Name of the folder, below a store's folder, for the locks of artifacts that are being made."""

DAMAGED = ".damaged"
"""Name of the folder, below a store's folder, for damaged artifacts that were set aside."""

_NOTE = "damage.txt"
"""Name of the file in an artifact that was set aside; it says what was wrong."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class LocalFolder:
    """A folder of artifacts; the first write makes it."""

    root: Path

    @property
    def name(self) -> str:
        """The folder as the user gave it."""
        return str(self.root)

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self.root.resolve())

    def read_marker(self) -> bytes:
        """Return format.json."""
        return (self.root / "format.json").read_bytes()

    def write_marker(self, data: bytes) -> None:
        """Make the folder and its format.json."""
        marker = self.root / "format.json"
        if marker.exists():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".format-{uuid.uuid4().hex}"
        temporary.write_bytes(data)
        temporary.replace(marker)

    def kinds(self) -> list[str]:
        """Return the names of the folders of artifacts."""
        return _folders(self.root)

    def keys(self, kind: str) -> list[str]:
        """Return the names of the folders of a kind's artifacts."""
        return _folders(self.root / kind)

    def entries(self) -> Iterator[Entry]:
        """Yield an entry for every artifact's folder, with or without a manifest."""
        for kind in self.kinds():
            for key in self.keys(kind):
                folder = self.root / kind / key
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                    yield Entry(kind, key, size, folder.stat().st_mtime)

    def manifest(self, kind: str, key: str, *, fresh: bool = False) -> bytes | None:  # noqa: ARG002
        """Return an artifact's manifest.json, None if it has no folder."""
        try:
            return (self.root / kind / key / "manifest.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if (self.root / kind / key).is_dir():
                raise
            return None

    def sizes(self, kind: str, key: str, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes of the files that exist."""
        folder, sizes = self.root / kind / key, {}
        for name in names:
            with contextlib.suppress(*ABSENT):
                sizes[name] = (folder / name).stat().st_size
        return sizes

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the digest of a file."""
        return file_digest(self.root / kind / key / name)

    def touch(self, kind: str, key: str) -> None:
        """Set the folder's time to now."""
        with contextlib.suppress(OSError):  # a store that is read-only
            os.utime(self.root / kind / key)

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return the path of a file or folder."""
        return self.root / kind / key / name

    def drop_copy(self, kind: str, key: str, name: str) -> bool:  # noqa: ARG002
        """Return False: files are read in their place."""
        return False

    def address(self, kind: str, key: str, name: str) -> str:
        """Return the path as text."""
        return str(self.path(kind, key, name))

    def commit(self, staging: Path, kind: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, flush everything to the disk, and rename the staging folder to its place."""
        (staging / "manifest.json").write_bytes(sealed(manifest))
        open_as_folder(staging)
        fsync_tree(staging)
        target = self.root / kind / key
        target.parent.mkdir(parents=True, exist_ok=True)
        self._replace(staging, kind, key)
        fsync(target.parent)

    def _replace(self, staging: Path, kind: str, key: str) -> None:
        """Rename `staging` to its place; keep a good artifact that is already there and set a damaged one aside."""
        with _alone(self.root):  # otherwise a writer could set aside what another has just put in place
            while (look := look_at(self, kind, key)).state != "hit":
                if look.refused is not None:
                    raise look.refused
                self._move_aside(kind, key, look.state.removeprefix("corrupt: "))
                try:
                    staging.rename(self.root / kind / key)
                except OSError as error:  # without locks another writer may have been faster
                    if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                        raise
                else:
                    return

    def claim(self, kind: str, key: str) -> Callable[[], None] | None:
        """Lock an artifact's lock file and return the function that unlocks it, None if another process has it."""
        path = self.root / LEASES / f"{kind}-{key}"
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    break
                file.close()  # the process that had locked it has just removed the file
            except BlockingIOError:
                file.close()
                return None
            except OSError:
                file.close()
                raise

        def release() -> None:
            path.unlink(missing_ok=True)
            file.close()

        return release

    def holders(self, kind: str) -> list[str]:
        """Return the keys whose lock files are locked; delete the files of processes that ended."""
        held = []
        for path in sorted((self.root / LEASES).glob(f"{kind}-*")):
            key = path.name.removeprefix(f"{kind}-")
            try:
                release = self.claim(kind, key)
            except PermissionError:  # the file of another user, who may be running
                release = None
            except OSError:  # a place without locks
                continue
            if release is None:
                held.append(key)
            else:
                release()
        return held

    def set_aside(self, kind: str, key: str, find_problem: Callable[[], str]) -> str | None:
        """Rename an artifact's folder into the folder of damaged ones; it replaces an older one with the same key."""
        with _alone(self.root):  # another process may have made it again meanwhile
            if not (problem := find_problem()):
                return None
            self._move_aside(kind, key, problem)
        return str(self.root / DAMAGED / f"{kind}-{key}")

    def _move_aside(self, kind: str, key: str, problem: str) -> None:
        aside = self.root / DAMAGED / f"{kind}-{key}"
        if not (self.root / kind / key).exists():
            return
        aside.parent.mkdir(exist_ok=True)
        set_aside(self.root, aside)
        (self.root / kind / key).rename(aside)
        with contextlib.suppress(OSError):  # another user's folder
            (aside / _NOTE).write_text(
                problem, encoding="utf-8"
            )  # the new time keeps it from `clear` for now

    def damage(self, kind: str, key: str) -> str | None:
        """Return the note in an artifact that was set aside."""
        with contextlib.suppress(*ABSENT):
            return (self.root / DAMAGED / f"{kind}-{key}" / _NOTE).read_text(
                encoding="utf-8", errors="replace"
            )
        return None

    def discard(self, kind: str, key: str) -> None:
        """Rename an artifact's folder into staging, then delete it."""
        set_aside(self.root, self.root / kind / key)

    def clear(self, oldest_kept: float) -> None:
        """Delete staging folders and lock files of killed writers, and damaged artifacts."""
        clear_staging(self.root, oldest_kept)
        clear_folders((self.root / DAMAGED).glob("*"), oldest_kept)
        clear_files(self.root.glob(".format-*"), oldest_kept)
        for path in (self.root / LEASES).glob("*"):
            kind, _, key = path.name.rpartition("-")
            with contextlib.suppress(OSError):
                if path.stat().st_mtime <= oldest_kept and (release := self.claim(kind, key)):
                    release()

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item, one at a time: a disk needs no waiting."""
        return map(function, items)


def set_aside(root: Path, folder: Path) -> None:
    """Move a folder below `root` out of sight in one rename, then delete it."""
    if not folder.exists():
        return
    aside = root / STAGING / staging_name("discarded")
    aside.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Lock the store against other threads and processes while the block runs."""
    with _lock_file(root / ".lock") as file:
        with contextlib.suppress(OSError):  # a place without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_file(path: Path) -> IO[bytes]:
    """Return the open lock file; it is opened read-only if another user made it."""
    try:
        return path.open("ab")
    except PermissionError:
        return path.open("rb")


def clear_staging(root: Path, oldest_kept: float) -> None:
    """Delete staging folders below `root` in which nothing was written since the Unix time `oldest_kept`."""
    clear_folders((root / STAGING).glob("*"), oldest_kept)


def clear_folders(folders: Iterable[Path], oldest_kept: float) -> None:
    """Delete the folders in which nothing was written since the Unix time `oldest_kept`."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # committed meanwhile
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if newest <= oldest_kept:  # a running writer touches its files, not its folder
                shutil.rmtree(folder, ignore_errors=True)


def clear_files(files: Iterable[Path], oldest_kept: float) -> None:
    """Delete the files and links that were not written since the Unix time `oldest_kept`."""
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            if path.lstat().st_mtime <= oldest_kept:
                path.unlink()


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder` that are not hidden, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
