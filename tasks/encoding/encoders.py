"""Encoders: the files of a model -> the loaded model. `encoder_files` finds and identifies them without loading."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.embed import (
    ApiEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.tasks.encoding.api.encoder import ApiEncoder
from topicflow.tasks.encoding.bert_encoder import BertEncoder, is_the_same
from topicflow.tasks.encoding.encoder_files import PACKAGED_SHA256, EncoderFiles
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.group_encoder import GroupEncoder, least_cosine
from topicflow.tasks.encoding.int8_encoder import Int8Encoder
from topicflow.tasks.encoding.integer_encoder import ByteEncoder, WordEncoder
from topicflow.tasks.encoding.model_files.bert_shape import (
    MOST_TOKENS,
    Shape,
    has_weights,
    own_precisions,
    own_shape,
    read_shape,
)
from topicflow.tasks.encoding.model_files.lost_weights import lost_weights, refuse_lost
from topicflow.tasks.encoding.model_files.model_settings import (
    ModelSettings,
    prompt_of,
)
from topicflow.tasks.encoding.model_files.pooling import read_pooling
from topicflow.tasks.encoding.static_encoder import StaticEncoder
from topicflow.tasks.encoding.tile_encoder import TileEncoder
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


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
    check_integers(files, config)
    own = _load_own(files, config, n_threads)
    if files.precision == "int8":
        return own or _load_int8(files, config, n_threads)
    return (
        own
        or _load_bert(files, config, n_threads)
        or encoder_of(load_model(files, config, n_threads), files, config)
    )


def check_integers(files: EncoderFiles, config: SentenceTransformersEmbed) -> None:
    """Raise ConfigError if a model is wanted in int16 and is not made for it, or this processor is not."""
    if files.precision != "int16":
        return
    shape = own_shape(files.folder, config.max_seq_length)
    if not own_precisions():
        why = "this processor has no AVX-512 VNNI, or not for this process"
    elif shape is None:
        why = f"{files.name} is no plain BERT with heads of a multiple of 32 dimensions"
    elif "int16" not in own_precisions(shape.most_tokens):
        why = f"{files.name} takes texts of {shape.most_tokens:,} tokens, and int16 at most {MOST_TOKENS:,}"
    else:
        return
    msg = f"embed.precision='int16': {why}; use 'auto', or 'float32' for the same vectors everywhere"
    raise ConfigError(msg)


OWN: dict[str, tuple[type[GroupEncoder], float]] = {
    "bfloat16": (TileEncoder, 0.9995),
    "int16": (WordEncoder, 0.9995),
    "int8": (ByteEncoder, 0.97),
}
"""Our own encoders by precision, and the lowest cosine to float32 of a vector of `COMPARED` in each of them."""


def _load_own(
    files: EncoderFiles, config: SentenceTransformersEmbed, n_threads: int | None
) -> GroupEncoder | None:
    """Return the encoder with our own kernels; None if the model or the processor is not made for it.

    Raises
    ------
    ConfigError
        If its vectors are not those of the model.
    """
    shape = own_shape(files.folder, config.max_seq_length) if files.device == "cpu" else None
    if shape is None or files.precision not in own_precisions(shape.most_tokens):
        return None
    kind, least = OWN[files.precision]
    found = _plain_bert(kind, shape, files, config, n_threads)

    def load_exact() -> SentenceTransformersEncoder:
        exact = replace(files, precision="float32")
        return _load_bert(exact, config, n_threads) or encoder_of(
            load_model(exact, config, n_threads), exact, config
        )

    known = files.revision == f"sha256:{PACKAGED_SHA256}"  # a test compares them for this model
    if not known and (cosine := least_cosine(found, load_exact)) < least:
        msg = (
            f"embed: in {kind.arithmetic} a vector of {files.name} has a cosine of {cosine:.4f} to float32, expected "
            f"at least {least}; use embed.precision='float32'"
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
