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

import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.store import leases, resources
from topicflow.tasks.store.access import ABSENT, disk_failure, reason_of, unreadable, unwritable
from topicflow.tasks.store.artifacts import (
    ArtifactRef,
    ArtifactWriter,
    Recipe,
    canonical_json,
    digest,
    file_digest,
)
from topicflow.tasks.store.bucket import Bucket, cache_folder
from topicflow.tasks.store.files import WHOLE_BYTES, problem_of, read_array
from topicflow.tasks.store.local import STAGING, LocalFolder
from topicflow.tasks.store.manifests import Manifest, keyed_by, opened
from topicflow.tasks.store.process import staging_name
from topicflow.tasks.store.protocol import Backend, Entry, Look, look_at

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
        except OSError as error:
            raise unreadable(f"{self.name}/format.json", error) from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            marker = f"{self.name}/format.json"
            msg = f'store: {marker} is damaged ({error}); write {{"format":{FORMAT}}} into it or choose another --store'
            raise ArtifactError(msg) from None
        if not isinstance(found, int) or not 1 <= found <= FORMAT:
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
        """Return `hit`, `missing`, or `corrupt: ` with the reason, by manifest and by existence and size of its files.

        Raises
        ------
        ArtifactError
            When it may be there and cannot be read: that is no reason to make it again.
        """
        return self._look(kind, key).state

    def _look(self, kind: str, key: str) -> Look:
        look = look_at(self.backend, kind, key)
        if look.refused is not None:
            raise look.refused
        return look

    def find(self, recipe: Recipe, key: str | None = None, *, claim: bool = True) -> ArtifactRef | None:
        """Return the artifact of a recipe (or of a `key` of its kind), or None where it must be computed.

        With `claim` one that another run is making is waited for, and None is the right to make it, until `writing`
        has; without, this answers at once.

        Raises
        ------
        ArtifactError
            When it may be there and cannot be read.
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
        manifest = self._look(recipe.kind, key).manifest
        if manifest is None:
            return None
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
        with self._reading(kind):
            keys = [key for key in self.backend.keys(kind) if key not in leave_out]
        states = self.each(lambda key: self.state(kind, key), keys)
        return [key for key, state in zip(keys, states, strict=True) if state == "hit"]

    def entries(self) -> Iterator[Entry]:
        """Yield every artifact as a listing shows it, by kind and key."""
        with self._reading(""):
            yield from self.backend.entries()

    def manifest(self, kind: str, key: str) -> Manifest:
        """Return an artifact's manifest; raise ArtifactError where there is none to read, or a damaged one."""
        path = f"{self.name}/{kind}/{key}/manifest.json"
        try:
            raw = self.backend.manifest(kind, key)
            if raw is not None:
                return opened(raw, kind, key)
        except ABSENT:
            pass
        except OSError as error:
            raise unreadable(path, error) from None
        except DamagedError as error:
            msg = f"store: {path} is damaged ({error}); run the same command again to recompute it"
            raise DamagedError(msg) from None
        raise ArtifactError(f"store: {path} is not there; run the same command again to make it again")

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Raise ArtifactError where a folder of the store cannot be listed."""
        try:
            yield
        except OSError as error:
            raise unreadable(error.filename or f"{self.name}/{name}", error) from None

    def meta(self, ref: ArtifactRef) -> dict[str, Any]:
        """Return what the stage recorded about an artifact."""
        meta: dict[str, Any] = self.manifest(ref.kind, ref.key)["meta"]
        return meta

    # --- reading ---

    def path(self, ref: ArtifactRef, name: str) -> Path:
        """Return the path on this machine of one file or folder of an artifact; its bytes are not looked at."""
        try:
            return self.backend.path(ref.kind, ref.key, name)
        except DamagedError as error:
            raise self._damaged(ref, name, str(error)) from None

    def whole(self, ref: ArtifactRef, name: str = "") -> Path:
        """Return the path of one file or folder, all of the artifact if "", with the bytes that were written.

        Raises
        ------
        DamagedError
            When they are others; the artifact was set aside.
        ArtifactError
            When they cannot be read.
        """
        files = self.manifest(ref.kind, ref.key)["files"]
        wanted = [each for each in files if not name or each == name or each.startswith(f"{name}/")]
        if not wanted:
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} holds no {name}")
        for file in wanted:
            self._whole_file(ref, file, files[file])
        return self.folder(ref.kind, ref.key) / name

    def address(self, ref: ArtifactRef, name: str) -> str:
        """Return how others find one file of an artifact: its path or URL."""
        return self.backend.address(ref.kind, ref.key, name)

    def array(self, ref: ArtifactRef, name: str, *, whole: bool = False) -> NDArray[Any]:
        """Return `name`.npy, memory-mapped and read-only.

        Its size and form are checked, and its bytes where it is small or `whole` is True: a larger one is mapped so
        that not all of it has to be read.
        """
        file = f"{name}.npy"
        entry = self._entry(ref, file)
        path = self._whole_file(ref, file, entry, whole=whole or entry["bytes"] <= WHOLE_BYTES)
        try:
            return read_array(path)
        except OSError as error:
            raise unreadable(path, error) from None
        except ValueError as error:
            self._whole_file(ref, file, entry)
            msg = (
                f"store: {path} is no array that can be read ({error}); `topicflow store verify` looks at all"
            )
            raise ArtifactError(msg) from None

    def arrays(self, refs: Iterable[ArtifactRef], name: str) -> Iterator[NDArray[Any]]:
        """Yield `name`.npy of each artifact in order."""
        return self.each(lambda ref: self.array(ref, name), refs)

    def table(self, ref: ArtifactRef, name: str) -> pl.LazyFrame:
        """Return `name`.parquet, or the parts of the folder `name`, lazily; the bytes are checked first."""
        files = self.manifest(ref.kind, ref.key)["files"]
        parts = [file for file in sorted(files) if file.startswith(f"{name}/") and file.endswith(".parquet")]
        names = [f"{name}.parquet"] if f"{name}.parquet" in files else parts
        if not names:
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} holds no table {name}")
        return pl.scan_parquet([self._whole_file(ref, file, files[file]) for file in names], glob=False)

    def json(self, ref: ArtifactRef, name: str) -> Any:  # noqa: ANN401
        """Return the value of `name`.json."""
        file = f"{name}.json"
        path = self._whole_file(ref, file, self._entry(ref, file))
        try:
            return json.loads(path.read_bytes())
        except OSError as error:
            raise unreadable(path, error) from None

    def _entry(self, ref: ArtifactRef, file: str) -> dict[str, Any]:
        """Return what the manifest says of a file."""
        files = self.manifest(ref.kind, ref.key)["files"]
        if file not in files:
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} holds no {file}")
        found: dict[str, Any] = files[file]
        return found

    def _whole_file(self, ref: ArtifactRef, file: str, entry: dict[str, Any], *, whole: bool = True) -> Path:
        """Return the path of a file after comparing it with its entry: its size, and its bytes where `whole`."""
        path = self.path(ref, file)
        try:
            problem = problem_of(path, file, entry, whole=whole)
            if problem and self.backend.drop_copy(ref.kind, ref.key, file):
                problem = problem_of(self.path(ref, file), file, entry, whole=whole)
        except OSError as error:
            raise unreadable(path, error) from None
        if problem:
            raise self._damaged(ref, file, problem)
        return path

    def _damaged(self, ref: ArtifactRef, file: str, problem: str) -> DamagedError:
        """Return the error that says of an artifact what is wrong with it, after setting it aside."""
        place = f"{self.name}/{ref.kind}/{ref.key}/{file}"
        try:
            aside = self.backend.set_aside(ref.kind, ref.key, lambda: self._problem_now(ref, file, problem))
        except OSError as error:
            refused = f"it could not be set aside ({reason_of(error)}); `topicflow store verify --remove` removes it"
            return DamagedError(f"store: {place} is damaged ({problem}); {refused}")
        kept = f"the artifact was set aside in {aside}; " if aside else ""
        return DamagedError(
            f"store: {place} is damaged ({problem}); {kept}run the same command again to make it again"
        )

    def _problem_now(self, ref: ArtifactRef, file: str, problem: str) -> str:
        """Return `problem` where a file still has one, an empty string where it was made again meanwhile."""
        look = look_at(self.backend, ref.kind, ref.key)
        if look.manifest is None:
            return problem if look.is_there else ""
        path = self.folder(ref.kind, ref.key) / file
        return problem if problem_of(path, file, look.manifest["files"].get(file, {}), whole=True) else ""

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
            reason = disk_failure(error)
            if reason and self._is_ours(getattr(error, "filename", None)):
                raise unwritable(self.root, reason) from error
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
            raise unwritable(self.root, reason_of(error)) from error

    def _is_ours(self, filename: object) -> bool:
        """True for a file of the store, or where the error names none: an input may be refused too."""
        return filename is None or Path(str(filename)).absolute().is_relative_to(self.root.absolute())

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
            "kind": recipe.kind,
            "key": writer.key,
            "keyed_by": keyed_by(recipe.kind, recipe.stage),
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
