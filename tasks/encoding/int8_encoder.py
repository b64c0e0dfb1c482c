"""Int8 encoder: a sentence-transformers model -> the same model in 8-bit integers on a CPU, with OpenVINO.

Every product with a weight is computed with integers. Weights have one grid for each output channel, activations one
for each layer, after the spread of their channels is moved into the weights. The grid comes from texts and random
tokens in this file, so that equal weights give equal integers on any corpus. Sums of integers have no rounding: a
text's vector is the same, bit for bit, in any batch and on any number of threads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.encoder_cache import kept
from topicflow.tasks.encoding.int8_graph import (
    compiled,
    convert,
    openvino,
    require_openvino,
    unit,
    unit_vectors,
)
from topicflow.tasks.encoding.model_files.model_settings import read_settings
from topicflow.tasks.encoding.model_files.pooling import PLAIN, POOLED_ALONE, read_pooling
from topicflow.tasks.encoding.tokens.tokenizer import LengthBatches, TextTokens, token_matrix
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.devices import sums_of_int8_saturate
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RECIPE = 1
"""Increase when equal weights must give different integers; part of the encoder's key."""

SMOOTHING = 0.75
"""Share of a channel's spread that moves from the activations into the weights (alpha in SmoothQuant). Mean cosine to
float32 on 1,024 arXiv titles: .989 for .5, .997 for .65, .998 for .7, .997 for .8, and .990 for 1."""

BATCH_TOKENS = 4_096
"""Tokens in a batch; larger batches only miss the cache."""

CONVERTERS = ("torch", "sentence-transformers", "tokenizers")
"""Packages that the conversion uses. Their versions are part of the stored graph's key, as is the encoder's key, which
contains the versions of OpenVINO and transformers."""

WEIGHT_STEPS = 127
"""Largest integer of a weight."""

SAFE_WEIGHT_STEPS = 63
"""The same where sums of two products are cut off at 16 bits: 2 x 255 x 63 fits, 2 x 255 x 127 does not."""

LEAST_COSINE = 0.98
"""A model is rejected if the mean cosine of its vectors to float32 over the calibration texts is lower."""

CALIBRATION = (
    "The committee approved the budget on Tuesday after a long debate about roads and schools.",
    "How do I reset my password if I no longer have access to my old phone number?",
    "We propose a method for training deep networks that needs half the memory and no tuning.",
    "lol that was so funny!!! :) can't stop watching it",
    "Quarterly revenue rose 12.5% to $3.4 billion, ahead of what analysts had expected.",
    "def parse(line): return [int(x) for x in line.split(',') if x]",
    "Patients with type 2 diabetes were enrolled in a double-blind trial over 24 weeks.",
    "Das Wetter ist heute sehr schön, wir fahren mit dem Zug an den See.",
    "Le conseil municipal a voté la rénovation du vieux marché couvert.",
    "El equipo ganó tres a uno con dos goles en los últimos minutos.",
    "The film's second half drags, but the acting is superb and the score stays with you.",
    "https://example.org/index.html?id=42&lang=en",
    "Spin waves in two-dimensional antiferromagnets",
    "Best pizza in town, would come again",
    "Re: wrong shipping address, please cancel order #88123",
    "Returns a sorted copy of an array along the given axis.",
    "a",
    "Breaking: earthquake of magnitude 6.1 off the coast, no tsunami warning",
    "TIL that octopuses have three hearts and blue blood",
    "A bound on the number of rational points of curves over finite fields",
    (
        "The treaty was signed in 1648, ending a war of thirty years, and it reshaped the map of the continent for "
        "more than a century: borders moved, princes chose their churches, and great powers met to balance each other."
    ),
    (
        "My laptop will not turn on after the update; the fan spins for a second, then nothing. I have tried another "
        "charger, holding the power button for half a minute, and taking the battery out. Any ideas what is broken?"
    ),
    "Mix flour, butter and sugar, add two eggs, and bake at 180 degrees for 35 minutes.",
    "WANTED: used mountain bike, size M, under 300",
    "Government unveils plan to cut emissions by 2035",
    "Galaxy clusters as probes of dark energy: X-ray and weak lensing masses compared",
    "最近の研究によると、睡眠は記憶の定着に重要である。",
    "Новый мост через реку открыли для движения в субботу утром.",
    "不锈钢餐具套装，适合家庭使用，洗碗机可清洗。",
    "I am writing to dispute a charge of 49.99 on my card that I did not make.",
)
"""Texts that set the grid of the activations, written for that: several kinds, lengths and languages."""

