"""Encoder cache: files that are derived from a model once on this machine, checked, in the user's cache folder.

A distilled table or an int8 model takes seconds to make and is the same for every corpus and store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.store.artifact_store import ArtifactStore, ArtifactWriter, Recipe, file_digest

LOG = logging.getLogger("topicflow")


def encoder_cache() -> Path:
    """Return the folder of files derived from models, in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "topicflow" / "encoders"


def kept(recipe: Recipe, make: Callable[[ArtifactWriter], None], cache: Path | None = None) -> Path:
    """Return the folder of a recipe's files; make the files if they are missing or damaged.

    Parameters
    ----------
    recipe : Recipe
        Everything that decides the files.
    make : callable
        Writes the files.
    cache : Path or None
        Folder of the files; default `encoder_cache()`.

    Raises
    ------
    ConfigError
        If the folder cannot be read or written.

    Notes
    -----
    Every byte is read and compared with its digest: 0.2 s for the 90 MB of all-MiniLM-L6-v2 in int8. The log names
    damaged files.
    """
    folder = cache or encoder_cache()
    try:
        store = ArtifactStore(folder)
        problem = _problem(store, recipe)
        if problem and problem != "missing":
            LOG.warning(
                "embed: %s is damaged (%s); making it again", store.folder(recipe.kind, recipe.key), problem
            )
            store.discard(recipe.kind, recipe.key)
        if problem:
            with store.writing(recipe) as writer:
                make(writer)
    except (ArtifactError, OSError) as error:
        msg = (
            f"embed: the cache of encoders cannot be used ({error}); set XDG_CACHE_HOME to a writable folder"
        )
        raise ConfigError(msg) from error
    return store.folder(recipe.kind, recipe.key)


def _problem(store: ArtifactStore, recipe: Recipe) -> str:
    """Return what is wrong with the files of a recipe; an empty string if they are correct."""
    if store.find(recipe) is None:
        return store.state(recipe.kind, recipe.key).removeprefix("corrupt: ")
    folder = store.folder(recipe.kind, recipe.key)
    for name, entry in store.manifest(recipe.kind, recipe.key)["files"].items():
        if file_digest(folder / name) != entry["blake2b"]:
            return f"the digest of {name} has changed since it was written"
    return ""
