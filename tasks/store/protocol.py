"""Backends: what a store asks of the place where its artifacts lie, and what tells a good artifact from a bad one.

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
    """An artifact as a listing shows it: kind, key, size in bytes, and when it was written or last used (Unix time)."""

    kind: str
    key: str
    bytes: int
    modified: float


class Backend(Protocol):
    """A place where artifacts lie.

    Attributes
    ----------
    root : Path
        The local folder from which files are read and in whose `.staging` they are written.
    name : str
        What messages call the place: the folder as it was given, or the URL.
    location : str
        What run records call it: the absolute path, or the URL.
    """

    @property
    def root(self) -> Path: ...  # noqa: D102  (said above)

    @property
    def name(self) -> str: ...  # noqa: D102  (said above)

    @property
    def location(self) -> str: ...  # noqa: D102  (said above)

    def read_marker(self) -> bytes:
        """Return format.json; raise FileNotFoundError where the store is yet to be made."""
        ...

    def write_marker(self, data: bytes) -> None:
        """Make the store with `data` as its format.json, where it has none."""
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
        """Return an artifact's manifest.json, None where there is no artifact; `fresh` takes no copy for it.

        Raises OSError where there is an artifact whose manifest cannot be read.
        """
        ...

    def sizes(self, kind: str, key: str, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes in bytes of those of an artifact's files that are there; raise OSError where it may not."""
        ...

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the BLAKE2b digest of one file's bytes as they lie there."""
        ...

    def touch(self, kind: str, key: str) -> None:
        """Note that an artifact is in use, where the place may be written."""
        ...

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return where a file or folder of an artifact can be read; it may not exist.

        Raises DamagedError where a copy has to be made and the bytes are not those that were written.
        """
        ...

    def drop_copy(self, kind: str, key: str, name: str) -> bool:
        """Delete this machine's copy of a file and return True; return False where the file is the original."""
        ...

    def address(self, kind: str, key: str, name: str) -> str:
        """Return how others find one file of an artifact."""
        ...

    def commit(self, staging: Path, kind: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Make the files in `staging` an artifact, all at once; give way to a good one, replace a damaged one."""
        ...

    def claim(self, kind: str, key: str) -> Callable[[], None] | None:
        """Return what lets go of the right to make an artifact, None where another has it; at once.

        It ends with the process that has it. Raises OSError or ArtifactError where there are no locks.
        """
        ...

    def holders(self, kind: str) -> list[str]:
        """Return the keys of the leases of a kind that processes at work have."""
        ...

    def set_aside(self, kind: str, key: str, find_problem: Callable[[], str]) -> str | None:
        """Take a damaged artifact out of sight, keep it until `clear`, and return where it is; OSError where it cannot.

        `find_problem` looks once more, while nobody else changes the place: where it finds nothing, nothing is done
        and None returned. `damage` returns what it finds until another artifact of this key is damaged.
        """
        ...

    def damage(self, kind: str, key: str) -> str | None:
        """Return what was wrong with an artifact that was set aside on this machine, None where none was."""
        ...

    def discard(self, kind: str, key: str) -> None:
        """Take an artifact out of sight at once, then delete it; one that is gone already is no error."""
        ...

    def clear(self, oldest_kept: float) -> None:
        """Delete what killed writers left and copies that nobody used since the Unix time `oldest_kept`."""
        ...

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time where waiting for answers takes the time."""
        ...


@dataclass(frozen=True)
class Look:
    """What a look at an artifact found.

    Attributes
    ----------
    state : str
        `hit`, `missing`, `corrupt: ` with what is wrong, or `unreadable: ` with the text of `refused`.
    manifest : dict or None
        The manifest of a hit.
    refused : ArtifactError or None
        The error of what could not be read, with its remedy.
    is_there : bool
        Whether there is something at its place, good or not.
    """

    state: str
    manifest: Manifest | None = None
    refused: ArtifactError | None = None
    is_there: bool = True


def look_at(backend: Backend, kind: str, key: str) -> Look:
    """Return the state of an artifact, by its manifest and by existence and size of its files."""
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
    """Return which file is gone or of another size than its manifest says, an empty string where none is."""
    for name, entry in manifest["files"].items():
        if name not in sizes:
            return f"{name} is gone"
        if sizes[name] != entry["bytes"]:
            return f"{name} has {sizes[name]} bytes, expected {entry['bytes']}"
    return ""
