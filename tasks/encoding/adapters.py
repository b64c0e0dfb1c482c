"""Adapters: what `embed.adapter` names -> the artifact that it means, and its head; imports no torch.

An adapter is an artifact of kind `adapters`: `adapter.safetensors` (weight, bias, gate) and `adapter.json`, which says
which encoder's vectors it takes, their width and how it was trained. It belongs to one encoder's key: the vectors of
another model, or of another prompt or precision, are another space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topicflow.configs.sections.embed import (
    ApiEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import find_run, last_record
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter

KIND = "adapters"
FLOW = "tune_embeddings"

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter found in the store: its key, the key of the encoder that it belongs to, the width of its vectors."""

    ref: ArtifactRef
    encoder: str
    dim: int

    @property
    def key(self) -> str:
        """The artifact's key, which stands for the adapter in the keys of all that is made with it."""
        return self.ref.key


def find_adapter(
    store: ArtifactStore,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed,
    encoder: str,
    runtime: RuntimeConfig,
) -> AdapterFiles | None:
    """Return the adapter that an embed section names, or None where it names none.

    Parameters
    ----------
    store : ArtifactStore
        Where the adapter is.
    config : SentenceTransformersEmbed, StaticEmbed or PrecomputedEmbed
        The section.
    encoder : str
        Key of the section's encoder; `precomputed` for vectors that the user has.
    runtime : RuntimeConfig
        `runs` says where runs are looked up by name.

    Raises
    ------
    ConfigError
        When there is no such adapter, or it belongs to another encoder.
    """
    if config.adapter is None:
        return None
    key = _adapter_key(store, config.adapter, runtime)
    ref = ArtifactRef(KIND, key, stage="tune")
    about = store.json(ref, "adapter")
    if about["encoder"] != encoder:
        msg = (
            f"embed: adapter {config.adapter} belongs to {about['model']} (encoder {about['encoder'][:12]}), this "
            f"config's encoder is {_model_of(config)} ({encoder[:12]}); use that one or tune an adapter for this"
        )
        raise ConfigError(msg)
    return AdapterFiles(ref, about["encoder"], int(about["dim"]))


def load_adapter(store: ArtifactStore, ref: ArtifactRef) -> ResidualHead:
    """Return the head of an adapter's artifact, ready to apply.

    Raises
    ------
    ArtifactError
        When its file cannot be read.
    """
    from safetensors.numpy import load_file

    path = store.path(ref, "adapter.safetensors")
    try:
        found = load_file(path)
        return ResidualHead(found["weight"], found["bias"], float(found["gate"][0]))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        msg = f"store: {path} cannot be read ({error}); `topicflow store verify` finds and removes damage"
        raise ArtifactError(msg) from None


def apply_adapter(store: ArtifactStore, files: AdapterFiles | None, vectors: FloatArray) -> FloatArray:
    """Return vectors (n, dim) as an embed section with this adapter means them; unchanged where it has none.

    Everything that embeds a word or a query to compare it with a run's embeddings goes through here.
    """
    if files is None:
        return vectors
    if vectors.shape[1] != files.dim:
        msg = f"embed: the adapter takes {files.dim} dimensions, found {vectors.shape[1]}; tune one for these"
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
    from safetensors.numpy import save_file

    arrays = {
        "weight": np.ascontiguousarray(head.weight),
        "bias": head.bias,
        "gate": np.array([head.gate], np.float32),
    }
    path = writer.path("adapter.safetensors")
    save_file(arrays, path)  # without metadata, whose order in the file is any
    writer.save_json("adapter", {"format": 1, "dim": head.dim, **about})


def _adapter_key(store: ArtifactStore, named: str, runtime: RuntimeConfig) -> str:
    """Return the key of the adapter with that key, or of the run with that name, id or folder."""
    if _KEY.fullmatch(named):
        key = named
    else:
        try:
            record = find_run(Path(runtime.runs), _completed(Path(runtime.runs), named))
        except ConfigError as error:
            msg = f"embed.adapter: {error}; it names a run of `topicflow tune`, or an adapter's key"
            raise ConfigError(msg) from None
        key = _key_of_run(record, named)
    state = store.state(KIND, key)
    if state != "hit":
        msg = (
            f"embed.adapter: {named} is not in {store.name} ({KIND}/{key[:12]}: {state}); "
            "tune it into this store, or name the store with runtime.store"
        )
        raise ConfigError(msg)
    return key


def _completed(runs: Path, named: str) -> str:
    """Return `name/latest` for the name of a series, whose newest run may have failed; other names as they are."""
    return (
        f"{named}/latest"
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*", named) and last_record(runs, named)
        else named
    )


def _key_of_run(record: dict[str, Any], named: str) -> str:
    if record.get("flow") != FLOW:
        msg = f"embed.adapter: {named} is a run of {record.get('flow')}, expected one of {FLOW}"
        raise ConfigError(msg)
    if record.get("state") != "completed":
        msg = f"embed.adapter: the run {named} failed and left no adapter; name one that completed"
        raise ConfigError(msg)
    tuned = next(stage for stage in record["stages"] if stage["stage"] == "tune")
    if tuned["kind"] != KIND:
        msg = f"embed.adapter: {named} tuned the whole encoder; set embed.model to its folder, {record['model']}"
        raise ConfigError(msg)
    return str(tuned["key"])


def _model_of(config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed | PrecomputedEmbed) -> str:
    return "precomputed vectors" if isinstance(config, PrecomputedEmbed) else config.model
