"""Spaces: an embeddings artifact -> the identity of its vector space, and whether two spaces are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

Space = dict[str, Any]
"""encoder (key of weights, prompt and number format, or `precomputed`), adapter if any, dim; model for people."""

IDENTIFYING = ("encoder", "adapter", "dim")


def space_of(store: ArtifactStore, embeddings: ArtifactRef) -> Space:
    """Return the space of an embeddings artifact, from the records of its stage."""
    meta = store.meta(embeddings)
    dim = int(store.array(embeddings, "embeddings").shape[1])
    known = {name: meta[name] for name in ("encoder", "adapter", "model") if meta.get(name) is not None}
    return {**known, "dim": dim}


def identity(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a space that decides whether two spaces are the same."""
    return {name: space[name] for name in IDENTIFYING if name in space}


def check_space(trained: Mapping[str, Any], found: Mapping[str, Any], classifier: str) -> None:
    """Raise ConfigError if a classifier gets vectors of another space than its own."""
    if identity(trained) == identity(found):
        return
    msg = (
        f"{classifier}: trained on embeddings of {describe(trained)}, but these come from {describe(found)}; "
        "set [embed] as in the config.toml of the classifier's run, or train again"
    )
    raise ConfigError(msg)


def describe(space: Mapping[str, Any]) -> str:
    """Return a space in a few words."""
    name = f"{space.get('model', 'vectors')} ({str(space.get('encoder'))[:12]}, {space.get('dim')} dimensions"
    return name + (f", adapter {str(space['adapter'])[:12]})" if space.get("adapter") else ")")
