"""BERT shape: the folder of a model -> its numbers, if it is a plain BERT that our own code can compute.

Imports no numpy, so that a plan can ask which arithmetic a model has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicflow.tasks.core.vectors.processor import has_tiles, has_vnni
from topicflow.tasks.encoding.model_files.model_settings import read_json, read_settings
from topicflow.tasks.encoding.model_files.pooling import read_pooling

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"

MOST_HEADER_BYTES = 100_000_000
"""The longest description of arrays that safetensors reads, too."""

ON_CPUS = ("int8", "int16")
"""Precisions of CPUs alone."""

OWN_PRECISIONS = ("bfloat16", "int16", "int8")
"""Precisions for which there are kernels, by AMX and by VNNI."""

INTEGERS = 1
"""Part of the key of vectors by our kernels for integers: increase it when the integers change."""

MOST_TOKENS = 1024
"""The longest text whose attention our kernels add up in integers."""

TABLES = ("word", "token_type", "position")
"""Names of the tables that embed a token."""

PLAIN: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "architectures": (["BertModel"],),
    "hidden_act": ("gelu",),
    "position_embedding_type": (None, "absolute"),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
}
"""Values of config.json with which a model has exactly the operations of this file."""


SIZES: dict[str, type | tuple[type, ...]] = {
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "layer_norm_eps": (int, float),
    "hidden_size": int,
    "intermediate_size": int,
    "max_position_embeddings": int,
}
"""Values of config.json that `Shape` has, in its order, and their types."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a BERT's config.json that its operations need."""

    n_layers: int
    n_heads: int
    epsilon: float
    dim: int
    wide: int
    most_tokens: int


def read_shape(folder: Path) -> Shape | None:
    """Return the shape of a folder's model if this file can compute its vectors, otherwise None.

    A model with prompts, lower-casing outside its tokenizer, or other modules than pooling and normalization is left
    to sentence-transformers.
    """
    config = read_json(folder / "config.json")
    if any(config.get(key) not in allowed for key, allowed in PLAIN.items()):
        return None
    own = read_settings(folder)
    lowers = read_json(folder / "sentence_bert_config.json").get("do_lower_case")
    has_files = all((folder / name).is_file() for name in (WEIGHTS, TOKENIZER))
    has_prompts = own.prompts or own.default_prompt_name
    if has_prompts or lowers or not has_files or not read_pooling(folder).is_plain:
        return None
    if any(not isinstance(config.get(key), kind) for key, kind in SIZES.items()):
        return None
    return Shape(*(config[key] for key in SIZES))


def has_weights(folder: Path, shape: Shape) -> bool:
    """Return whether a folder's file has all the weights of a shape, without reading them; not if it is damaged."""
    return weight_names(shape) <= names_in(folder / WEIGHTS)


def names_in(path: Path) -> set[str]:
    """Return the names of the arrays in a file of safetensors; none if the file is not whole.

    The library does the same, but imports numpy (.2 s).
    """
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        header = file.read(min(n_bytes, MOST_HEADER_BYTES))
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        end = 8 + n_bytes + max(entry["data_offsets"][1] for entry in entries.values())
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return set()
    return set(entries) if end == path.stat().st_size else set()


def weight_names(shape: Shape) -> set[str]:
    """Return the names of the weights that a BERT of a shape needs."""
    tables = {f"embeddings.{name}_embeddings.weight" for name in TABLES}
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
             "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")  # fmt: skip
    layers = {f"encoder.layer.{number}.{part}" for number in range(shape.n_layers) for part in parts}
    return tables | {
        f"{name}.{kind}" for name in layers | {"embeddings.LayerNorm"} for kind in ("weight", "bias")
    }


def own_precisions(most_tokens: int = 0) -> tuple[str, ...]:
    """Return the precisions in which our kernels compute texts of up to `most_tokens` here, the one of `auto` first."""
    if not has_vnni():
        return ()
    found = OWN_PRECISIONS if has_tiles() else OWN_PRECISIONS[1:]
    return found if most_tokens <= MOST_TOKENS else tuple(name for name in found if name == "bfloat16")


def own_shape(folder: Path, max_tokens: int | None) -> Shape | None:
    """Return the shape of a model that our own kernels can compute on this processor, otherwise None.

    Dimensions are multiples of the 32 columns of a block.
    """
    shape = read_shape(folder) if own_precisions() else None
    if shape is None or (max_tokens or 0) > shape.most_tokens or shape.dim % shape.n_heads:
        return None
    if any(size % 32 for size in (shape.dim, shape.wide, shape.dim // shape.n_heads)):
        return None
    return shape if has_weights(folder, shape) else None
