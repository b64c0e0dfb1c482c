"""Own encoders: a plain BERT by our kernels has the vectors of float32, the same beside any other texts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import change_json
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.flows.running.compile_ahead import _compile_encoder
from topicflow.tasks.core.vectors import integer_products, processor
from topicflow.tasks.core.vectors.cells import NONE
from topicflow.tasks.core.vectors.integer_products import keep_nearest
from topicflow.tasks.core.vectors.processor import NEEDED, OTHER_CODE, VNNI, flags, has_tiles, has_vnni
from topicflow.tasks.encoding import encoders, group_encoder
from topicflow.tasks.encoding.bert_encoder import COMPARED, BertEncoder
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.group_encoder import GroupEncoder, check_shapes, groups_of
from topicflow.tasks.encoding.integer_encoder import ByteEncoder, WordEncoder
from topicflow.tasks.encoding.model_files import bert_shape
from topicflow.tasks.encoding.model_files.bert_shape import (
    OWN_PRECISIONS,
    own_precisions,
    own_shape,
    weight_names,
)
from topicflow.tasks.encoding.tile_encoder import TileEncoder
from topicflow.tasks.errors import ConfigError, DataError, StageError

NEEDS_TILES = pytest.mark.skipif(not has_tiles(), reason="this processor has no AMX, or not for this process")
NEEDS_VNNI = pytest.mark.skipif(not has_vnni(), reason="this processor has no AVX-512 VNNI")

in_each = pytest.mark.parametrize(
    "precision",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(name not in own_precisions(), reason=f"no {name} on this processor"),
        )
        for name in OWN_PRECISIONS
    ],
)

KINDS = {"bfloat16": TileEncoder, "int16": WordEncoder, "int8": ByteEncoder}
LEAST = {"bfloat16": 0.9998, "int16": 0.99999, "int8": 0.99}
"""The least cosine of a vector to float32."""

TEXTS = [
    *COMPARED, "", "battery life", *(f"{word} {'life is short ' * n}" for n in (1, 4, 7, 20, 49, 90) for word in "abc"),
]  # fmt: skip


def loaded(precision: str, **options: Any) -> Any:
    """Return the encoder of a config, newly loaded."""
    config = SentenceTransformersEmbed(precision=precision, **options)
    return load_encoder.__wrapped__(find_encoder(config, "cpu"), config)


def wide_model(folder: Path, pooling: str = "mean") -> Path:
    """Return the folder of a seeded BERT of two layers, two heads of 64 dimensions and a wide layer of 608."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 608}
    bert = folder.with_name(f"{folder.name}-bert")
    BertModel(
        BertConfig(vocab_size=len(words), max_position_embeddings=640, initializer_range=0.2, **sizes)
    ).save_pretrained(bert)
    BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(bert)
    layers = Transformer(str(bert), max_seq_length=600)
    SentenceTransformer(modules=[layers, Pooling(128)], device="cpu").save(
        str(folder), create_model_card=False
    )
    change_json(folder / "1_Pooling" / "config.json", pooling_mode=pooling)
    return folder


# --- where there are the instructions ---


