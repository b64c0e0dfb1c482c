"""Adapters: the name in `embed.adapter` -> the adapter's artifact and its head; imports no torch, and numpy only late.

An adapter is an artifact of kind `adapters`: `adapter.safetensors` (weight, bias, gate) and `adapter.json`, which
records the encoder whose vectors it takes, their width, and how it was trained. It belongs to one encoder's key: the
vectors of another model, prompt or precision are another space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicflow.configs.sections.embed import (
    ApiEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.runs.history import RunRecord
from topicflow.tasks.runs.resolve import resolve
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter

if TYPE_CHECKING:
    from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead

KIND = "adapters"
FLOW = "tune_embeddings"

TUNE_AGAIN = "`topicflow tune` with the adapter's config makes it again"
"""A run that only reads an adapter cannot make it."""

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter in the store: its artifact, the key of its encoder, and the width of its vectors."""

    ref: ArtifactRef
    encoder: str
    dim: int

    @property
    def key(self) -> str:
        """The artifact's key, which is part of the keys of all artifacts made with the adapter."""
        return self.ref.key


def find_adapter(
    store: ArtifactStore,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed,
    encoder: str,
    runtime: RuntimeConfig,
) -> AdapterFiles | None:
    """Return the adapter of an embed section, or None if it names none.

    Parameters
    ----------
    store : ArtifactStore
        The store that contains the adapter.
    config : SentenceTransformersEmbed, StaticEmbed or PrecomputedEmbed
        The embed section.
    encoder : str
        Key of the section's encoder; `precomputed` for existing vectors.
    runtime : RuntimeConfig
        `runs` is the folder in which runs are found by name.

    Raises
    ------
    ConfigError
        If there is no such adapter, or it belongs to another encoder.
    """
    if config.adapter is None:
        return None
    key = _adapter_key(store, config.adapter, runtime)
    ref = ArtifactRef(KIND, key, stage="tune")
    try:
        about = store.json(ref, "adapter")
    except DamagedError as error:
        raise error.mended_by(TUNE_AGAIN) from None
    if about["encoder"] != encoder:
        msg = (
            f"embed: adapter {config.adapter} belongs to {about['model']} (encoder {about['encoder'][:12]}), but the "
            f"encoder of this config is {_model_of(config)} ({encoder[:12]}); use the other encoder, or tune an "
            "adapter for this one"
        )
        raise ConfigError(msg)
    return AdapterFiles(ref, about["encoder"], int(about["dim"]))


def load_adapter(store: ArtifactStore, ref: ArtifactRef) -> ResidualHead:
    """Return the head of an adapter's artifact, ready to use.

    Raises
    ------
    ArtifactError
        If its file cannot be read.
    """
    from safetensors.numpy import load_file

    from topicflow.tasks.core.learning.residual import ResidualHead

    try:
        path = store.whole(ref, "adapter.safetensors")
    except DamagedError as error:
        raise error.mended_by(TUNE_AGAIN) from None
    try:
        found = load_file(path)
        return ResidualHead(found["weight"], found["bias"], float(found["gate"][0]))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        msg = f"store: {path} cannot be read ({error}); run `topicflow store verify`"
        raise ArtifactError(msg) from None


def apply_adapter(store: ArtifactStore, files: AdapterFiles | None, vectors: FloatArray) -> FloatArray:
    """Return vectors (n, dim) moved by an embed section's adapter; unchanged if there is none.

    Every word or query that is embedded for a comparison with a run's embeddings must pass through this function.
    """
    if files is None:
        return vectors
    if vectors.shape[1] != files.dim:
        msg = f"embed: the adapter expects {files.dim} dimensions, found {vectors.shape[1]}; tune an adapter for these"
        raise ConfigError(msg)
    return load_adapter(store, files.ref).apply(vectors)


def save_adapter(writer: ArtifactWriter, head: ResidualHead, about: dict[str, Any]) -> None:
    """Write a head's file and its manifest into an artifact.

    Parameters
    ----------
    writer : ArtifactWriter
        The artifact.
    head : ResidualHead
        Weight, bias and gate.
    about : dict
        `encoder` (its key), `model` (its name), and how the head was trained.
    """
    import numpy as np
    from safetensors.numpy import save_file

    arrays = {
        "weight": np.ascontiguousarray(head.weight),
        "bias": head.bias,
        "gate": np.array([head.gate], np.float32),
    }
    path = writer.path("adapter.safetensors")
    save_file(arrays, path)  # without metadata, because its order in the file is not fixed
    writer.save_json("adapter", {"format": 1, "dim": head.dim, **about})


def _adapter_key(store: ArtifactStore, named: str, runtime: RuntimeConfig) -> str:
    """Return the key of the adapter with that key, or of the run with that name, id or folder."""
    if _KEY.fullmatch(named):
        key = named
    else:
        record = resolve(Path(runtime.runs), named, flow=FLOW, where="embed.adapter")
        key = _key_of_run(record, named)
    state = store.state(KIND, key)
    if state != "hit":
        msg = (
            f"embed.adapter: {named} is not in {store.name} ({KIND}/{key[:12]}: {state}); "
            "tune it into this store, or set runtime.store to the store that has it"
        )
        raise ConfigError(msg)
    return key


def _key_of_run(record: RunRecord, named: str) -> str:
    tuned = next(stage for stage in record["stages"] if stage["stage"] == "tune")
    if tuned["kind"] != KIND:
        msg = f"embed.adapter: {named} tuned the whole encoder; set embed.model to its folder, {record['model']}"
        raise ConfigError(msg)
    return str(tuned["key"])


def _model_of(config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed) -> str:
    return "precomputed vectors" if isinstance(config, PrecomputedEmbed) else config.model
