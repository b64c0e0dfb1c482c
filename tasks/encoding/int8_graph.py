"""Int8 graph: a sentence-transformers model -> its OpenVINO graph, which gives the model's own vectors.

A transformer is traced with token ids only, because all texts of a batch have one length. A model whose code for masks
cannot be traced gets its masks from here. The graph is compared with the model: a trace may lose a condition.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

LEAST_COSINE_OF_GRAPH = 0.9999
"""Minimum cosine between the vectors of the float32 graph and of the model; the next way is tried if it is lower."""


def openvino() -> Any:  # noqa: ANN401  (OpenVINO has no annotations)
    """Return the OpenVINO module, imported without its telemetry.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    require_openvino()
    telemetry = "openvino_telemetry"
    if telemetry not in sys.modules:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # it reports every import; a stub replaces it
    import openvino as module
    import openvino.opset13

    return module


def require_openvino() -> str:
    """Return OpenVINO's version; raise ConfigError if it is not installed."""
    if importlib.util.find_spec("openvino") is None:
        msg = "embed: precision='int8' needs OpenVINO; pip install 'topicflow[int8]'"
        raise ConfigError(msg)
    return package_version("openvino")


def convert(
    model: SentenceTransformer, mode: str, samples: Sequence[NDArray[np.int64]], n_threads: int | None
) -> tuple[Any, NDArray[np.float32]]:
    """Return the OpenVINO graph ids (n, length) int64 -> vectors (n, dim) float32 of a model, and its unit vectors.

    Parameters
    ----------
    model : SentenceTransformer
        The float32 model on the CPU.
    mode : str
        Its pooling: `mean`, `cls` or `lasttoken`.
    samples : list of ndarray of shape (n, length), int64
        Token ids for which the graph must give the model's vectors; theirs are returned.
    n_threads : int or None
        CPU threads; all cores if None.

    Raises
    ------
    ConfigError
        If no way gives a graph with the model's vectors.
    """
    reasons = []
    for masks in _ways(model[0].auto_model):
        try:
            graph = _traced(model[0].auto_model, mode, masks)
        except Exception as error:  # noqa: BLE001  (the tracer raises many kinds; the next way may work)
            reasons.append(f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}")
            continue
        found = unit_vectors(graph, samples, n_threads)
        least = float((found * _exact(model[0].auto_model, mode, samples)).sum(axis=1).min())
        if least >= LEAST_COSINE_OF_GRAPH:
            return graph, found
        reasons.append(f"the graph's vectors have a cosine of {least:.3f} to the model's")
    kind = type(model[0].auto_model).__name__
    msg = f"embed: precision='int8' cannot convert {kind} ({reasons[0]}); use embed.precision='bfloat16'"
    raise ConfigError(msg)


def _ways(transformer: Any) -> Iterator[Callable[[torch.Tensor], Any]]:  # noqa: ANN401
    """Yield the ways to make the attention mask of ids (n, length): none, all ones, and one for each kind of layer."""
    import torch

    yield lambda _: None
    yield torch.ones_like
    kinds = set(getattr(transformer.config, "layer_types", None) or ())
    if kinds:
        yield lambda ids: {kind: _mask(ids, kind, transformer.config) for kind in sorted(kinds)}


def _mask(ids: torch.Tensor, kind: str, config: Any) -> torch.Tensor:  # noqa: ANN401
    """Return the mask (n, 1, length, length) of a kind of layer, added to the products: 0 where a token is read."""
    import torch

    places = torch.arange(ids.shape[1])
    ahead = places[None, :] - places[:, None]
    reads = torch.ones_like(ahead, dtype=torch.bool)
    if not getattr(config, "use_bidirectional_attention", False):
        reads = ahead <= 0
    if kind == "sliding_attention":
        reads = reads & (ahead.abs() < config.sliding_window)
    hidden = torch.zeros_like(ahead, dtype=torch.float32).masked_fill(~reads, torch.finfo(torch.float32).min)
    return hidden[None, None].expand(ids.shape[0], 1, -1, -1)


def _pooled(hidden: torch.Tensor, mode: str) -> torch.Tensor:
    """Return the vectors (n, dim) of the vectors of all tokens (n, length, dim)."""
    if mode == "mean":
        return hidden.mean(1)
    return hidden[:, 0] if mode == "cls" else hidden[:, -1]


def _traced(transformer: Any, mode: str, masks: Callable[[torch.Tensor], Any]) -> Any:  # noqa: ANN401
    """Return the graph of a transformer and its pooling."""
    import torch

    openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    class Pooled(torch.nn.Module):
        """The transformer and its pooling, for texts of one length."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            mask = masks(input_ids)
            given = {} if mask is None else {"attention_mask": mask}
            return _pooled(self.transformer(input_ids=input_ids, **given).last_hidden_state, mode)

    example = torch.full((2, 8), 5)
    frontend = FrontEndManager().load_by_framework("pytorch")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns about branches that texts of one length do not take
        decoder = TorchScriptPythonDecoder(Pooled().eval(), example_input={"input_ids": example})
        return frontend.convert(frontend.load(decoder))


def _exact(transformer: Any, mode: str, samples: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the unit vectors of a transformer and its pooling for batches of token ids."""
    import torch

    with torch.inference_mode():
        layers = [transformer(input_ids=torch.from_numpy(ids)).last_hidden_state for ids in samples]
        return unit(np.concatenate([_pooled(hidden, mode).numpy() for hidden in layers]))


def unit_vectors(
    graph: Any,  # noqa: ANN401
    samples: Sequence[NDArray[np.int64]],
    n_threads: int | None,
) -> NDArray[np.float32]:
    """Return the unit vectors of a graph for batches of token ids."""
    run = compiled(graph, n_threads)
    return unit(np.concatenate([run(batch).copy() for batch in samples]))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, dim) of length one; zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return scaled


def compiled(graph: Any, n_threads: int | None) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:  # noqa: ANN401
    """Return the function ids (n, length) -> vectors (n, dim) that runs a graph on the CPU."""
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if n_threads:
        options["INFERENCE_NUM_THREADS"] = n_threads
    request = openvino().Core().compile_model(graph, "CPU", options).create_infer_request()

    def run(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = request.infer([ids], share_outputs=True)[0]
        return found

    return run
