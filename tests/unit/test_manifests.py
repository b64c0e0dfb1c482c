"""Manifests: any change is noticed, each key is checked against its content, old manifests stay valid."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.test_store import RECIPE, write
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.store.artifacts import canonical_json
from topicflow.tasks.store.manifests import has_digest, opened, sealed
from topicflow.tasks.store.verify import verify_artifacts

LOADED = Recipe(stage="load", kind="documents", version=1, config={"text_column": "text"})


def manifest_path(store: ArtifactStore, kind: str = "numbers", key: str = RECIPE.key) -> Path:
    return store.folder(kind, key) / "manifest.json"


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], *, old: bool = False) -> None:
    """Write a manifest with a change and a new digest, or in the form of version 1."""
    manifest = json.loads(path.read_bytes())
    manifest.pop("digest")
    change(manifest)
    if old:
        manifest.pop("keyed_by")
    path.write_bytes(canonical_json({**manifest, "format": 1}) if old else sealed(manifest))


def test_every_single_flipped_bit_is_noticed(store: ArtifactStore) -> None:
    write(store)
    path = manifest_path(store)
    raw = path.read_bytes()
    for place in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(DamagedError, match=r"^manifest\.json "):
            opened(bytes(changed), "numbers", RECIPE.key)
    path.write_bytes(raw[:-1] + b" ")
    assert store.find(RECIPE) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(rows=3),
        lambda manifest: manifest.update(files={}),
        lambda manifest: manifest["files"].pop("t.parquet"),
        lambda manifest: manifest.update(meta={}),
        lambda manifest: manifest["recipe"].update(seed=8),
        lambda manifest: manifest.pop("digest"),
        lambda manifest: manifest.pop("format"),
        lambda manifest: manifest.update(extra=1),
    ],
)
def test_a_changed_value_is_noticed_by_a_hit_and_by_verify(
    store: ArtifactStore, change: Callable[[dict[str, Any]], object]
) -> None:
    write(store)
    manifest = json.loads(manifest_path(store).read_bytes())
    change(manifest)
    manifest_path(store).write_bytes(canonical_json(manifest))
    assert store.state("numbers", RECIPE.key).startswith("corrupt: manifest.json ")
    assert store.find(RECIPE) is None
    (found,) = verify_artifacts(store)
    assert found.problem.startswith("corrupt: manifest.json ")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda manifest: manifest.update(kind="labels"), f"manifest.json belongs to labels/{RECIPE.key}"),
        (lambda manifest: manifest.update(key="0" * 32), f"manifest.json belongs to numbers/{'0' * 32}"),
        (lambda manifest: manifest["recipe"].update(seed=8), "manifest.json has the recipe of another key"),
        (lambda manifest: manifest.update(files={}), "manifest.json names no files"),
        (lambda manifest: manifest.update(rows="2"), "manifest.json lacks rows"),
        (lambda manifest: manifest["files"].update({"../x": {"bytes": 1, "blake2b": ""}}), "names no files"),
        (
            lambda manifest: manifest["files"].update({"/etc/x": {"bytes": 1, "blake2b": ""}}),
            "names no files",
        ),
        (lambda manifest: manifest["files"].update({"a": {"bytes": "1", "blake2b": ""}}), "names no files"),
    ],
)
def test_what_a_manifest_says_must_fit_its_place_and_its_recipe(
    store: ArtifactStore, change: Callable[[dict[str, Any]], object], named: str, old: bool
) -> None:
    """These changes are noticed without a digest, too, and with a renewed digest."""
    write(store)
    rewrite(manifest_path(store), change, old=old)
    assert named in store.state("numbers", RECIPE.key)
    assert store.find(RECIPE) is None


def test_a_manifest_without_a_digest_is_a_hit_and_verify_counts_it(store: ArtifactStore) -> None:
    made = write(store)
    rewrite(manifest_path(store), lambda _: None, old=True)
    assert not has_digest(store.manifest("numbers", RECIPE.key))
    assert store.find(RECIPE) == made
    assert store.array(made, "a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [(found.problem, found.has_digest) for found in verify_artifacts(store)] == [("", False)]


def test_loaded_documents_are_keyed_by_content_and_all_others_by_recipe(store: ArtifactStore) -> None:
    with store.writing(LOADED) as writer:
        writer.save_array("a", np.arange(3))
        writer.key = "f" * 32
    store.committed(LOADED, writer)
    assert store.state("documents", "f" * 32) == "hit"
    with store.writing(RECIPE) as writer:
        writer.save_array("a", np.arange(3))
        writer.key = "f" * 32
    assert store.state("numbers", "f" * 32) == "corrupt: manifest.json has the recipe of another key"
    rewrite(manifest_path(store, "documents", "f" * 32), lambda _: None, old=True)
    assert store.state("documents", "f" * 32) == "hit"


def test_a_manifest_of_another_artifact_in_its_place_is_noticed(store: ArtifactStore) -> None:
    other = Recipe("count", "numbers", 2)
    write(store, other)
    write(store)
    manifest_path(store).write_bytes(manifest_path(store, key=other.key).read_bytes())
    assert store.state("numbers", RECIPE.key) == f"corrupt: manifest.json belongs to numbers/{other.key}"


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b'{"files": 3}', b"[" * 99_999, b"\xff\xfe", b"1e999"]
)
def test_a_file_that_is_not_a_manifest_is_named(raw: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^manifest\.json (is no|lacks)"):
        opened(raw, "numbers", RECIPE.key)
