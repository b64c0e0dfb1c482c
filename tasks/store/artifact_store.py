"""Store: content-addressed artifacts; never half written, never pickled, verified on every hit.

    STORE/format.json                  the layout's version
    STORE/<kind>/<key>/manifest.json   recipe, files with sizes and digests, what the stage says about the result
    STORE/<kind>/<key>/<files>         .npy (memory-mapped), Parquet, JSON, safetensors

A backend knows where the store is: a local or shared folder (`local`), or an object store that is read through
a folder on this machine (`bucket`). Both write into a staging folder first and make an artifact visible in one step.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

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

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = [
    "FORMAT", "ArtifactRef", "ArtifactStore", "ArtifactWriter", "Recipe", "canonical_json", "digest", "disk_failure",
    "file_digest", "local_folder", "open_store",
]  # fmt: skip

FORMAT = 1
"""Version of the layout; a store with a newer version is refused."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def open_store(runtime: RuntimeConfig) -> ArtifactStore:
    """Return the store that `runtime.store` names: a folder, a file:// URL, or the URL of an object store.

    Raises
    ------
    ArtifactError
        If the store has a newer version or cannot be reached.
    ConfigError
        If its URL cannot be opened here.
    """
    folder = local_folder(runtime)
    if urlsplit(runtime.store).scheme in {"", "file"}:
        return ArtifactStore(
            folder if runtime.engine == "threads" else folder.absolute()
        )  # workers have another working directory
    return ArtifactStore(Bucket(runtime.store.rstrip("/"), runtime.cache))


_KEY = re.compile(r"[0-9a-f]{32}")
"""A key, which is the name of an artifact's folder."""


def local_folder(runtime: RuntimeConfig) -> Path:
    """Return the local folder with the `.staging` folder of a store: the store itself, or its cache."""
    parts = urlsplit(runtime.store)
    if parts.scheme in {"", "file"}:
        return Path(unquote(parts.path) if parts.scheme else runtime.store)
    return cache_folder(runtime.store.rstrip("/"), runtime.cache)


