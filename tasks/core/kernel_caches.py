"""Kernel caches: compiled kernels whose sources have changed are removed, those of files that they import included.

numba keeps a kernel until its own file changes. A kernel also contains what it calls from other files: after an update
of the sources by git the old code of those would still run, without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

STAMPS = "kernel-sources.json"
"""Time of change and size of each source when the caches were last checked."""

_IMPORT = re.compile(r"^\s*from topicflow\.tasks\.core\.(\w+)\.(\w+) import", re.MULTILINE)

Stamps = dict[str, list[int]]


def remove_stale(core: Path, cache: Path | None = None) -> None:
    """Remove the compiled kernels whose sources have changed since the last call.

    Parameters
    ----------
    core : Path
        The folder whose folders have the kernels.
    cache : Path or None
        NUMBA_CACHE_DIR; by default kernels are kept beside their sources.

    Notes
    -----
    It takes 2 ms. If nothing can be written here, nothing is removed: numba keeps its kernels in another place then.
    """
    kept = (cache or core / "__pycache__") / STAMPS
    with contextlib.suppress(OSError):
        now = _stamps(core)
        before = _read(kept)
        if now == before:
            return
        changed = {name for name in now.keys() | before.keys() if now.get(name) != before.get(name)}
        for name in now:
            if not changed.isdisjoint(_needed(core, name)):
                for path in _compiled(core, name, cache):
                    path.unlink(missing_ok=True)
        _write(kept, now)


def _stamps(core: Path) -> Stamps:
    found: Stamps = {}
    for folder in sorted(core.iterdir()):
        if folder.is_dir() and folder.name != "__pycache__":
            for entry in os.scandir(folder):
                if entry.name.endswith(".py"):
                    stat = entry.stat()
                    found[f"{folder.name}/{entry.name}"] = [stat.st_mtime_ns, stat.st_size]
    return found


def _read(path: Path) -> Stamps:
    """Return the stamps of the last check; none if there are none, so that every kernel counts as changed."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, stamps: Stamps) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    own.write_text(json.dumps(stamps), encoding="utf-8")
    own.replace(path)


def _needed(core: Path, name: str) -> set[str]:
    """Return a source and those that it imports, directly or not."""
    found, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        with contextlib.suppress(OSError, ValueError):
            text = (core / one).read_text(encoding="utf-8")
            waiting += [f"{folder}/{module}.py" for folder, module in _IMPORT.findall(text)]
    return found


def _compiled(core: Path, name: str, cache: Path | None) -> Iterator[Path]:
    """Yield the files that numba keeps for the kernels of a source."""
    folder, file = name.split("/")
    places = [core / folder / "__pycache__"] if cache is None else list(cache.glob(f"{folder}_*"))
    for place in places:
        for kind in ("nbi", "nbc"):
            yield from place.glob(f"{file.removesuffix('.py')}.*.{kind}")
