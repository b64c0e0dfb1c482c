"""Store: content-addressed artifacts; never half written, never pickled, verified on every hit.

    STORE/format.json                  the layout's version
    STORE/<kind>/<key>/manifest.json   recipe, files with sizes and digests, what the stage says of the result
    STORE/<kind>/<key>/<files>         .npy (memory-mapped), Parquet, JSON, safetensors

Where that lies is a backend's business: a local or shared folder (`folder`), or an object store that is read through
a folder on this machine (`bucket`). Both write into a staging folder first and make an artifact visible in one step.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.store import leases, resources
from topicflow.tasks.store.artifacts import (
    ArtifactRef,
    ArtifactWriter,
    Recipe,
    canonical_json,
    digest,
    file_digest,
)
from topicflow.tasks.store.bucket import Bucket, cache_folder
from topicflow.tasks.store.local import STAGING, LocalFolder, disk_failure
from topicflow.tasks.store.process import staging_name
from topicflow.tasks.store.protocol import Backend, Entry, state_of

__all__ = [
    "FORMAT", "ArtifactRef", "ArtifactStore", "ArtifactWriter", "Recipe", "canonical_json", "digest", "disk_failure",
    "file_digest", "local_folder", "open_store",
]  # fmt: skip

FORMAT = 1
"""Version of the layout; a store written by a newer one is refused."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def open_store(runtime: RuntimeConfig) -> ArtifactStore:
    """Return the store that `runtime.store` names: a folder, a file:// URL, or the URL of an object store.

    Raises
    ------
    ArtifactError
        When the store is of a newer version or cannot be reached.
    ConfigError
        When its URL is none that can be opened here.
    """
    folder = local_folder(runtime)
    if urlsplit(runtime.store).scheme in {"", "file"}:
        return ArtifactStore(
            folder if runtime.engine == "threads" else folder.absolute()
        )  # workers lie elsewhere
    return ArtifactStore(Bucket(runtime.store.rstrip("/"), runtime.cache))


def local_folder(runtime: RuntimeConfig) -> Path:
    """Return the folder on this machine in whose `.staging` a store is written: its own, or its cache's."""
    parts = urlsplit(runtime.store)
    if parts.scheme in {"", "file"}:
        return Path(unquote(parts.path) if parts.scheme else runtime.store)
    return cache_folder(runtime.store.rstrip("/"), runtime.cache)