RANDOM_LENGTHS = (4, 8, 16, 32, 64, 128)
"""Lengths of the sequences of random tokens that are used with the texts, eight of each: they contain vocabulary that a
few texts lack. Texts alone gave a minimum cosine of .90, both together .99."""


def int8_identity(folder: Path) -> dict[str, Any]:
    """Check that the model can be quantised; return what decides the integers in addition to the weights.

    Parameters
    ----------
    folder : Path
        A sentence-transformers model.

    Raises
    ------
    ConfigError
        If the model is not a transformer, a pooling of `POOLED_ALONE` and optional normalisation, or OpenVINO is
        missing.
    """
    pooling_mode(folder)
    libraries = {"openvino": require_openvino(), "transformers": package_version("transformers")}
    cut = read_settings(folder).truncate_dim
    steps = weight_steps()
    return {
        "recipe": RECIPE,
        **libraries,
        **({} if cut is None else {"truncate_dim": cut}),
        **({} if steps == WEIGHT_STEPS else {"weight_steps": steps}),
    }


def int8_notes() -> list[str]:
    """Return what a person should know about OpenVINO's integers on this processor."""
    if not sums_of_int8_saturate():
        return []
    return [
        (
            "this processor has no VNNI, so int8 is no faster here than float32, which is exact; weights take 7 bits, "
            "and processors with VNNI compute other vectors"
        )
    ]


def weight_steps() -> int:
    """Return the largest integer of a weight on this processor; machines with another one have another key."""
    return SAFE_WEIGHT_STEPS if sums_of_int8_saturate() else WEIGHT_STEPS


def pooling_mode(folder: Path) -> str:
    """Return the model's pooling, one of `POOLED_ALONE`; raise ConfigError for any other model."""
    pooling = read_pooling(folder)
    if pooling.modules not in PLAIN:
        msg = (
            f"embed: precision='int8' needs a model of Transformer, Pooling and Normalize; {folder.name} has "
            f"{', '.join(pooling.modules) or 'no modules.json'}; use 'float32' or 'bfloat16'"
        )
        raise ConfigError(msg)
    if not pooling.is_plain:
        ways = ", ".join(POOLED_ALONE)
        msg = f"embed: precision='int8' needs a pooling of {ways}; {folder.name} has {pooling.mode}; use 'float32'"
        raise ConfigError(msg)
    return pooling.mode


