"""Backends: what a store asks of the place where its artifacts lie, and what tells a good artifact from a bad one.

`tasks.store.local` is a local folder, `tasks.store.bucket` an object store that is read through a folder on this
machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

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
        """Return the sizes in bytes of those of an artifact's files that are there."""
        ...

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the BLAKE2b digest of one file's bytes as they lie there."""
        ...

    def touch(self, kind: str, key: str) -> None:
        """Note that an artifact is in use, where the place may be written."""
        ...

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return where a file or folder of an artifact can be read; it may not exist."""
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

    def discard(self, kind: str, key: str) -> None:
        """Take an artifact out of sight at once, then delete it; one that is gone already is no error."""
        ...

    def clear(self, oldest_kept: float) -> None:
        """Delete what killed writers left and copies that nobody used since the Unix time `oldest_kept`."""
        ...

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time where waiting for answers takes the time."""
        ...


def state_of(backend: Backend, kind: str, key: str) -> str:
    """Return `hit`, `missing`, or `corrupt: ` with the reason, by existence and size of an artifact's files."""
    try:
        raw = backend.manifest(kind, key, fresh=True)
        if raw is None:
            return "missing"
        manifest = json.loads(raw)
        files = {name: entry["bytes"] for name, entry in manifest["files"].items()}
        _ = manifest["rows"], manifest["meta"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"corrupt: manifest.json {type(error).__name__}"
    sizes = backend.sizes(kind, key, files)
    for name, size in files.items():
        if name not in sizes:
            return f"corrupt: {name} is gone"
        if sizes[name] != size:
            return f"corrupt: {name} has {sizes[name]} bytes, expected {size}"
    return "hit"
