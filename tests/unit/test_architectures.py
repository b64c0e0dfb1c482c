"""Architectures: the vectors of real architectures with tiny weights are those of the model's own `encode`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import change_json
from tests.tiny_models import ARCHITECTURES, architecture_model, lora_model
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.model_files.model_settings import read_max_tokens
from topicflow.tasks.errors import ConfigError

TEXTS = ["ab cd", "a", "", "zz " * 30, "?!", *(f"w{i} x{i * 7}" for i in range(20))]

IN_INTEGERS = ("ModernBert", "Qwen3")
"""Architectures whose conversion each run of the tests tries; the others are slow tests."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def load(folder: Path, **values: Any) -> Any:
    config = SentenceTransformersEmbed(model=str(folder), **values)
    return load_encoder.__wrapped__(find_encoder(config, "cpu"), config, 1)


def own_vectors(folder: Path, texts: list[str] = TEXTS, kind: str = "encode_document") -> np.ndarray:
    """Return the model's own unit vectors, each text alone."""
    from sentence_transformers import SentenceTransformer

    encode = getattr(SentenceTransformer(str(folder), device="cpu"), kind)
    return np.vstack([encode([text], normalize_embeddings=True) for text in texts])


def least_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the minimum cosine after subtraction of the mean, which all vectors of a tiny model share."""
    mean = expected.mean(axis=0)
    ours, theirs = found - mean, expected - mean
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [
        *(
            pytest.param(each, "mean", marks=() if each in IN_INTEGERS else pytest.mark.slow)
            for each in ARCHITECTURES
        ),
        ("Bert", "lasttoken"),
        ("Qwen3", "lasttoken"),
    ],
)
def test_float_vectors_are_the_models_own(architecture: str, pooling: str, tmp_path: Path) -> None:
    folder = architecture_model(tmp_path / "model", architecture, pooling)
    encoder = load(folder)
    assert isinstance(encoder, SentenceTransformersEncoder)
    assert encoder.direct
    expected = own_vectors(folder)
    assert np.linalg.norm(expected - expected.mean(axis=0), axis=1).min() > 0.02
    np.testing.assert_allclose(encoder.encode(TEXTS)[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(each, marks=() if each in IN_INTEGERS else pytest.mark.slow) for each in ARCHITECTURES],
)
def test_int8_vectors_are_near_the_models_own(architecture: str, tmp_path: Path) -> None:
    pooling = "lasttoken" if architecture == "Qwen3" else "mean"
    folder = architecture_model(tmp_path / "model", architecture, pooling)
    vectors, _ = load(folder, precision="int8").encode(TEXTS)
    assert 0.97 < least_cosine(vectors, own_vectors(folder)) < 0.9999999


@pytest.mark.parametrize("precision", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_dimensions_are_cut_as_the_model_says_and_as_the_config_says(precision: str, tmp_path: Path) -> None:
    whole = load(architecture_model(tmp_path / "whole", "Bert"), precision=precision)
    folder = architecture_model(tmp_path / "cut", "Bert", truncate_dim=24)
    for encoder, dim in (
        (load(folder, precision=precision), 24),
        (load(folder, precision=precision, dim=8), 8),
    ):
        vectors = encoder.encode(TEXTS)[0]
        assert encoder.dim == dim
        part = whole.encode(TEXTS)[0][:, :dim]
        np.testing.assert_allclose(vectors, part / np.linalg.norm(part, axis=1, keepdims=True), atol=2e-5)
        assert encoder.encode_queries(TEXTS[:2])[0].shape == (2, dim)
    with pytest.raises(
        ConfigError, match=r"^embed\.dim=33 exceeds the 32 dimensions of .*; lower it or remove it$"
    ):
        load(tmp_path / "whole", precision=precision, dim=33)


def test_a_cut_is_another_space_and_shares_the_integers(tmp_path: Path) -> None:
    folder = str(architecture_model(tmp_path / "model", "Bert"))
    files = [
        find_encoder(SentenceTransformersEmbed(model=folder, precision="int8", dim=dim), "cpu")
        for dim in (None, 8, 16)
    ]
    assert len({each.key for each in files}) == 3
    assert len({each.graph_key for each in files}) == 1
    assert files[0].graph_key == files[0].key


@pytest.mark.parametrize(
    ("architecture", "precision"),
    [("Bert", "float32"), ("ModernBert", "float32"), pytest.param("Bert", "int8", marks=pytest.mark.slow)],
)
def test_weights_in_bfloat16_are_computed_in_the_precision_of_the_config(
    architecture: str, precision: str, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from sentence_transformers import SentenceTransformer

    folder = architecture_model(tmp_path / "model", architecture)
    whole = own_vectors(folder)
    weights = load_file(folder / "model.safetensors")
    halves = {
        name: value.bfloat16() if value.is_floating_point() else value for name, value in weights.items()
    }
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    change_json(folder / "config.json", dtype="bfloat16")
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = np.vstack([model.encode([text], normalize_embeddings=True) for text in TEXTS])
    assert np.abs(expected - whole).max() > 2e-4  # the weights are rounded
    vectors = load(folder, precision=precision).encode(TEXTS)[0]
    if precision == "float32":
        np.testing.assert_allclose(vectors, expected, atol=2e-5)
    else:
        assert least_cosine(vectors, expected) > 0.97


def test_a_query_does_not_depend_on_the_others_with_a_tokenizer_that_fills_on_the_left(
    tmp_path: Path,
) -> None:
    folder = architecture_model(tmp_path / "model", "Bert")
    change_json(folder / "tokenizer_config.json", padding_side="left")
    encoder = load(folder)
    texts = ["ab cd ef gh", "a", "zz z"]
    together = encoder.encode_queries(texts)[0]
    np.testing.assert_allclose(together, own_vectors(folder, texts, "encode_query"), atol=2e-5)
    np.testing.assert_allclose(encoder.encode(texts)[0], own_vectors(folder, texts), atol=2e-5)
    assert any("fills batches on the left" in note for note in note_of(folder))


def note_of(folder: Path, **values: Any) -> tuple[str, ...]:
    return find_encoder(SentenceTransformersEmbed(model=str(folder), **values), "cpu").notes


def test_a_router_embeds_documents_and_queries_with_their_own_layers(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Router, Transformer

    from tests.tiny_models import transformer

    layers = [
        Transformer(str(transformer(tmp_path / each, each)), max_seq_length=12)
        for each in ("Bert", "DistilBert")
    ]
    router = Router.for_query_document(
        query_modules=[layers[1], Pooling(32)], document_modules=[layers[0], Pooling(32)]
    )
    folder = tmp_path / "router"
    SentenceTransformer(modules=[router], device="cpu").save(str(folder), create_model_card=False)
    encoder = load(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS)[0], own_vectors(folder), atol=2e-5)
    np.testing.assert_allclose(
        encoder.encode_queries(TEXTS)[0], own_vectors(folder, kind="encode_query"), atol=2e-5
    )
    assert encoder.max_tokens == 12  # texts that are cut are counted
    with pytest.raises(
        ConfigError, match="needs a model of Transformer, Pooling and Normalize; router has Router"
    ):
        load(folder, precision="int8")


def test_static_vectors_of_a_folder(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    from tests.tiny_models import transformer

    words = Tokenizer.from_file(str(transformer(tmp_path / "layers", "Bert") / "tokenizer.json"))
    folder = tmp_path / "static"
    model = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=16)], device="cpu")
    model.save(str(folder), create_model_card=False)
    encoder = load(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS)[0], own_vectors(folder), atol=2e-5)
    assert encoder.max_tokens is None


def test_the_limit_of_a_model_whose_tokenizer_has_none(tmp_path: Path) -> None:
    folder = architecture_model(tmp_path / "model", "Bert")
    assert read_max_tokens(folder) == 16
    (folder / "sentence_bert_config.json").write_text("{}")
    change_json(folder / "tokenizer_config.json", model_max_length=10**30)
    assert read_max_tokens(folder) == 64  # the places of the transformer
    vectors, n_tokens = load(folder).encode(["zz " * 90, "zz " * 31])
    assert n_tokens.tolist() == [182, 64]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_folder_of_a_lora_adapter(precision: str, tmp_path: Path) -> None:
    folder = lora_model(tmp_path / "lora")
    expected = own_vectors(folder)
    assert np.abs(expected - own_vectors(tmp_path / "lora-base")).max() > 0.05
    vectors = load(folder, precision=precision).encode(TEXTS)[0]
    assert least_cosine(vectors, expected) > (0.99999 if precision == "float32" else 0.97)


def test_the_base_of_a_lora_adapter_is_in_the_key(tmp_path: Path) -> None:
    folder = lora_model(tmp_path / "lora")
    config = SentenceTransformersEmbed(model=str(folder))
    before = find_encoder(config, "cpu").key
    weights = tmp_path / "lora-base-layers" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert find_encoder(config, "cpu").key != before


def test_weights_that_a_folder_lacks_are_an_error_and_not_random(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = lora_model(tmp_path / "lora")
    weights = load_file(folder / "adapter_model.safetensors")
    weights = {name.replace("encoder.layer.", "encoder.layers."): value for name, value in weights.items()}
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(
        ConfigError, match=r"lora lacks weights of its model \(\d, such as .*lora_[AB].*\), so that its "
    ):
        load(folder)
    whole = tmp_path / "lora-base"
    kept = {
        name: value for name, value in load_file(whole / "model.safetensors").items() if "layer.1" not in name
    }
    save_file(kept, whole / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks weights of its model .*encoder\.layer\.1\."):
        load(whole)


def test_weights_of_another_shape_are_one_line(tmp_path: Path) -> None:
    folder = architecture_model(tmp_path / "model", "Bert")
    change_json(folder / "config.json", intermediate_size=48)
    with pytest.raises(
        ConfigError, match=r"^embed: .* cannot be loaded as a sentence-transformers model: [^\n]*$"
    ):
        load(folder)


def test_a_model_that_cannot_be_converted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topicflow.tasks.encoding import int8_graph

    def fails(*_: Any) -> None:
        msg = "FrontEnd API failed:\nmany\nlines"
        raise RuntimeError(msg)

    monkeypatch.setattr(int8_graph, "_traced", fails)
    with pytest.raises(ConfigError) as error:
        load(architecture_model(tmp_path / "model", "Bert"), precision="int8", max_seq_length=9)
    assert str(error.value) == (
        "embed: precision='int8' cannot convert BertModel (RuntimeError: FrontEnd API failed:); use "
        "embed.precision='bfloat16'"
    )


def test_a_graph_that_lost_its_mask_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from topicflow.tasks.encoding import int8_graph

    ways, mask = int8_graph._ways, int8_graph._mask
    monkeypatch.setattr(int8_graph, "_ways", lambda layers: list(ways(layers))[2:])
    monkeypatch.setattr(int8_graph, "_mask", lambda *given: mask(*given) * 0)  # a token reads those behind it
    with pytest.raises(
        ConfigError, match=r"cannot convert Qwen3Model \(the graph's vectors have a cosine of "
    ):
        load(architecture_model(tmp_path / "model", "Qwen3", "mean"), precision="int8")