class Int8Encoder:
    """A sentence-transformers model in 8-bit integers.

    Parameters
    ----------
    folder : Path
        The model.
    key : str
        The encoder's key.
    load_model : callable
        Loads the float32 model on the CPU, and its tokenizer; called if the graph does not exist yet.
    n_threads : int or None
        CPU threads; default all cores.
    dim : int or None
        Number of dimensions that are kept of each vector; all if None.
    graph_key : str or None
        The key under which the graph is stored, if it is not the encoder's.
    cache : Path or None
        Folder of the graphs; default `encoder_cache()`.

    Raises
    ------
    ConfigError
        If the integers give other vectors than the model (mean cosine below `LEAST_COSINE`).

    Notes
    -----
    The graph is stored with the tokenizer and the prompt, so that a later process imports neither torch nor
    transformers: it starts in 1 s instead of 17 to 31 s, and gives the same vectors, bit for bit.
    """

    chunk_texts: int | None = 16_384

    def __init__(
        self,
        folder: Path,
        key: str,
        load_model: Callable[[], tuple[SentenceTransformer, TextTokens]],
        n_threads: int | None = None,
        *,
        dim: int | None = None,
        graph_key: str | None = None,
        cache: Path | None = None,
    ) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        self.key, self._folder = key, folder
        mode = pooling_mode(folder)
        identity = {"encoder": graph_key or key, **{name: package_version(name) for name in CONVERTERS}}
        recipe = Recipe("embed", "int8", RECIPE, identity=identity)

        def make(writer: ArtifactWriter) -> None:
            save_integers(writer, *load_model(), mode, n_threads)

        made = kept(recipe, make, cache)
        about = json.loads((made / "encoder.json").read_bytes())
        self.max_tokens: int | None = about["max_tokens"]
        self._width: int = about["dim"]
        self.dim = min(self._width, dim or self._width)
        self.cosine: float = about["cosine"]
        self._tokens = TextTokens(_tokenizer(made / "tokenizer.json"), about["prefix"], self.max_tokens)
        self._request = compiled(openvino().Core().read_model(made / "graph.xml"), n_threads)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) float32 and token lengths (n_texts,) int32, before truncation.

        Notes
        -----
        A text's vector does not depend on the other texts: see `LengthBatches`. tests/benchmarks/embedding.py compares
        it with sentence-transformers.
        """
        return self._encode(self._tokens, texts)

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths of queries, with `prompt` or the model's own query prompt."""
        prefix = read_settings(self._folder).prompts.get("query", "") if prompt is None else prompt
        return self._encode(replace(self._tokens, prefix=prefix), texts)

    def _encode(
        self, tokens: TextTokens, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        ids, n_tokens = tokens(texts)
        vectors = np.empty((len(texts), self._width), np.float32)
        for rows in LengthBatches(ids.lengths, BATCH_TOKENS):
            vectors[rows] = self._request(token_matrix(ids, rows))
        return unit(vectors[:, : self.dim]), n_tokens


def save_integers(
    writer: ArtifactWriter, model: SentenceTransformer, tokens: TextTokens, mode: str, n_threads: int | None
) -> None:
    """Write a model's graph in integers, its tokenizer and its settings.

    Raises
    ------
    ConfigError
        If the model cannot be converted, or the integers give other vectors than the model (mean cosine below
        `LEAST_COSINE`).
    """
    samples = calibration_ids(tokens, model[0].auto_model.get_input_embeddings().num_embeddings)
    graph, exact = convert(model, mode, samples, n_threads)
    quantize(graph, samples, weight_steps())
    cosine = float((exact * unit_vectors(graph, samples, n_threads)).sum(axis=1).mean())
    if cosine < LEAST_COSINE:
        msg = (
            f"embed: in int8 the vectors of this model have a mean cosine of {cosine:.3f} to float32, expected at "
            "least "
            f"{LEAST_COSINE}; use embed.precision='bfloat16'"
        )
        raise ConfigError(msg)
    openvino().save_model(graph, writer.path("graph.xml"), compress_to_fp16=False)  # graph.bin next to it
    tokens.backend.no_padding()
    tokens.backend.no_truncation()
    writer.path("tokenizer.json").write_text(tokens.backend.to_str(), encoding="utf-8")
    about = {
        "prefix": tokens.prefix,
        "max_tokens": tokens.max_tokens,
        "dim": exact.shape[1],
        "cosine": cosine,
    }
    writer.save_json("encoder", about)


def _tokenizer(path: Path) -> Any:  # noqa: ANN401
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def calibration_ids(tokens: TextTokens, n_vocabulary: int) -> list[NDArray[np.int64]]:
    """Return batches of token ids: one for each calibration text, and sequences of random tokens.

    Parameters
    ----------
    tokens : TextTokens
        Tokenizer, prompt and longest input of the model.
    n_vocabulary : int
        Number of token ids.
    """
    texts = list(tokens(CALIBRATION)[0])
    marks = texts[0][0], texts[0][-1]
    rng = np.random.default_rng(0)
    batches = [np.array([ids], np.int64) for ids in texts]
    for length in RANDOM_LENGTHS:
        batch = rng.integers(0, n_vocabulary, (8, min(length, tokens.max_tokens or length)))
        batch[:, 0], batch[:, -1] = marks
        batches.append(batch)
    return batches


def quantize(graph: Any, samples: Sequence[NDArray[np.int64]], steps: int) -> None:  # noqa: ANN401
    """Replace a graph's products with weights by integer products, in place.

    Parameters
    ----------
    graph : openvino.Model
        ids (n, length) -> vectors.
    samples : list of ndarray of shape (n, length), int64
        Samples that set the grids of the activations.
    steps : int
        Largest integer of a weight.

    Notes
    -----
    A layer's activations x and weights W become (x / s) and (W s) with s = max|x| ** a / max|W| ** (1 - a) for each
    channel and a = `SMOOTHING`, so that one grid of 256 steps fits all channels of the activations. Layers that read
    the same activations (query, key and value) share s. Products between activations, normalisation and softmax stay
    float32. Cost: one pass over the samples.

    References
    ----------
    Xiao et al., "SmoothQuant", ICML 2023, section 4.
    """
    groups = _weighted_products(graph)
    ranges = _observe(graph, [source for source, _ in groups], samples)
    for (source, products), (low, high) in zip(groups, ranges, strict=True):
        _quantize_group(source, products, low, high, steps)
    graph.validate_nodes_and_infer_types()


def _weighted_products(graph: Any) -> list[tuple[Any, list[Any]]]:  # noqa: ANN401
    """Return each output that is multiplied by constant weights, and its products."""
    groups: dict[tuple[str, int], tuple[Any, list[Any]]] = {}
    for node in graph.get_ordered_ops():
        if (
            node.get_type_name() != "MatMul"
            or node.input(1).get_source_output().get_node().get_type_name() != "Constant"
        ):
            continue
        source = node.input(0).get_source_output()
        groups.setdefault((source.get_node().get_name(), source.get_index()), (source, []))[1].append(node)
    return list(groups.values())


def _observe(
    graph: Any,  # noqa: ANN401
    sources: Sequence[Any],
    samples: Sequence[NDArray[np.int64]],
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return each source's minimum and maximum (dim,) in each channel over the samples."""
    module = openvino()
    op = module.opset13
    first_axes = op.constant(np.array([0, 1], np.int64))
    ends = [
        reduce(source, first_axes, False) for source in sources for reduce in (op.reduce_min, op.reduce_max)
    ]
    watched = module.Model(ends, graph.get_parameters(), "watched")
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    request = module.Core().compile_model(watched, "CPU", options).create_infer_request()
    found: list[list[NDArray[np.float32]]] = []
    for ids in samples:
        outputs = request.infer([ids])
        found.append([outputs[i].copy() for i in range(len(ends))])
    lows = [np.min([one[2 * i] for one in found], axis=0) for i in range(len(sources))]
    highs = [np.max([one[2 * i + 1] for one in found], axis=0) for i in range(len(sources))]
    return list(zip(lows, highs, strict=True))


def _quantize_group(
    source: Any,  # noqa: ANN401
    products: Sequence[Any],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    steps: int,
) -> None:
    """Replace the products of one source by integer products.

    The grid of the weights always has 255 values, for which OpenVINO has integer products; with fewer `steps` its ends
    are farther out than the largest weight, so that weights take only the middle of it.
    """
    op = openvino().opset13
    weights = [_weights(product) for product in products]
    spread = np.maximum(np.abs(low), np.abs(high))
    heaviest = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
    scale = _coarse(_at_least(spread) ** SMOOTHING / _at_least(heaviest) ** (1 - SMOOTHING))
    ends = [op.constant(_coarse(np.float32(end))) for end in ((low / scale).min(), (high / scale).max())]
    smoothed = op.multiply(source, op.constant((1 / scale)[None, None]))
    grid = op.fake_quantize(smoothed, *ends, *ends, 256)
    for product, weight in zip(products, weights, strict=True):
        scaled = weight * scale
        largest = np.abs(scaled).max(axis=1, keepdims=True) * np.float32(WEIGHT_STEPS / steps)
        most, least = op.constant(largest), op.constant(-largest)
        integers = op.fake_quantize(op.constant(scaled), least, most, least, most, 255)
        new = op.matmul(grid, integers, False, True)
        for target in product.output(0).get_target_inputs():
            target.replace_source_output(new.output(0))


def _weights(product: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the weights (n_out, n_in) of a product."""
    weight: NDArray[np.float32] = (
        product.input(1).get_source_output().get_node().get_data().astype(np.float32)
    )
    return weight if product.get_attributes()["transpose_b"] else weight.T


def _at_least(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values, at least a thousandth of the maximum, because a constant channel is a divisor."""
    return np.maximum(values, max(float(values.max()) * 1e-3, 1e-12))


def _coarse(values: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Return values rounded to eight binary digits, so that the last bits of a calibration do not change the grid."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent).astype(np.float32)
