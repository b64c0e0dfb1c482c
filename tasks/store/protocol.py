"""Backends: what a store needs from the place of its artifacts, and how a good artifact differs from a bad one.

`tasks.store.local` is a local folder, `tasks.store.bucket` an object store that is read through a folder on this
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.store.access import ABSENT, unreadable
from topicflow.tasks.store.manifests import Manifest, opened

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Entry:
    """An artifact in a listing: kind, key, size in bytes, and when it was written or last used (Unix time)."""

    kind: str
    key: str
    bytes: int
    modified: float


class Backend(Protocol):
    """A place for artifacts.

    Attributes
    ----------
    root : Path
        The local folder from which files are read and in whose `.staging` they are written.
    name : str
        The place in messages: the folder as the user gave it, or the URL.
    location : str
        The place in run records: the absolute path, or the URL.
    """

    @property
    def root(self) -> Path: ...  # noqa: D102  (described above)

    @property
    def name(self) -> str: ...  # noqa: D102  (described above)

    @property
    def location(self) -> str: ...  # noqa: D102  (described above)

    def read_marker(self) -> bytes:
        """Return format.json; raise FileNotFoundError if there is no store yet."""
        ...

    def write_marker(self, data: bytes) -> None:
        """Make the store with `data` as its format.json, if it has none."""
        ...

    def kinds(self) -> list[str]:
        """Return the kinds of artifacts, sorted."""
        ...

    def keys(self, kind: str) -> list[str]:
        """Return the keys of a kind, sorted, good and damaged."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact, by kind and key."""
        ...

    def manifest(self, kind: str, key: str, *, fresh: bool = False) -> bytes | None:
        """Return an artifact's manifest.json, None if there is no artifact; `fresh` does not use a local copy.

        Raises OSError if there is an artifact but its manifest cannot be read.
        """
        ...

    def sizes(self, kind: str, key: str, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes in bytes of an artifact's existing files; raise OSError if they cannot be read."""
        ...

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the BLAKE2b digest of one file's bytes in this place."""
        ...

    def touch(self, kind: str, key: str) -> None:
        """Note that an artifact is in use, if the place is writable."""
        ...

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return where a file or folder of an artifact can be read; it may not exist.

        Raises DamagedError if a copy must be made and the bytes are not those that were written.
        """
        ...

    def drop_copy(self, kind: str, key: str, name: str) -> bool:
        """Delete this machine's copy of a file and return True; return False if the file is the original."""
        ...

    def address(self, kind: str, key: str, name: str) -> str:
        """Return the path or URL of one file of an artifact, for other programs."""
        ...

    def commit(self, staging: Path, kind: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Commit the files in `staging` in one step; a good artifact that is there stays, a damaged one is replaced."""
        ...

    def claim(self, kind: str, key: str) -> Callable[[], None] | None:
        """Return the function that releases the right to make an artifact, None if another process has it; never wait.

        The right ends with its process. Raises OSError or ArtifactError if the place has no locks.
        """
        ...

    def holders(self, kind: str) -> list[str]:
        """Return the keys of the leases of a kind that running processes have."""
        ...

    def set_aside(self, kind: str, key: str, find_problem: Callable[[], str]) -> str | None:
        """Move a damaged artifact out of sight, keep it until `clear`, and return its place; OSError if that fails.

        `find_problem` checks once more, while nobody else changes the place: if it finds nothing, nothing is done and
        None is returned. `damage` returns what was found until another artifact with this key is damaged.
        """
        ...

    def damage(self, kind: str, key: str) -> str | None:
        """Return what was wrong with an artifact that was set aside on this machine, None if there is none."""
        ...

    def discard(self, kind: str, key: str) -> None:
        """Make an artifact invisible in one step, then delete it; it is no error if the artifact is already gone."""
        ...

    def clear(self, oldest_kept: float) -> None:
        """Delete files of killed writers, and copies that were not used since the Unix time `oldest_kept`."""
        ...

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time if most of the time is waiting for answers."""
        ...


@dataclass(frozen=True)
class Look:
    """The result of a check of an artifact.

    Attributes
    ----------
    state : str
        `hit`, `missing`, `corrupt: ` with what is wrong, or `unreadable: ` with the text of `refused`.
    manifest : dict or None
        The manifest of a hit.
    refused : ArtifactError or None
        The error if something could not be read, with its remedy.
    is_there : bool
        Whether there is anything in its place, good or damaged.
    """

    state: str
    manifest: Manifest | None = None
    refused: ArtifactError | None = None
    is_there: bool = True


def look_at(backend: Backend, kind: str, key: str) -> Look:
    """Return the state of an artifact, from its manifest and the existence and size of its files."""
    try:
        raw = backend.manifest(kind, key, fresh=True)
        if raw is None:
            problem = backend.damage(kind, key)
            return Look(f"corrupt: {problem}; it was set aside" if problem else "missing", is_there=False)
        manifest = opened(raw, kind, key)
        sizes = backend.sizes(kind, key, manifest["files"])
    except ABSENT:
        return Look("corrupt: manifest.json is gone")
    except OSError as error:
        refused = unreadable(error.filename or f"{backend.name}/{kind}/{key}", error)
        return Look(f"unreadable: {refused}", refused=refused)
    except DamagedError as error:
        return Look(f"corrupt: {error}")
    problem = _wrong_size(manifest, sizes)
    return Look(f"corrupt: {problem}") if problem else Look("hit", manifest)


def _wrong_size(manifest: Manifest, sizes: Mapping[str, int]) -> str:
    """Return which file is gone or has another size than the manifest says, or an empty string if none."""
    for name, entry in manifest["files"].items():
        if name not in sizes:
            return f"{name} is gone"
        if sizes[name] != entry["bytes"]:
            return f"{name} has {sizes[name]} bytes, expected {entry['bytes']}"
    return ""