@in_each
@pytest.mark.parametrize("options", [{}, {"prompt": "title: "}, {"max_seq_length": 300}, {"dim": 64}])
def test_the_packaged_model_has_the_vectors_of_float32(precision: str, options: dict[str, Any]) -> None:
    ours, exact = loaded(precision, **options), loaded("float32", **options)
    assert type(ours) is KINDS[precision]
    (found, lengths), (expected, counted) = ours.encode(TEXTS), exact.encode(TEXTS)
    assert found.shape == expected.shape
    assert (found * expected).sum(axis=1).min() > LEAST[precision]
    np.testing.assert_array_equal(lengths, counted)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@in_each
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_a_model_of_other_sizes_has_the_vectors_of_float32(
    precision: str, pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = str(wide_model(tmp_path / "wide", pooling))
    ours, exact = loaded(precision, model=folder), loaded("float32", model=folder)
    assert type(ours) is KINDS[precision]
    found, expected = ours.encode(TEXTS)[0], exact.encode(TEXTS)[0]
    assert (found * expected).sum(axis=1).min() > {"bfloat16": 0.999, "int16": 0.9999, "int8": 0.97}[
        precision
    ]


@in_each
def test_a_vector_depends_neither_on_the_other_texts_nor_on_the_threads(precision: str) -> None:
    kind = KINDS[precision]
    one, two = kind.__new__(kind), loaded(precision)
    vars(one).update(vars(two), _n_threads=1)
    together = two.encode(TEXTS)[0]
    np.testing.assert_array_equal(one.encode(TEXTS)[0], together)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    np.testing.assert_array_equal(two.encode([TEXTS[row] for row in order])[0], together[order])
    for row, text in enumerate(TEXTS):
        np.testing.assert_array_equal(two.encode([text])[0][0], together[row])


@NEEDS_VNNI
def test_auto_and_the_first_of_our_own_are_one_encoder() -> None:
    names = ("auto", *own_precisions())
    keys = [find_encoder(SentenceTransformersEmbed(precision=name), "cpu").key for name in names]
    assert keys[0] == keys[1]
    assert len(set(keys)) == len(keys) - 1


@in_each
def test_a_plan_finds_our_encoders_without_numpy(precision: str) -> None:
    code = (
        "import sys; from topicflow.configs.sections.embed import SentenceTransformersEmbed as Embed\n"
        "from topicflow.tasks.encoding.encoder_files import find_encoder\n"
        f"print(find_encoder(Embed(precision={precision!r}), 'cpu').precision, 'numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{precision} False\n"


@in_each
def test_queries_are_in_the_space_of_the_documents(precision: str) -> None:
    ours = loaded(precision)
    queries, lengths = ours.encode_queries(TEXTS[:4])
    assert (queries * ours.encode(TEXTS[:4])[0]).sum(axis=1).min() > LEAST[precision]
    assert lengths.tolist() == ours.encode(TEXTS[:4])[1].tolist()


@in_each
def test_what_is_compiled_ahead_is_what_the_encoder_calls(precision: str) -> None:
    from topicflow.tasks.core.integers import bert_integers
    from topicflow.tasks.core.tiles import bert_tiles

    kernel = (bert_tiles if precision == "bfloat16" else bert_integers).embed_group
    loaded(precision).encode(["battery"])
    compiled = list(kernel.signatures)
    _compile_encoder(precision)
    assert list(kernel.signatures) == compiled


@in_each
def test_weights_that_do_not_fit_are_refused_and_not_read_beyond_their_end(precision: str) -> None:
    ours = loaded(precision)
    words, places = ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight")
    for name, n_rows in ((words, 1000), (places, 3)):
        other = loaded(precision)
        other._weights = {**ours._weights, name: ours._weights[name][:n_rows]}
        with pytest.raises(ConfigError, match="its weights are for"):
            other.encode(["the battery of my phone is empty"])
    for name in sorted(weight_names(ours._shape)):
        if name.startswith(("encoder.layer.0.", "embeddings.LayerNorm")):
            with pytest.raises(ConfigError, match=f"{name} has the shape"):
                check_shapes({**ours._weights, name: ours._weights[name][..., :-1]}, ours._shape)
    check_shapes(ours._weights, ours._shape)


@NEEDS_VNNI
def test_many_texts_are_read_by_the_table_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_encoder, "MANY_CHARACTERS", 50)
    monkeypatch.setattr(group_encoder, "BLOCK_TEXTS", 5)
    ours, other = loaded("int16"), loaded("int16")
    other.encode(["short"])
    assert "_words" not in vars(other._tokens)
    found = ours.encode(TEXTS)[0]
    assert ours._tokens._words is not None
    monkeypatch.setattr(group_encoder, "MANY_CHARACTERS", 10**9)
    np.testing.assert_array_equal(found, other.encode(TEXTS)[0])


@in_each
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused_and_harms_no_other_text(precision: str, value: float) -> None:
    ours = loaded(precision)
    word = ours._tokens(["battery"])[0].flat[1]
    good = ours.encode(["screen", "courier"])[0]
    ours._weights["embeddings.word_embeddings.weight"] = ours._weights[
        "embeddings.word_embeddings.weight"
    ].copy()
    ours._weights["embeddings.word_embeddings.weight"][word, 5] = value
    vars(ours).pop("_model")
    with pytest.raises(DataError, match="not finite, for the text 'battery'"):
        ours.encode(["screen", "battery", "courier"])
    ids, _ = ours._tokens(["screen", "battery", "courier"])
    vectors = np.empty((3, 384), np.float32)
    ours._embed(ids, vectors)
    np.testing.assert_array_equal(ours._unit(vectors)[[0, 2]], good)


@pytest.mark.parametrize("precision", ["int16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("layer", [0, 5])
@pytest.mark.parametrize("kind", ["weight", "bias"])
@pytest.mark.parametrize(
    "part", ["attention.self.query", "attention.self.key", "attention.self.value", "output.dense"]
)
@NEEDS_VNNI
@pytest.mark.filterwarnings("error")
def test_a_weight_that_is_not_finite_is_never_lost(
    part: str, kind: str, layer: int, value: float, precision: str
) -> None:
    ours = loaded(precision)
    name = f"encoder.layer.{layer}.{part}.{kind}"
    damaged = ours._weights[name].copy()
    damaged.flat[7] = value
    ours._weights = {**ours._weights, name: damaged}
    with pytest.raises(DataError, match="not finite"):
        ours.encode(["screen", "the battery is empty"])


@in_each
def test_a_model_whose_vectors_are_others_is_refused(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = str(wide_model(tmp_path / "wide"))
    monkeypatch.setattr(encoders, "OWN", {precision: (KINDS[precision], 1.5)})
    with pytest.raises(ConfigError, match=rf"in {precision} a vector of .* use embed.precision='float32'"):
        loaded(precision, model=folder)


@NEEDS_VNNI
def test_the_parts_of_the_arithmetic_are_exact_enough() -> None:
    from numba import njit
    from scipy.special import erf

    from topicflow.tasks.core.registers.functions import exp2, gelu
    from topicflow.tasks.core.registers.registers import address, aligned, load, store
    from topicflow.tasks.core.tiles.products import halves, packed

    @njit
    def both(source: Any, gelus: Any, powers: Any) -> None:
        for at in range(0, source.size * 4, 64):
            store(address(gelus) + at, gelu(load(address(source) + at)))
            store(address(powers) + at, exp2(load(address(source) + at)))

    x = np.linspace(-20, 20, 16_000, dtype=np.float32)
    gelus, powers = aligned(x.shape, np.float32), aligned(x.shape, np.float32)
    both(x, gelus, powers)
    np.testing.assert_allclose(gelus, x / 2 * (1 + erf(x / np.sqrt(2))), atol=2e-4, rtol=2e-5)
    np.testing.assert_allclose(powers, np.exp2(x.astype(np.float64)), rtol=4e-6)
    values = np.array([1.0, 1.00390625, 1.01171875, -3.1415927, 1e-30, 65535.0], np.float32)
    bits = (halves(values).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(bits, [1.0, 1.0, 1.015625, -3.140625, bits[4], 65536.0])
    weights = np.arange(64 * 96, dtype=np.float32).reshape(64, 96)
    tiles = packed(weights)
    assert tiles.shape == (2, 3, 2, 512)
    assert tiles.ctypes.data % 64 == 0
    assert tiles[1, 2, 0, 2 * 3 + 1] == halves(weights[32 + 3 : 32 + 4, 64 + 1])[0]


@NEEDS_VNNI
@pytest.mark.parametrize("n_items", [1, 15, 16, 17, 32, 33, 600])
@pytest.mark.parametrize(("n_rows", "dim"), [(1, 384), (32, 64), (70, 128)])
def test_the_nearest_by_code_are_the_same_in_blocks_and_as_a_matrix(
    n_items: int, n_rows: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(n_items)
    codes = rng.integers(-127, 128, (100, dim)).astype(np.int8)
    items = rng.integers(-127, 128, (n_items, dim)).astype(np.int8)
    items[n_items // 2] = -127
    items[-1] = items[0]  # equal products stay in their order
    codes[3] = 127
    rows = rng.permutation(100)[:n_rows]
    found = []
    for tiles, vnni in {(has_tiles(), True), (False, True), (False, False)}:
        monkeypatch.setattr(integer_products, "has_tiles", lambda has=tiles: has)
        monkeypatch.setattr(integer_products, "has_vnni", lambda has=vnni: has)
        best, ids = np.full((100, 9), NONE, np.int32), np.full((100, 9), -1, np.int32)
        for first in (0, 5000):
            keep_nearest(codes, rows, items, first, best, ids)
        found.append((best, ids))
    for best, ids in found[1:]:
        np.testing.assert_array_equal(found[0][0], best)
        np.testing.assert_array_equal(found[0][1], ids)
    assert (found[0][1][rows, 0] >= 0).all()
    exact = np.sort(codes[rows].astype(np.int32) @ items.T.astype(np.int32), axis=1)[:, -1]
    np.testing.assert_array_equal(found[0][0][rows, 0], exact)


@NEEDS_VNNI
@pytest.mark.parametrize("in_words", [True, False])
@pytest.mark.parametrize(("n_in", "n_out"), [(32, 32), (384, 96), (608, 64), (1536, 32), (4096, 32)])
def test_products_of_levels_are_those_of_float32(in_words: bool, n_in: int, n_out: int) -> None:
    from topicflow.tasks.core.integers.products import AS_ROWS, all_levels, multiply_levels, packed
    from topicflow.tasks.core.registers.registers import aligned

    rng = np.random.default_rng(n_in)
    weights = rng.normal(size=(2, n_out, n_in)).astype(np.float32)
    bias = rng.normal(size=(2, n_out)).astype(np.float32)
    weights[1, 0], weights[1, 1, 0], weights[1, 2] = 0, 1e6, 1e-20
    made = packed(weights, bias, in_words=in_words)
    sums = np.abs(made.levels.astype(np.int64)).sum(axis=(3, 5))
    assert sums.max() * (8191 if in_words else 255) < 2**31  # no sum of products can overflow
    rows = aligned((24, n_in), np.float32)
    rows[:] = rng.normal(size=rows.shape)
    rows[3], rows[4], rows[5] = 0, 7, rng.normal(size=n_in) * 1e-20
    rows[6, 5] = 1e4
    levels, scales = aligned((24, n_in), np.int16), aligned((24, 2), np.float32)
    out, scratch = aligned((24, n_out), np.float32), aligned((1024,), np.int32)
    all_levels(rows, 24, in_words, levels.ctypes.data, scales.ctypes.data)
    zeros = aligned((32,), np.int32)
    numbers = levels.ctypes.data, scales.ctypes.data, 24, made
    multiply_levels(AS_ROWS, *numbers, 1, in_words, scratch.ctypes.data, zeros.ctypes.data, out)
    exact = rows.astype(np.float64) @ weights[1].T.astype(np.float64) + bias[1]
    size = np.abs(rows).max(axis=1)[:, None] * np.abs(weights[1]).max(axis=1) * np.sqrt(n_in)
    steps = 1e-3 if in_words else 2e-2
    assert (np.abs(out - exact) <= steps * size + 1e-5).all()


# --- anywhere ---


@pytest.mark.parametrize(
    ("tiles", "precision", "said"), [(True, "int8", 1), (False, "int8", 0), (True, "auto", 0)]
)
def test_int8_says_that_tiles_are_better(
    tiles: bool, precision: str, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert_shape, "has_tiles", lambda: tiles)
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: True)
    notes = find_encoder(SentenceTransformersEmbed(precision=precision), "cpu").notes
    assert sum("embed.precision='auto' is faster than int8" in note for note in notes) == said


@pytest.mark.parametrize(("tiles", "vnni", "own"), [(True, True, "bfloat16"), (False, True, "int16")])
def test_what_auto_is_depends_on_the_processor(
    tiles: bool, vnni: bool, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert_shape, "has_tiles", lambda: tiles)
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: vnni)
    assert find_encoder(SentenceTransformersEmbed(), "cpu").precision == own
    exact = find_encoder(SentenceTransformersEmbed(precision="float32"), "cpu")
    assert exact.precision == "float32"


def test_without_vnni_auto_is_float32_and_int16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: False)
    assert find_encoder(SentenceTransformersEmbed(), "cpu").precision == "float32"
    assert type(loaded("auto")) is BertEncoder
    with pytest.raises(
        ConfigError, match="'int16': this processor has no AVX-512 VNNI, or not for this process; use 'auto'"
    ):
        loaded("int16")


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_process_that_may_not_use_the_instructions_is_told_so(
    kind: type[GroupEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "may_run", staticmethod(lambda: False))
    encoder = kind.__new__(kind)
    encoder._name = "a model"
    with pytest.raises(StageError, match=f"with {kind.instructions}, which this process may not use"):
        encoder.encode(["a"])


def test_only_models_whose_sizes_fit_are_computed_by_our_kernels(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: True)
    assert own_shape(tiny, None) is None  # heads of 16 dimensions
    packaged = find_encoder(SentenceTransformersEmbed(precision="float32"), "cpu").folder
    assert own_shape(packaged, 512) is not None
    assert own_shape(packaged, 513) is None  # more than it has places for
    assert "int16" in own_precisions(1024)
    assert not {"int16", "int8"} & set(own_precisions(1025))
    monkeypatch.setattr(bert_shape, "has_weights", lambda *_: False)
    assert own_shape(packaged, None) is None


def test_the_flags_of_a_processor_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OTHER_CODE:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text("processor: 0\nflags\t\t: fpu avx512f amx_bf16\nflags : other\n")
    assert flags(path) == {"fpu", "avx512f", "amx_bf16"}
    assert flags(tmp_path / "nothing") == set()
    path.write_text("Features : asimd\n")
    monkeypatch.setattr(processor, "CPUINFO", path)
    assert not has_tiles.__wrapped__()
    assert not has_vnni.__wrapped__()
    path.write_text(f"flags : {' '.join(VNNI)}\n")
    assert has_vnni.__wrapped__()
    path.write_text(f"flags : {' '.join(NEEDED)}\n")
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert not has_vnni.__wrapped__()


def test_groups_have_few_tokens_and_all_texts() -> None:
    lengths = np.random.default_rng(0).integers(0, 300, size=200)
    lengths[[3, 50, 199]] = 800
    ends = np.cumsum(lengths)
    groups = list(groups_of(ends, 400))
    assert [begin for begin, _ in groups[1:]] == [end for _, end in groups[:-1]]
    assert (groups[0][0], groups[-1][1]) == (0, 200)
    for begin, end in groups:
        assert lengths[begin:end].sum() <= 400 or end == begin + 1
    assert list(groups_of(ends[:0], 400)) == []
