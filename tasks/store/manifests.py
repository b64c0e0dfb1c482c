"""Manifests: what is recorded about an artifact, with a digest of the manifest -> bytes, and back with every check.

    digest      BLAKE2b of the manifest's canonical text without this field
    keyed_by    what the key is a digest of: `recipe`, or `content`

Three things are checked each time a manifest is read: its digest, its kind and key against the folder in which it is,
and the key against the recipe. Loaded documents have a key made from their content, which only the load stage can
compute; the manifest's digest protects that key. Manifests from before format 2 have no digest: their form, kind and
key are checked, and `topicflow store verify` counts them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from topicflow.tasks.errors import DamagedError
from topicflow.tasks.store.artifacts import canonical_json, digest

FORMAT = 2
"""Version of the manifest; those of version 1 have no digest."""

Manifest = dict[str, Any]

_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "format": int, "kind": str, "key": str, "recipe": dict, "files": dict, "rows": int, "meta": dict,
    "seconds": (int, float), "peak_rss_bytes": int, "created": str,
}  # fmt: skip


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """Return the canonical text of a manifest, with its digest."""
    body = {**manifest, "format": FORMAT}
    return canonical_json({**body, "digest": digest(canonical_json(body))})


def has_digest(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest has a digest of itself."""
    return "digest" in manifest


def opened(raw: bytes, kind: str, key: str) -> Manifest:
    """Return the manifest of the artifact `kind`/`key` after checking it.

    Raises
    ------
    DamagedError
        If these are not the bytes that were written for this artifact, with what is wrong.
    """
    manifest = _parsed(raw)
    if has_digest(manifest):
        own = f'"digest":{json.dumps(manifest["digest"])},'.encode()
        if digest(raw.replace(own, b"", 1)) != manifest["digest"]:
            raise DamagedError("manifest.json changed since written")
    elif manifest["format"] != 1:
        raise DamagedError("manifest.json lacks its digest")
    if (manifest["kind"], manifest["key"]) != (kind, key):
        raise DamagedError(f"manifest.json belongs to {manifest['kind']}/{manifest['key']}")
    if _keyed_by(manifest) == "recipe" and digest(canonical_json(manifest["recipe"])) != key:
        raise DamagedError("manifest.json has the recipe of another key")
    return manifest


def keyed_by(kind: str, stage: str) -> str:
    """Return what the keys of a stage's artifacts are computed from: `recipe`, or `content` for loaded documents."""
    return "content" if (kind, stage) == ("documents", "load") else "recipe"


def _keyed_by(manifest: Manifest) -> str:
    return str(manifest.get("keyed_by") or keyed_by(manifest["kind"], manifest["recipe"].get("stage", "")))


def _parsed(raw: bytes) -> Manifest:
    """Return the JSON of a manifest with all fields of one; raise DamagedError if it is none."""
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        raise DamagedError("manifest.json is not JSON") from None
    if not isinstance(manifest, dict):
        raise DamagedError("manifest.json is not a manifest")
    for name, kinds in _FIELDS.items():
        if not isinstance(manifest.get(name), kinds):
            raise DamagedError(f"manifest.json lacks {name}")
    if not manifest["files"] or not all(_is_file(name, entry) for name, entry in manifest["files"].items()):
        raise DamagedError("manifest.json names no files")
    return manifest


def _is_file(name: str, entry: object) -> bool:
    """Return whether a file is below the artifact's folder and has size and digest: a path must not lead elsewhere."""
    path = PurePosixPath(name)
    inside = bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
    return (
        inside
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("blake2b"), str)
    )
