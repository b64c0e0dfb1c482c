"""Folder: artifacts in a local or shared folder, each made visible by one directory rename.

    ROOT/<kind>/<key>/manifest.json, <files>
    ROOT/.staging/<unique>/           artifacts being written
    ROOT/.leases/<kind>-<key>         locked by the process that is making the artifact; the lock ends with it

A killed writer leaves only a staging folder, which `gc` removes. Two writers of one key race safely: renames take
turns, and the second, which finds the first's folder in place, drops its own copy, equal by construction.
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
from typing import Any, TypeVar

from topicflow.tasks.store.artifacts import canonical_json, file_digest
from topicflow.tasks.store.durable import fsync, fsync_tree
from topicflow.tasks.store.process import staging_name
from topicflow.tasks.store.protocol import Entry, state_of

STAGING = ".staging"
"""Name of the folder, below a store's local folder, in which artifacts are written."""

LEASES = ".leases"
"""Name of the folder, below a store's, of the locks of artifacts that are being made."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class LocalFolder:
    """A folder of artifacts; made at the first write."""

    root: Path

    @property
    def name(self) -> str:
        """The folder as it was given."""
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
        """Return the names of the artifacts' folders."""
        return _folders(self.root / kind)

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact's folder, with or without a manifest."""
        for kind in self.kinds():
            for key in self.keys(kind):
                folder = self.root / kind / key
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                yield Entry(kind, key, size, folder.stat().st_mtime)

    def manifest(self, kind: str, key: str, *, fresh: bool = False) -> bytes | None:  # noqa: ARG002
        """Return an artifact's manifest.json, None where it has no folder."""
        try:
            return (self.root / kind / key / "manifest.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if (self.root / kind / key).is_dir():
                raise
            return None

    def sizes(self, kind: str, key: str, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes of those files that are there."""
        folder, sizes = self.root / kind / key, {}
        for name in names:
            with contextlib.suppress(OSError):
                sizes[name] = (folder / name).stat().st_size
        return sizes

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the digest of a file."""
        return file_digest(self.root / kind / key / name)

    def touch(self, kind: str, key: str) -> None:
        """Set the folder's time to now."""
        with contextlib.suppress(OSError):  # a store that may only be read
            os.utime(self.root / kind / key)

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return the path of a file or folder."""
        return self.root / kind / key / name

    def address(self, kind: str, key: str, name: str) -> str:
        """Return the path as text."""
        return str(self.path(kind, key, name))

    def commit(self, staging: Path, kind: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, make everything durable, and rename the staging folder into place."""
        (staging / "manifest.json").write_bytes(canonical_json(manifest))
        fsync_tree(staging)
        target = self.root / kind / key
        target.parent.mkdir(parents=True, exist_ok=True)
        self._replace(staging, kind, key)
        fsync(target.parent)

    def _replace(self, staging: Path, kind: str, key: str) -> None:
        """Rename `staging` into place, giving way to a good artifact and pushing a corrupt one aside."""
        with _alone(self.root):  # or a writer would set aside what another has put in place since it looked
            while state_of(self, kind, key) != "hit":
                self.discard(kind, key)
                try:
                    staging.rename(self.root / kind / key)
                except OSError as error:  # where there are no locks another may have been faster
                    if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                        raise
                else:
                    return

    def claim(self, kind: str, key: str) -> Callable[[], None] | None:
        """Return what unlocks an artifact's lock file after locking it, None where another process has."""
        path = self.root / LEASES / f"{kind}-{key}"
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    break
                file.close()  # the one who had it removed the file meanwhile
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
        """Return the keys whose lock files are locked; the files of others, who died, are deleted."""
        held = []
        for path in sorted((self.root / LEASES).glob(f"{kind}-*")):
            key = path.name.removeprefix(f"{kind}-")
            try:
                release = self.claim(kind, key)
            except PermissionError:  # another user's, who may be at work
                release = None
            except OSError:  # a place without locks
                continue
            if release is None:
                held.append(key)
            else:
                release()
        return held

    def discard(self, kind: str, key: str) -> None:
        """Rename an artifact's folder into staging, then delete it."""
        set_aside(self.root, self.root / kind / key)

    def clear(self, oldest_kept: float) -> None:
        """Delete the staging folders of killed writers and the lock files that they left."""
        clear_staging(self.root, oldest_kept)
        for path in (self.root / LEASES).glob("*"):
            kind, _, key = path.name.rpartition("-")
            with contextlib.suppress(OSError):
                if path.stat().st_mtime <= oldest_kept and (release := self.claim(kind, key)):
                    release()

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item; a disk answers at once."""
        return map(function, items)


def set_aside(root: Path, folder: Path) -> None:
    """Take a folder below `root` out of sight in one rename, then delete it."""
    if not folder.exists():
        return
    aside = root / STAGING / staging_name("discarded")
    aside.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the store's lock, against other threads and processes, while the block runs."""
    with (root / ".lock").open("wb") as file:
        with contextlib.suppress(OSError):  # a place without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def clear_staging(root: Path, oldest_kept: float) -> None:
    """Delete staging folders below `root` in which nothing was written since the Unix time `oldest_kept`."""
    clear_folders((root / STAGING).glob("*"), oldest_kept)


def clear_folders(folders: Iterable[Path], oldest_kept: float) -> None:
    """Delete those of the folders in which nothing was written since the Unix time `oldest_kept`."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # committed meanwhile
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if newest <= oldest_kept:  # a writer at work touches its files, not its folder
                shutil.rmtree(folder, ignore_errors=True)


def disk_failure(error: Exception) -> str | None:
    """Return what the disk refused, or None where the error is another; libraries wrap it in words of their own."""
    codes = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
    if isinstance(error, OSError) and error.errno in codes:
        return os.strerror(error.errno or 0).lower()
    full = os.strerror(errno.ENOSPC)
    short = isinstance(error, OSError) and "requested and" in str(error)  # numpy's, without an errno
    return full.lower() if short or full in str(error) else None


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder` that are not hidden, sorted; none where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
