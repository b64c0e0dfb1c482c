"""Bucket: artifacts in an object store (s3://, gs://, az://), read through a folder on this machine.

    URL/<kind>/<key>/<upload>/<files>   put first; `upload` is a name of this writer only
    URL/<kind>/<key>/manifest.json      put last, in a request that fails if there is one: the first writer wins
    URL/.leases/<kind>/<key>            put by the run that computes the artifact, again every BEAT_S until it is done
    ROOT/<kind>/<key>/<files>           copies, each checked against its digest during the download
    ROOT/.staging/<unique>/             artifacts being written

An artifact without a manifest does not exist; `gc` deletes old files of a killed writer. The files may
also be beside the manifest, as in a local store, so that any tool can copy such a store into a bucket.
Credentials, endpoint and region come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …) and are not stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.store.artifacts import digest
from topicflow.tasks.store.local import LEASES, STAGING, LocalFolder, set_aside
from topicflow.tasks.store.manifests import Manifest, opened, sealed
from topicflow.tasks.store.process import staging_name
from topicflow.tasks.store.protocol import Entry, look_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
"""URL schemes that can be opened."""

N_REQUESTS = 16
"""Requests at a time; an answer takes tens of milliseconds, and most of that is waiting."""

RANGE_BYTES = 16 << 20
"""Bytes in one request, so that eight requests need 128 MiB and none reaches its time limit."""

PART_BYTES = 16 << 20
"""Minimum size of a part of an upload; S3 takes at most 10,000 parts, so larger files have larger parts."""

TOUCH_AFTER_S = 3600.0
"""A younger manifest is not written again to show that it is in use."""

BEAT_S = 10.0
"""Seconds between two renewals of a lease by its owner."""

EXPIRY_S = 45.0
"""Seconds without a renewal, by the clock of the waiting run, after which another run may take a lease."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def cache_folder(url: str, cache: str | None) -> Path:
    """Return the folder for copies of the store at `url`: below `cache`, or below the user's cache folder if None."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(cache) if cache else home / "topicflow") / digest(url.encode(), size=8)


class Bucket:
    """Artifacts below a URL.

    Parameters
    ----------
    url : str
        The URL of the store, without a slash at the end.
    cache : str or None
        Folder for copies and for files being written; the user's cache folder if None.

    Raises
    ------
    ConfigError
        If the URL's scheme is unknown, or the package for it is not installed.
    """

    def __init__(self, url: str, cache: str | None = None) -> None:
        self.url, self._cache, self._is_marked = url, cache, False
        self._root = cache_folder(url, cache)
        self._seen: dict[str, tuple[str, float]] = {}
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.netloc:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            msg = f"runtime.store: {url} cannot be opened; expected a folder or the URL of a bucket ({known})"
            raise ConfigError(msg)
        if find_spec("obstore") is None:
            msg = f"runtime.store: {url} needs the package obstore; pip install 'topicflow[s3]'"
            raise ConfigError(msg)

    def __reduce__(self) -> tuple[type[Bucket], tuple[str, str | None]]:
        """Pickle the URL and folder only; another process has its own home, connection and credentials."""
        return Bucket, (self.url, self._cache)

    @property
    def root(self) -> Path:
        """The folder for copies."""
        return self._root

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    @property
    def location(self) -> str:
        """The URL."""
        return self.url

    # --- finding ---

    def read_marker(self) -> bytes:
        """Return format.json."""
        return self._get("format.json")

    def write_marker(self, data: bytes) -> None:
        """Put format.json if there is none."""
        if self._is_marked:
            return
        try:
            self.read_marker()
        except FileNotFoundError:
            self._put("format.json", data)
        self._is_marked = True

    def kinds(self) -> list[str]:
        """Return the kinds, with one request per thousand."""
        return self._below("")

    def keys(self, kind: str) -> list[str]:
        """Return the keys of a kind, with one request per thousand."""
        return self._below(kind)

    def entries(self) -> Iterator[Entry]:
        """Yield an entry for every artifact that has a manifest, from one listing of everything."""
        for (kind, key), objects in sorted(self._survey().items()):
            modified = [found["last_modified"] for name, found in objects.items() if name == "manifest.json"]
            if modified:
                size = sum(found["size"] for found in objects.values())
                yield Entry(kind, key, size, modified[0].timestamp())

    def manifest(self, kind: str, key: str, *, fresh: bool = False) -> bytes | None:
        """Return the manifest, None if there is none; if it differs from the local copy, it replaces all copies."""
        copy = self._root / kind / key / "manifest.json"
        if not fresh:
            with contextlib.suppress(OSError, DamagedError):  # a damaged copy is fetched again
                raw = copy.read_bytes()
                opened(raw, kind, key)
                return raw
        try:
            found = self._get(f"{kind}/{key}/manifest.json")
        except FileNotFoundError:
            set_aside(self._root, copy.parent)
            return None
        known = self._copied(copy)
        if known != found:
            if known is not None:  # from another writer, as are the files beside it
                set_aside(self._root, copy.parent)
            self._write_copy(copy, [found])
        return found

    def sizes(self, kind: str, key: str, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes of the files that exist, from one listing."""
        place = self._place(kind, key, "")
        found = {str(entry["path"]): int(entry["size"]) for entry in self._list(place)}
        return {name: found[f"{place}{name}"] for name in names if f"{place}{name}" in found}

    def digest(self, kind: str, key: str, name: str) -> str:
        """Return the digest of an object's bytes, after reading them from the bucket."""
        hasher = hashlib.blake2b(digest_size=16)
        for part in self._read(self._place(kind, key, name)):
            hasher.update(part)
        return hasher.hexdigest()

    def touch(self, kind: str, key: str) -> None:
        """Put the manifest again if it is old, so that it becomes young."""
        place = f"{kind}/{key}/manifest.json"
        with contextlib.suppress(ArtifactError, OSError):  # a store that is read-only
            with self._answers():
                age = time.time() - self._objects.head(place)["last_modified"].timestamp()
            if age > TOUCH_AFTER_S:
                self._put(place, self._get(place))

    # --- reading ---

    def path(self, kind: str, key: str, name: str) -> Path:
        """Return the local copy of a file or folder, after fetching the missing files."""
        folder = self._root / kind / key
        manifest = self._opened(kind, key)
        files = manifest["files"] if manifest else {}
        wanted = [file for file in files if file == name or file.startswith(f"{name}/")]
        for _ in self.each(lambda file: self._fetch(kind, key, file, files[file]), wanted):
            pass
        with contextlib.suppress(OSError):
            os.utime(folder)  # in use: `clear` looks at the age
        return folder / name

    def drop_copy(self, kind: str, key: str, name: str) -> bool:
        """Delete the local copy of a file; the next `path` fetches it."""
        (self._root / kind / key / name).unlink(missing_ok=True)
        return True

    def address(self, kind: str, key: str, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/{self._place(kind, key, name)}"

    def _fetch(self, kind: str, key: str, name: str, expected: Mapping[str, Any]) -> None:
        """Copy a file, unless there is a copy; raise DamagedError if its bytes are not those that were written."""
        copy, place = self._root / kind / key / name, self._place(kind, key, name)
        if copy.is_file() and copy.stat().st_size == expected["bytes"]:
            return
        hasher = hashlib.blake2b(digest_size=16)

        def parts() -> Iterator[bytes]:
            for part in self._read(place):
                hasher.update(part)
                yield part
            if hasher.hexdigest() != expected["blake2b"]:
                raise DamagedError(f"{name} changed since written")

        try:
            self._write_copy(copy, parts())
        except FileNotFoundError:
            raise DamagedError(f"{name} is gone") from None

    def _write_copy(self, copy: Path, parts: Iterable[bytes]) -> None:
        """Write a file completely or not at all."""
        staging = self._root / STAGING / staging_name("copy")
        staging.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staging.open("wb") as file:
                file.writelines(parts)
            while staging.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process has just set the folder aside
                    staging.replace(copy)
        finally:
            staging.unlink(missing_ok=True)

    # --- writing ---

    def commit(self, staging: Path, kind: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Put the files, then the manifest; keep a good artifact that is already there, replace a damaged one."""
        upload = uuid.uuid4().hex[:16]
        data = sealed({**manifest, "upload": upload})
        for name in manifest["files"]:
            self._put(f"{kind}/{key}/{upload}/{name}", staging / name)
        place = f"{kind}/{key}/manifest.json"
        if not self._put(place, data, only_new=True):
            look = look_at(self, kind, key)
            if look.refused is not None:
                raise look.refused
            if look.state == "hit":
                self._delete([f"{kind}/{key}/{upload}/{name}" for name in manifest["files"]])
                return
            self._put(place, data)
        copy = self._root / kind / key
        if self._copied(copy / "manifest.json") == data:  # another process has fetched it already
            return
        (staging / "manifest.json").write_bytes(data)
        set_aside(self._root, copy)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # another process was faster
            staging.rename(copy)

    def claim(self, kind: str, key: str) -> Callable[[], None] | None:
        """Put an artifact's lease and return the function that deletes it; None if another run has it and renews it."""
        place = f"{LEASES}/{kind}/{key}"
        mine = self._put_lease(place)
        if mine is None and (stale := self._stale_tag(place)):
            mine = self._put_lease(place, stale)
        if mine is None:
            return None
        self._seen.pop(place, None)
        ended = threading.Event()

        def renew(mine: str | None) -> None:
            while mine is not None and not ended.wait(BEAT_S):
                with contextlib.suppress(ArtifactError):
                    mine = self._put_lease(place, mine)  # None if another run has taken it over

        threading.Thread(target=renew, args=(mine,), daemon=True).start()

        def release() -> None:
            ended.set()
            self._delete([place])

        return release

    def holders(self, kind: str) -> list[str]:
        """Return the keys of the leases that were renewed within EXPIRY_S, by the server's clock."""
        now = f"{LEASES}/now/{uuid.uuid4().hex}"
        self._put(now, b"")
        with self._answers():
            oldest = self._objects.head(now)["last_modified"] - timedelta(seconds=EXPIRY_S)
        self._delete([now])
        found = self._list(f"{LEASES}/{kind}/")
        return [str(each["path"]).rpartition("/")[2] for each in found if each["last_modified"] >= oldest]

    def _stale_tag(self, place: str) -> str | None:
        """Return the tag of a lease that has been the same for EXPIRY_S; None if there is none or it is younger."""
        try:
            with self._answers():
                tag = str(self._objects.head(place)["e_tag"])
        except FileNotFoundError:
            return None
        seen, since = self._seen.get(place, (None, 0.0))
        if seen != tag:
            self._seen[place] = (tag, time.monotonic())
            return None
        return tag if time.monotonic() - since >= EXPIRY_S else None

    def _put_lease(self, place: str, tag: str | None = None) -> str | None:
        """Put a lease if there is none, or if it has `tag`, and return its tag; None if another run has one."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if tag is None else {"e_tag": tag}
        with self._answers():
            try:
                return str(self._objects.put(place, uuid.uuid4().bytes, mode=mode)["e_tag"])
            except (AlreadyExistsError, PreconditionError):
                return None
            except FileNotFoundError:  # the lease to replace is gone
                if tag is None:
                    raise
                return None

    @staticmethod
    def _copied(copy: Path) -> bytes | None:
        """Return the bytes of a copy, None if there is none."""
        try:
            return copy.read_bytes()
        except FileNotFoundError:
            return None

    def set_aside(self, kind: str, key: str, find_problem: Callable[[], str]) -> str | None:
        """Delete the manifest, but keep it with a note on this machine; `clear` deletes the files."""
        if not (problem := find_problem()):
            return None
        raw, copies = self.manifest(kind, key), LocalFolder(self._root)
        upload = f"{self.url}/{self._place(kind, key, '')}"
        self._delete([f"{kind}/{key}/manifest.json"])
        if raw is not None:
            self._write_copy(self._root / kind / key / "manifest.json", [raw])
        copies.set_aside(kind, key, lambda: problem)
        return upload.rstrip("/")

    def damage(self, kind: str, key: str) -> str | None:
        """Return the note on this machine."""
        return LocalFolder(self._root).damage(kind, key)

    def discard(self, kind: str, key: str) -> None:
        """Delete the manifest, then the files and the copies."""
        self._delete([f"{kind}/{key}/manifest.json"])
        self._delete([str(entry["path"]) for entry in self._list(f"{kind}/{key}/")])
        set_aside(self._root, self._root / kind / key)

    def clear(self, oldest_kept: float) -> None:
        """Delete objects that no manifest names, and copies that were not used, since the Unix time `oldest_kept`."""
        for (kind, key), objects in self._survey().items():
            old = {n for n, found in objects.items() if found["last_modified"].timestamp() <= oldest_kept}
            old.discard("manifest.json")
            if not old or (len({name.split("/")[0] for name in objects}) == 2 and "manifest.json" in objects):
                continue  # a manifest and the only upload, which it names
            try:
                manifest = self._opened(kind, key, fresh=True) or {"files": {}}
            except DamagedError:  # nobody knows which files it names
                continue
            upload = manifest.get("upload")
            named = {f"{upload}/{name}" if upload else name for name in manifest["files"]}
            self._delete([f"{kind}/{key}/{name}" for name in sorted(old - named)])
        LocalFolder(self._root).clear(oldest_kept)
        for copy in self._root.glob("*/*/manifest.json"):
            if copy.parent.stat().st_mtime <= oldest_kept:
                set_aside(self._root, copy.parent)

    def each(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Yield `function` of each item in order, several at a time."""
        with ThreadPoolExecutor(N_REQUESTS) as pool:
            yield from pool.map(function, items)

    # --- requests ---

    @cached_property
    def _objects(self) -> ObjectStore:
        """The connection to the object store."""
        from obstore.store import from_url

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        with self._answers():
            return from_url(
                self.url,
                client_options={
                    "allow_http": endpoint.startswith("http://"),  # the user's own server, set on purpose
                    "connect_timeout": timedelta(seconds=5),
                    "timeout": timedelta(minutes=2),
                },
                retry_config={"max_retries": 5, "retry_timeout": timedelta(minutes=2)},
            )

    def _opened(self, kind: str, key: str, *, fresh: bool = False) -> Manifest | None:
        """Return a manifest, None if there is none; raise DamagedError if it is not what was written."""
        raw = self.manifest(kind, key, fresh=fresh)
        return opened(raw, kind, key) if raw is not None else None

    def _place(self, kind: str, key: str, name: str) -> str:
        """Return the path of an artifact's file below the URL."""
        upload = (self._opened(kind, key) or {}).get("upload")
        return "/".join(part for part in (kind, key, upload) if part) + f"/{name}"

    def _get(self, place: str) -> bytes:
        with self._answers():
            return bytes(self._objects.get(place).bytes())

    def _read(self, place: str) -> Iterator[bytes]:
        """Yield the bytes of an object in parts, eight requests at a time."""
        with self._answers():
            size = self._objects.head(place)["size"]
        starts = range(0, size, RANGE_BYTES)

        def part(start: int) -> bytes:
            with self._answers():
                return bytes(self._objects.get_range(place, start=start, end=min(size, start + RANGE_BYTES)))

        for first in range(0, len(starts), 8):
            yield from self.each(part, starts[first : first + 8])

    def _put(self, place: str, data: bytes | Path, *, only_new: bool = False) -> bool:
        """Put an object and return True; with `only_new`, return False if there is already one."""
        from obstore.exceptions import AlreadyExistsError

        size = data.stat().st_size if isinstance(data, Path) else len(data)
        with self._answers():
            try:
                if only_new:
                    self._objects.put(place, data, mode="create")
                else:
                    self._objects.put(place, data, chunk_size=max(PART_BYTES, size // 9000))
            except AlreadyExistsError:
                return False
        return True

    def _delete(self, places: list[str]) -> None:
        with self._answers():
            if places:
                self._objects.delete(places)

    def _list(self, place: str) -> Iterator[Mapping[str, Any]]:
        """Yield the objects whose path begins with `place`, which ends with a slash or is empty."""
        with self._answers():
            for batch in self._objects.list(place or None):
                yield from batch

    def _below(self, place: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""
        with self._answers():
            found = self._objects.list_with_delimiter(place or None)["common_prefixes"]
        return sorted(path.rpartition("/")[2] for path in found)

    def _survey(self) -> dict[tuple[str, str], dict[str, Mapping[str, Any]]]:
        """Return the objects of each kind and key, by their path below it."""
        found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for entry in self._list(""):
            parts = str(entry["path"]).split("/", 2)
            if len(parts) == 3:
                found[parts[0], parts[1]][parts[2]] = entry
        return found

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Raise FileNotFoundError if an object is missing, and a one-line ArtifactError for every other error."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError:
            raise
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise FileNotFoundError(str(error).splitlines()[0]) from None
            raise self._refused(error) from None
        except BaseError as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"store: {self.url}: {_reason(str(error))}; check the URL and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY"
        )


def _reason(said: str) -> str:
    """Return an object store's error in a few words."""
    if answer := re.search(r"<Code>(\w+)</Code>\s*<Message>([^<]*)", said):
        return f"{answer[2].strip().rstrip('.')} ({answer[1]})"
    if "169.254.169.254" in said or "metadata" in said.lower():
        return "no credentials in the environment"
    if status := re.search(r"status code: (\d+ [A-Z][a-z]+(?: [A-Z][a-z]+)*)", said):
        return f"the server said {status[1]}"
    if "error sending request" in said:
        return "the server does not answer"
    return said.splitlines()[0][:200]