class ArtifactStore:
    """Artifacts in one place.

    Parameters
    ----------
    place : Path or Backend
        A local folder, made at the first write, or another place.

    Raises
    ------
    ArtifactError
        When the store there was written by a newer version, or cannot be read.
    """

    def __init__(self, place: Path | Backend) -> None:
        self.backend: Backend = LocalFolder(place) if isinstance(place, Path) else place
        try:
            found = json.loads(self.backend.read_marker())["format"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, OSError) as error:
            marker = f"{self.name}/format.json"
            msg = f"store: {marker} cannot be read ({error}); restore it or choose another --store"
            raise ArtifactError(msg) from None
        if not isinstance(found, int) or found > FORMAT:
            msg = (
                f"store: {self.name} has format {found}, this version reads up to {FORMAT}; "
                "upgrade topicflow or choose another --store"
            )
            raise ArtifactError(msg)

    @property
    def root(self) -> Path:
        """The local folder of the store, or of its copies on this machine."""
        return self.backend.root

    @property
    def name(self) -> str:
        """The folder or URL, as messages say it."""
        return self.backend.name

    @property
    def location(self) -> str:
        """The absolute path or URL, as records say it."""
        return self.backend.location

    def exists(self) -> bool:
        """Return whether there is a store at its place."""
        try:
            self.backend.read_marker()
        except FileNotFoundError:
            return False
        return True

    # --- finding ---

    def folder(self, kind: str, key: str) -> Path:
        """Return the local folder of an artifact, there or not."""
        return self.root / kind / key

    def state(self, kind: str, key: str) -> str:
        """Return `hit`, `missing`, or `corrupt: ` with the reason, by existence and size of its files."""
        return state_of(self.backend, kind, key)

    def find(self, recipe: Recipe, key: str | None = None, *, claim: bool = True) -> ArtifactRef | None:
        """Return the artifact of a recipe (or of a `key` of its kind), or None where it must be computed.

        With `claim` one that another run is making is waited for, and None is the right to make it, until `writing`
        has; without, this answers at once.
        """
        started = time.perf_counter()
        key = key or recipe.key
        found = self._found(recipe, key, started)
        if found is None and claim:
            return leases.find_or_claim(
                self.backend, recipe.kind, key, lambda: self._found(recipe, key, started)
            )
        return found

    def _found(self, recipe: Recipe, key: str, started: float) -> ArtifactRef | None:
        if self.state(recipe.kind, key) != "hit":
            return None
        manifest = self.manifest(recipe.kind, key)
        self.backend.touch(recipe.kind, key)  # in use: `gc` goes by age until a run record refers to it
        return ArtifactRef(
            kind=recipe.kind,
            key=key,
            stage=recipe.stage,
            rows=manifest["rows"],
            cached=True,
            seconds=time.perf_counter() - started,
        )

    def hits(self, kind: str, leave_out: Collection[str] = ()) -> list[str]:
        """Return the keys of the good artifacts of a kind, sorted; those of `leave_out` are not looked at."""
        keys = [key for key in self.backend.keys(kind) if key not in leave_out]
        states = self.each(lambda key: self.state(kind, key), keys)
        return [key for key, state in zip(keys, states, strict=True) if state == "hit"]

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact as a listing shows it, by kind and key."""
        return self.backend.entries()

    def manifest(self, kind: str, key: str) -> dict[str, Any]:
        """Return an artifact's manifest; raise ArtifactError where there is none to read."""
        try:
            raw = self.backend.manifest(kind, key)
            if raw is None:
                raise FileNotFoundError
            manifest: dict[str, Any] = json.loads(raw)
        except (OSError, ValueError) as error:
            path = self.backend.address(kind, key, "manifest.json")
            msg = f"store: {path} cannot be read ({type(error).__name__}); run the same command again to recompute it"
            raise ArtifactError(msg) from None
        return manifest

    def meta(self, ref: ArtifactRef) -> dict[str, Any]:
        """Return what the stage recorded about an artifact."""
        meta: dict[str, Any] = self.manifest(ref.kind, ref.key)["meta"]
        return meta

    # --- reading ---

    def path(self, ref: ArtifactRef, name: str) -> Path:
        """Return the path on this machine of one file or folder of an artifact."""
        return self.backend.path(ref.kind, ref.key, name)

    def address(self, ref: ArtifactRef, name: str) -> str:
        """Return how others find one file of an artifact: its path or URL."""
        return self.backend.address(ref.kind, ref.key, name)

    def array(self, ref: ArtifactRef, name: str) -> NDArray[Any]:
        """Return `name`.npy, memory-mapped and read-only."""
        path = self.path(ref, f"{name}.npy")
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(path, error) from None
        return array

    def arrays(self, refs: Iterable[ArtifactRef], name: str) -> Iterator[NDArray[Any]]:
        """Yield `name`.npy of each artifact in order."""
        return self.each(lambda ref: self.array(ref, name), refs)

    def table(self, ref: ArtifactRef, name: str) -> pl.LazyFrame:
        """Return `name`.parquet, or the parts of the folder `name`, lazily."""
        single = self.path(ref, f"{name}.parquet")
        if single.exists():
            return pl.scan_parquet(single, glob=False)
        return pl.scan_parquet(sorted(self.path(ref, name).glob("*.parquet")), glob=False)

    def json(self, ref: ArtifactRef, name: str) -> Any:  # noqa: ANN401
        """Return the value of `name`.json."""
        path = self.path(ref, f"{name}.json")
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time where the store is far."""
        return self.backend.each(function, items)

    # --- writing ---

    @contextlib.contextmanager
    def writing(self, recipe: Recipe) -> Iterator[ArtifactWriter]:
        """Yield a writer for an artifact and commit it when the block ends well.

        Raises
        ------
        ArtifactError
            When the disk is full or the store cannot be written.
        """
        self._prepare()
        staging = self.root / STAGING / staging_name()
        writer = ArtifactWriter(folder=staging, key=recipe.key)
        try:
            with leases.writing(self.backend, recipe.kind, recipe.key):
                staging.mkdir(parents=True)
                with resources.measured() as usage:
                    yield writer
                self._commit(recipe, writer, usage)
        except Exception as error:
            if reason := disk_failure(error):
                raise self._unwritable(reason) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def committed(self, recipe: Recipe, writer: ArtifactWriter) -> ArtifactRef:
        """Return the reference of what `writing` has just committed."""
        manifest = self.manifest(recipe.kind, writer.key)
        return ArtifactRef(
            kind=recipe.kind,
            key=writer.key,
            stage=recipe.stage,
            rows=manifest["rows"],
            seconds=manifest["seconds"],
            peak_rss_bytes=manifest["peak_rss_bytes"],
            peak_gpu_bytes=manifest.get("peak_gpu_bytes", 0),
        )

    def discard(self, kind: str, key: str) -> None:
        """Take an artifact out of sight in one step, then delete it; one that is gone already is no error."""
        self.backend.discard(kind, key)

    def _prepare(self) -> None:
        """Make the store and its format marker."""
        try:
            self.backend.write_marker(canonical_json({"format": FORMAT}))
        except OSError as error:
            raise self._unwritable((error.strerror or str(error)).lower()) from error

    def _unwritable(self, reason: str) -> ArtifactError:
        return ArtifactError(
            f"store: {self.root} cannot be written ({reason}); free space or choose another --store"
        )

    def _commit(self, recipe: Recipe, writer: ArtifactWriter, usage: resources.Usage) -> None:
        """Describe the files in the staging folder in a manifest and make them an artifact."""
        files = {
            path.relative_to(writer.folder).as_posix(): {
                "bytes": path.stat().st_size,
                "blake2b": file_digest(path),
            }
            for path in sorted(writer.folder.rglob("*"))
            if path.is_file()
        }
        manifest = {
            "format": FORMAT,
            "kind": recipe.kind,
            "key": writer.key,
            "recipe": recipe.as_dict(),
            "files": files,
            "rows": writer.rows,
            "meta": writer.meta,
            "seconds": usage.seconds,
            "peak_rss_bytes": usage.peak_rss_bytes,
            "peak_gpu_bytes": usage.peak_gpu_bytes,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.backend.commit(writer.folder, recipe.kind, writer.key, manifest)


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"store: {path} cannot be read ({error}); `topicflow store verify` finds and removes damage"
    )
