"""Bert: the files of a plain BERT -> the vectors of token ids, in torch alone for documents, in numpy for a query.

The import of sentence-transformers takes 6 s of processor time, that of torch 1 s. A BERT with plain pooling needs
nothing else of them: the same operations on the same weights give the same vectors, bit for bit. A query is a few
tokens, for which numpy is as fast as torch; its vector differs from torch's in the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.model_files.bert_shape import TABLES, WEIGHTS, Shape

if TYPE_CHECKING:
    import torch

Weights = dict[str, NDArray[np.float32]]


def read_weights(folder: Path) -> Weights:
    """Return the weights of a folder's model by name, in float32."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "numpy") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - it is no dict
    if "BF16" in kinds:  # numpy has none; torch takes a second to import
        from safetensors.torch import load_file as load_tensors

        return {name: tensor.float().numpy() for name, tensor in load_tensors(folder / WEIGHTS).items()}
    from safetensors.numpy import load_file

    return {name: array.astype(np.float32, copy=False) for name, array in load_file(folder / WEIGHTS).items()}


class Bert:
    """A BERT in torch, in float32 on a CPU."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        import torch

        self.shape = shape
        self._weights = {name: torch.from_numpy(array) for name, array in weights.items()}

    def __call__(self, batches: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the last layers (n_texts, length, dim) for token ids (n_texts, length) of texts of one length each.

        The products take the tokens of all batches at once, and only attention takes each batch alone: a few texts of
        many lengths cost no more than as many of one length.
        """
        import torch

        words, kinds, places = (self._weights[f"embeddings.{name}_embeddings.weight"] for name in TABLES)
        embedded = [
            torch.nn.functional.embedding(ids, words) + kinds[0] + places[: ids.shape[1]] for ids in batches
        ]
        shapes = [ids.shape for ids in batches]
        hidden = self._normalized("embeddings.LayerNorm", _together(embedded))
        for number in range(self.shape.n_layers):
            hidden = self._layer(f"encoder.layer.{number}", hidden, shapes)
        return [part.view(*shape, -1) for part, shape in zip(_apart(hidden, shapes), shapes, strict=True)]

    def _layer(self, name: str, hidden: torch.Tensor, shapes: Sequence[torch.Size]) -> torch.Tensor:
        """Return the output (n_tokens, dim) of one layer for the tokens of batches of these shapes.

        It is attention, then two products, each added to its input and normalized.
        """
        import torch

        asked, keys, values = (
            _apart(self._product(f"{name}.attention.self.{part}", hidden), shapes)
            for part in ("query", "key", "value")
        )
        mixed = _together(list(map(self._attention, asked, keys, values, shapes)))
        mixed = self._product(f"{name}.attention.output.dense", mixed)
        hidden = self._normalized(f"{name}.attention.output.LayerNorm", mixed + hidden)
        wide = torch.nn.functional.gelu(self._product(f"{name}.intermediate.dense", hidden))
        return self._normalized(
            f"{name}.output.LayerNorm", self._product(f"{name}.output.dense", wide) + hidden
        )

    def _attention(
        self, asked: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, shape: torch.Size
    ) -> torch.Tensor:
        """Return the values that each token of a batch attends to, (n_texts, length, dim)."""
        import torch

        heads = (*shape, self.shape.n_heads, -1)
        asked, keys, values = (each.view(heads).transpose(1, 2) for each in (asked, keys, values))
        mixed = torch.nn.functional.scaled_dot_product_attention(asked, keys, values)
        return mixed.transpose(1, 2).reshape(*shape, -1)

    def _product(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.linear(
            hidden, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        )

    def _normalized(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        import torch

        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return torch.nn.functional.layer_norm(hidden, (hidden.shape[-1],), weight, bias, self.shape.epsilon)


def _together(batches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return batches (n_texts, length, dim) as the rows (n_tokens, dim) of one matrix."""
    import torch

    rows = [batch.reshape(-1, batch.shape[-1]) for batch in batches]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _apart(rows: torch.Tensor, shapes: Sequence[torch.Size]) -> Sequence[torch.Tensor]:
    """Return the rows (n_tokens, dim) of each batch of a shape (n_texts, length)."""
    import torch

    found: Sequence[torch.Tensor] = torch.split(rows, [shape.numel() for shape in shapes])
    return found


class BertInNumpy:
    """A BERT in numpy, for single texts."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self.shape, self._weights = shape, weights

    def __call__(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the last layer (length, dim) for the token ids of a text."""
        words, kinds, places = (self._weights[f"embeddings.{name}_embeddings.weight"] for name in TABLES)
        hidden = self._normalized(
            "embeddings.LayerNorm", words[np.asarray(ids)] + kinds[0] + places[: len(ids)]
        )
        for number in range(self.shape.n_layers):
            hidden = self._layer(f"encoder.layer.{number}", hidden)
        return hidden

    def _layer(self, name: str, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output of one layer: attention, then two products, each added to its input and normalized."""
        from scipy.special import erf

        length, dim = hidden.shape
        asked, keys, values = (
            self._product(f"{name}.attention.self.{part}", hidden)
            .reshape(length, self.shape.n_heads, -1)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = asked @ keys.transpose(0, 2, 1) / np.float32(np.sqrt(dim // self.shape.n_heads))
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        mixed = (shares / shares.sum(axis=2, keepdims=True) @ values).transpose(1, 0, 2).reshape(length, dim)
        mixed = self._product(f"{name}.attention.output.dense", mixed)
        hidden = self._normalized(f"{name}.attention.output.LayerNorm", mixed + hidden)
        wide = self._product(f"{name}.intermediate.dense", hidden)
        wide *= np.float32(0.5) * (1 + erf(wide * np.float32(np.sqrt(0.5))))
        return self._normalized(
            f"{name}.output.LayerNorm", self._product(f"{name}.output.dense", wide) + hidden
        )

    def _product(self, name: str, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (
            hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        )
        return found

    def _normalized(self, name: str, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = hidden - hidden.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(self.shape.epsilon))
        found: NDArray[np.float32] = (
            centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        )
        return found