class ArtifactStore:
    """Artifacts in one place.

    Parameters
    ----------
    place : Path or Backend
        A local folder, which the first write makes, or another backend.

    Raises
    ------
    ArtifactError
        If the store was written by a newer version or cannot be read.
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

    def check_empty(self) -> None:
        """Raise ArtifactError if a place without format.json has artifacts: it is a store that lost the file."""
        try:
            kinds = [kind for kind in self.backend.kinds() if not kind.startswith(".")]
            found = next((kind for kind in kinds if any(map(_KEY.fullmatch, self.backend.keys(kind)))), None)
        except OSError:
            return
        if found is not None:
            msg = (
                f"store: {self.name}/format.json is gone, but {self.name}/{found} has artifacts; write "
                f'{{"format":{FORMAT}}} into it or choose another --store'
            )
            raise ArtifactError(msg)

    @property
    def root(self) -> Path:
        """The local folder of the store, or the folder of its copies on this machine."""
        return self.backend.root

    @property
    def name(self) -> str:
        """The folder or URL, as in messages."""
        return self.backend.name

    @property
    def location(self) -> str:
        """The absolute path or URL, as in run records."""
        return self.backend.location

    def exists(self) -> bool:
        """Return whether the store exists."""
        try:
            self.backend.read_marker()
        except FileNotFoundError:
            return False
        return True

    # --- finding ---

    def folder(self, kind: str, key: str) -> Path:
        """Return the local folder of an artifact, which may not exist."""
        return self.root / kind / key

    def state(self, kind: str, key: str) -> str:
        """Return `hit`, `missing`, or `corrupt: ` and the reason, from the manifest and the sizes of its files.

        Raises
        ------
        ArtifactError
            If the artifact may exist but cannot be read: that is no reason to compute it again.
        """
        return self._look(kind, key).state

    def _look(self, kind: str, key: str) -> Look:
        look = look_at(self.backend, kind, key)
        if look.refused is not None:
            raise look.refused
        return look

    def find(self, recipe: Recipe, key: str | None = None, *, claim: bool = True) -> ArtifactRef | None:
        """Return the artifact of a recipe (or with a `key` of its kind), or None if it must be computed.

        With `claim`, wait while another run computes the artifact; None then means that this thread may compute
        it until `writing` ends. Without `claim`, return without waiting.

        Raises
        ------
        ArtifactError
            If the artifact may exist but cannot be read.
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
        self.backend.touch(recipe.kind, key)  # in use: `gc` looks at the age until a run record refers to it
        return ArtifactRef(
            kind=recipe.kind,
            key=key,
            stage=recipe.stage,
            rows=manifest["rows"],
            cached=True,
            seconds=time.perf_counter() - started,
        )

    def hits(self, kind: str, leave_out: Collection[str] = ()) -> list[str]:
        """Return the keys of the good artifacts of a kind, sorted; the keys of `leave_out` are not checked."""
        with self._reading(kind):
            keys = [key for key in self.backend.keys(kind) if key not in leave_out]
        states = self.each(lambda key: self.state(kind, key), keys)
        return [key for key, state in zip(keys, states, strict=True) if state == "hit"]

    def entries(self) -> Iterator[Entry]:
        """Yield an entry for every artifact, by kind and key."""
        with self._reading(""):
            yield from self.backend.entries()

    def manifest(self, kind: str, key: str) -> Manifest:
        """Return an artifact's manifest; raise ArtifactError if there is none, or if it is damaged or unreadable."""
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
        """Raise ArtifactError if a folder of the store cannot be listed."""
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
        """Return the path on this machine of one file or folder of an artifact; its bytes are not checked."""
        try:
            return self.backend.path(ref.kind, ref.key, name)
        except DamagedError as error:
            raise self._damaged(ref, name, str(error)) from None

    def whole(self, ref: ArtifactRef, name: str = "") -> Path:
        """Return the path of one file or folder (of the whole artifact if "") after checking all of its bytes.

        Raises
        ------
        DamagedError
            If the bytes are not those that were written; the artifact was set aside.
        ArtifactError
            If they cannot be read.
        """
        files = self.manifest(ref.kind, ref.key)["files"]
        wanted = [each for each in files if not name or each == name or each.startswith(f"{name}/")]
        if not wanted:
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} contains no {name}")
        for file in wanted:
            self._whole_file(ref, file, files[file])
        return self.folder(ref.kind, ref.key) / name

    def address(self, ref: ArtifactRef, name: str) -> str:
        """Return the path or URL of one file of an artifact, for other programs."""
        return self.backend.address(ref.kind, ref.key, name)

    def array(self, ref: ArtifactRef, name: str, *, whole: bool = False) -> NDArray[Any]:
        """Return `name`.npy, memory-mapped and read-only.

        Its size and form are checked. Its bytes are checked if it is small or `whole` is True: a larger one is mapped,
        so that not all of it must be read.
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
            msg = f"store: {path} cannot be read as an array ({error}); `topicflow store verify` checks every file"
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
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} contains no table {name}")
        import polars as pl

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
        """Return the entry of a file in the manifest."""
        files = self.manifest(ref.kind, ref.key)["files"]
        if file not in files:
            raise ArtifactError(f"store: {self.name}/{ref.kind}/{ref.key} contains no {file}")
        found: dict[str, Any] = files[file]
        return found

    def _whole_file(self, ref: ArtifactRef, file: str, entry: dict[str, Any], *, whole: bool = True) -> Path:
        """Return the path of a file after comparing its size with its entry, and its bytes if `whole`."""
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
        """Set an artifact aside and return the error that says what is wrong with it."""
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
        """Return `problem` if a file still has one, or an empty string if it was made again meanwhile."""
        look = look_at(self.backend, ref.kind, ref.key)
        if look.manifest is None:
            return problem if look.is_there else ""
        path = self.folder(ref.kind, ref.key) / file
        return problem if problem_of(path, file, look.manifest["files"].get(file, {}), whole=True) else ""

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time if the store is remote."""
        return self.backend.each(function, items)

    # --- writing ---

    @contextlib.contextmanager
    def writing(self, recipe: Recipe) -> Iterator[ArtifactWriter]:
        """Yield a writer for an artifact and commit the artifact if the block ends without an error.

        Raises
        ------
        ArtifactError
            If the disk is full or the store cannot be written.
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
        """Return the reference of the artifact that `writing` has just committed."""
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
        """Make an artifact invisible in one step, then delete it; it is no error if the artifact is already gone."""
        self.backend.discard(kind, key)

    def _prepare(self) -> None:
        """Write the store's format marker if there is none."""
        try:
            self.backend.write_marker(canonical_json({"format": FORMAT}))
        except OSError as error:
            raise unwritable(self.root, reason_of(error)) from error

    def _is_ours(self, filename: object) -> bool:
        """Return whether a file belongs to the store, or is not named; the file of an error may also be an input."""
        return filename is None or Path(str(filename)).absolute().is_relative_to(self.root.absolute())

    def _commit(self, recipe: Recipe, writer: ArtifactWriter, usage: resources.Usage) -> None:
        """Describe the files in the staging folder in a manifest and commit them as an artifact."""
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
