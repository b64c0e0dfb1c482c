"""Integer encoder: a folder of a plain BERT -> unit vectors of texts, by products of integers, on a CPU with VNNI.

In int16 the mean cosine to float32 is .999999, in int8 .999; see `core.integers` for what is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.processor import has_vnni
from topicflow.tasks.encoding.bert import Weights
from topicflow.tasks.encoding.group_encoder import GroupEncoder, model_parts, stacked
from topicflow.tasks.encoding.model_files.bert_shape import Shape

if TYPE_CHECKING:
    from topicflow.tasks.core.integers.bert_integers import Model
    from topicflow.tasks.core.integers.products import Weights as Product


class WordEncoder(GroupEncoder):
    """A plain BERT in int16 on a processor with VNNI; the parameters are those of `BertEncoder`."""

    arithmetic, instructions = "int16", "VNNI"
    group_tokens = 384
    in_words = True

    @staticmethod
    def may_run() -> bool:
        """Return whether this process may use VNNI."""
        return has_vnni()

    def _kernel(self) -> tuple[Callable[[int, int], Any], Callable[..., None]]:
        from topicflow.tasks.core.integers.bert_integers import embed_group, room

        model, in_words = self._model, self.in_words

        def embed(ids: NDArray[np.int32], ends: NDArray[np.int64], *free: Any) -> None:  # noqa: ANN401
            embed_group(ids, ends, model, in_words, *free)

        return partial(room, model), embed

    @cached_property
    def _model(self) -> Model:
        return integer_model(self._weights, self._shape, in_words=self.in_words)


class ByteEncoder(WordEncoder):
    """The same in int8."""

    arithmetic = "int8"
    in_words = False


def integer_model(weights: Weights, shape: Shape, *, in_words: bool) -> Model:
    """Return the weights in the form of `bert_integers`."""
    from topicflow.tasks.core.integers.bert_integers import Model
    from topicflow.tasks.core.integers.products import packed

    def product(name: str, *parts: str) -> dict[str, Product]:
        matrices, bias = (stacked(weights, shape, parts, kind) for kind in ("weight", "bias"))
        return {name: packed(matrices, bias, in_words=in_words)}

    return Model(**model_parts(weights, shape, product))
