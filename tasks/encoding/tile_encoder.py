"""Tile encoder: a folder of a plain BERT -> unit vectors of texts in bfloat16, on processors with AMX.

Products have factors of bfloat16 and sums of float32; all else is float32. The mean cosine to float32 is .99999.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.processor import has_tiles
from topicflow.tasks.encoding.bert import Weights
from topicflow.tasks.encoding.group_encoder import GroupEncoder, model_parts, stacked
from topicflow.tasks.encoding.model_files.bert_shape import Shape

if TYPE_CHECKING:
    from topicflow.tasks.core.tiles.bert_tiles import Model


class TileEncoder(GroupEncoder):
    """A plain BERT in bfloat16 on a processor with AMX; the parameters are those of `BertEncoder`."""

    arithmetic, instructions = "bfloat16", "AMX"
    group_tokens = 384

    @staticmethod
    def may_run() -> bool:
        """Return whether this process may use tiles."""
        return has_tiles()

    def _kernel(self) -> tuple[Callable[[int, int], Any], Callable[..., None]]:
        from topicflow.tasks.core.tiles.bert_tiles import embed_group, room

        model = self._model

        def embed(ids: NDArray[np.int32], ends: NDArray[np.int64], *free: Any) -> None:  # noqa: ANN401
            embed_group(ids, ends, model, *free)

        return partial(room, model), embed

    @cached_property
    def _model(self) -> Model:
        return tile_model(self._weights, self._shape)


def tile_model(weights: Weights, shape: Shape) -> Model:
    """Return the weights in the form of `bert_tiles`."""
    from topicflow.tasks.core.registers.registers import aligned
    from topicflow.tasks.core.tiles.bert_tiles import Model
    from topicflow.tasks.core.tiles.products import packed

    def product(name: str, *parts: str) -> dict[str, NDArray[Any]]:
        layers = [packed(layer) for layer in stacked(weights, shape, parts, "weight")]
        found = aligned((len(layers), *layers[0].shape), np.uint16)
        np.stack(layers, out=found)
        return {name: found, f"{name}_bias": stacked(weights, shape, parts, "bias")}

    return Model(**model_parts(weights, shape, product))
