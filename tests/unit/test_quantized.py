"""Int8: vectors close to float32 and the same beside any texts, grids, and models that are refused."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import change_json, tiny_model
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding import int8_encoder as quantized
from topicflow.tasks.encoding import int8_graph
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.int8_encoder import Int8Encoder, pooling_mode
from topicflow.tasks.encoding.model_files import bert_shape
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.devices import sums_of_int8_saturate

ROOT = Path(__file__).parents[2]
USERS_CACHE = os.environ.get("XDG_CACHE_HOME")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(
            bert_shape, "has_vnni", lambda: False
        )  # where our own kernels compute a plain BERT in int8
        yield folder / "topicflow" / "encoders"


def load(folder: Path | str, n_threads: int | None = None) -> Int8Encoder:
    config = SentenceTransformersEmbed(model=str(folder), precision="int8")
    encoder = load_encoder.__wrapped__(find_encoder(config), config, n_threads)
    assert type(encoder) is Int8Encoder
    return encoder


def sentences() -> list[str]:
    """Docstrings and messages of this project: texts that were not used for any grid."""
    found = set()
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                found.add(text.split("\n")[0])
    return sorted(found - set(quantized.CALIBRATION))


def packaged_model(n_threads: int) -> Int8Encoder:
    """Return the packaged model from the user's cache, where runs of the pages keep it: it takes 20 s to make."""
    with pytest.MonkeyPatch.context() as patch:
        if USERS_CACHE is None:
            patch.delenv("XDG_CACHE_HOME")
        else:
            patch.setenv("XDG_CACHE_HOME", USERS_CACHE)
        return load("all-MiniLM-L6-v2", n_threads)


@pytest.fixture(scope="module")
def packaged() -> Int8Encoder:
    return packaged_model(n_threads=2)


def test_vectors_are_those_of_float32_to_a_cosine_of_995(packaged: Int8Encoder) -> None:
    texts = [*sentences()[:60], "", "x", "word " * 400]
    vectors, n_tokens = packaged.encode(texts)
    config = SentenceTransformersEmbed()
    exact, expected = load_encoder(find_encoder(config, "cpu"), config).encode(texts)
    cosines = (vectors * exact).sum(axis=1)
    assert cosines[:60].mean() >= 0.995
    assert cosines.min() >= 0.97
    assert cosines[:60].mean() < 0.99999  # integers, not float32 by another name
    np.testing.assert_array_equal(n_tokens, expected)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it_nor_on_threads(packaged: Int8Encoder) -> None:
    texts = [*sentences()[:30], "a", "b c", "word " * 300]
    together, _ = packaged.encode(texts)
    np.testing.assert_array_equal(np.concatenate([packaged.encode([text])[0] for text in texts]), together)
    np.testing.assert_array_equal(packaged.encode(texts[::-1])[0][::-1], together)
    np.testing.assert_array_equal(packaged.encode(texts * 5)[0][: len(texts)], together)
    np.testing.assert_array_equal(packaged_model(n_threads=1).encode(texts)[0], together)
    assert len(np.unique(together, axis=0)) == len(texts)


@pytest.mark.slow
def test_cls_pooling_and_other_shapes(tiny: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    shutil.copytree(tiny, first)
    change_json(first / "1_Pooling" / "config.json", pooling_mode="cls")
    texts = ["ab cd", "a", "zz " * 30, "x1 y2 z3"]
    for folder in (tiny, first):
        config = SentenceTransformersEmbed(model=str(folder))
        exact, _ = load_encoder(find_encoder(config, "cpu"), config).encode(texts)
        vectors, n_tokens = load(folder).encode(texts)
        assert (vectors * exact).sum(axis=1).min() > 0.99
        assert n_tokens.tolist() == [6, 3, 62, 8]
    assert np.abs(load(tiny).encode(texts)[0] - load(first).encode(texts)[0]).max() > 1e-2


def test_queries_have_a_separate_prompt(tmp_path: Path) -> None:
    encoder = load(tiny_model(tmp_path / "prompted", {"query": "ask: ", "document": "doc: "}))
    plain = load(tiny_model(tmp_path / "plain"))
    prompted, lengths = encoder.encode_queries(["red tea"])
    np.testing.assert_allclose(prompted, plain.encode(["ask: red tea"])[0], atol=0.05)
    np.testing.assert_array_equal(lengths, plain.encode(["ask: red tea"])[1])
    given, _ = encoder.encode_queries(["red tea"], prompt="find ")
    np.testing.assert_allclose(given, plain.encode(["find red tea"])[0], atol=0.05)
    assert float(given[0] @ prompted[0]) < 0.999


def test_no_texts_give_no_vectors(tiny: Path) -> None:
    vectors, n_tokens = load(tiny).encode([])
    assert (vectors.shape, n_tokens.shape) == ((0, 32), (0,))


# --- the grid ---


def test_a_product_runs_on_the_grid_that_the_paper_gives() -> None:
    op = quantized.openvino().opset13
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 8)).astype(np.float32)
    samples = rng.normal(size=(3, 4, 8)).astype(np.float32) * np.logspace(0, 2, 8, dtype=np.float32)
    given = op.parameter([-1, -1, 8], np.float32)
    product = op.matmul(given, op.constant(weights), False, True)
    graph = quantized.openvino().Model([op.result(product)], [given], "one")
    steps = quantized.weight_steps()
    quantized.quantize(graph, [samples], steps)
    found = quantized.compiled(graph, 1)(samples)

    def coarse(values: np.ndarray) -> np.ndarray:
        step = 2.0 ** (np.floor(np.log2(np.abs(values))) + 1 - 8)
        return np.round(values / step) * step

    low, high = samples.min((0, 1)), samples.max((0, 1))
    scale = coarse(np.maximum(-low, high) ** 0.75 / np.abs(weights).max(0) ** 0.25)
    ends = coarse((low / scale).min()), coarse((high / scale).max())
    step = (ends[1] - ends[0]) / 255
    x = np.round((np.clip(samples / scale, *ends) - ends[0]) / step) * step + ends[0]
    most = np.abs(weights * scale).max(1, keepdims=True)
    w = np.round(weights * scale / most * steps) / steps * most
    np.testing.assert_allclose(found, x @ w.T, rtol=0.02, atol=0.02 * np.abs(found).max())
    exact = samples @ weights.T
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_a_model_whose_vectors_move_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(quantized, "LEAST_COSINE", 1.1)
    with pytest.raises(
        ConfigError, match=r"^embed: in int8 the vectors .* have a mean cosine of [01]\.\d{3} to float32, exp"
    ):
        load(tiny)
    assert not list(tmp_path.rglob("graph.xml"))


# --- the kept graph ---


def test_the_graph_is_made_once_and_read_without_torch(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prompted = tiny_model(tmp_path / "prompted", {"document": "doc : "})
    config = SentenceTransformersEmbed(model=str(prompted), precision="int8")
    texts = ["ab cd", "a", "zz " * 30]
    first = load(prompted)
    vectors, n_tokens = first.encode(texts)
    monkeypatch.setattr(quantized, "convert", None)  # is not called again
    again = load(prompted)
    np.testing.assert_array_equal(again.encode(texts)[0], vectors)
    np.testing.assert_array_equal(again.encode(texts)[1], n_tokens)
    assert (again.dim, again.cosine, again.max_tokens) == (32, first.cosine, 16)
    code = (
        "import sys, numpy as np; from topicflow.tasks.encoding.encoder_files import find_encoder\n"
        "from topicflow.tasks.encoding.encoders import load_encoder\n"
        "from topicflow.configs.sections.embed import SentenceTransformersEmbed\n"
        f"config = SentenceTransformersEmbed(model={str(prompted)!r}, precision='int8')\n"
        f"np.save({str(tmp_path / 'found.npy')!r}, load_encoder(find_encoder(config), config).encode({texts!r})[0])\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "[]\n"
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), vectors)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = next(tmp_path.rglob("graph.bin"))
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.chmod(0o600)
    graph.write_bytes(content)
    np.testing.assert_array_equal(load(prompted).encode(texts)[0], vectors)
    assert "the digest of graph.bin has changed since it was written); making it again" in caplog.text
    assert find_encoder(config).key == first.key


@pytest.mark.slow
def test_another_version_of_what_converts_makes_another_graph(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load(tiny)
    version = quantized.package_version
    monkeypatch.setattr(quantized, "package_version", lambda of: "0" if of == "torch" else version(of))
    load(tiny)
    assert len(list(tmp_path.rglob("graph.xml"))) == 2


# --- processors ---


def largest_sums(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a product of the largest activations and weights on this processor, and what it should be."""
    op = quantized.openvino().opset13
    weights = np.ones((3, 64), np.float32)
    samples = np.full((1, 2, 64), 255, np.float32)
    given = op.parameter([-1, -1, 64], np.float32)
    product = op.matmul(given, op.constant(weights), False, True)
    graph = quantized.openvino().Model([op.result(product)], [given], "one")
    quantized.quantize(graph, [samples, 0 * samples], steps)
    return quantized.compiled(graph, 1)(samples), samples @ weights.T


def test_the_largest_sums_are_not_cut_off_on_this_processor() -> None:
    found, exact = largest_sums(quantized.weight_steps())
    np.testing.assert_allclose(found, exact, rtol=0.02)


@pytest.mark.skipif(not sums_of_int8_saturate(), reason="this processor adds products of 8 bits in 32 bits")
def test_wider_weights_are_cut_off_without_an_error_where_sums_have_16_bits() -> None:
    found, exact = largest_sums(quantized.WEIGHT_STEPS)
    assert found.max() < 0.6 * exact.max()


@pytest.mark.parametrize(
    ("machine", "features", "saturates"),
    [
        ("x86_64", {"avx2": True, "avx512vnni": False, "avxvnni": False}, True),
        ("AMD64", {"avx512f": True}, True),
        ("x86_64", {"avx512vnni": True}, False),
        ("x86_64", {"avx512vnni": False, "avxvnni": True}, False),
        ("aarch64", {}, False),
        ("arm64", {}, False),
    ],
)
def test_processors_and_their_key(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, machine: str, features: dict[str, bool], saturates: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: features)
    sums_of_int8_saturate.cache_clear()
    try:
        assert sums_of_int8_saturate() is saturates
        assert quantized.int8_identity(tiny).get("weight_steps") == (63 if saturates else None)
        notes = find_encoder(SentenceTransformersEmbed(model=str(tiny), precision="int8")).notes
        assert any("no VNNI" in note for note in notes) is saturates
        notes = find_encoder(SentenceTransformersEmbed(model=str(tiny), precision="float32")).notes
        assert not any("VNNI" in note for note in notes)
    finally:
        sums_of_int8_saturate.cache_clear()


# --- what is refused, and the key ---


def test_a_model_of_other_modules_is_one_line(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dense"
    shutil.copytree(tiny, folder)
    modules = json.loads((folder / "modules.json").read_bytes())
    (folder / "modules.json").write_text(json.dumps([*modules, {"type": "x.Dense", "path": "2_Dense"}]))
    with pytest.raises(
        ConfigError, match=r"needs a model of Transformer, Pooling and Normalize; dense has Transformer, "
    ):
        load(folder)


@pytest.mark.parametrize(
    ("pooling", "found"),
    [
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "several"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "several"),
        ({"pooling_mode": "mean", "include_prompt": False}, "mean without the prompt"),
    ],
)
def test_a_model_that_pools_otherwise_is_one_line(
    pooling: dict[str, object], found: str, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny, folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(
        ConfigError,
        match=rf"int8' needs a pooling of mean, cls, lasttoken; other has {found}; use 'float32'$",
    ):
        load(folder)


def test_pooling_is_read_in_the_old_and_the_new_form(tiny: Path) -> None:
    assert pooling_mode(tiny) == "mean"
    assert pooling_mode(find_encoder(SentenceTransformersEmbed(), "cpu").folder) == "mean"


def test_without_openvino_the_message_names_the_extra(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_graph.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ConfigError, match=r"^embed: precision='int8' needs OpenVINO; pip install 'topicflow\[int8\]'$"
    ):
        load(tiny)


def test_int8_is_for_the_cpu(tiny: Path) -> None:
    config = SentenceTransformersEmbed(model=str(tiny), precision="int8")
    assert find_encoder(config, "auto").device == "cpu"
    with pytest.raises(
        ConfigError, match=r"is for CPUs, found runtime\.device='cuda'; use 'float16' or device 'cpu'$"
    ):
        find_encoder(config, "cuda")


def test_the_key_depends_on_the_recipe_and_the_versions(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SentenceTransformersEmbed(model=str(tiny), precision="int8")
    keys = [find_encoder(config).key, find_encoder(SentenceTransformersEmbed(model=str(tiny)), "cpu").key]
    with monkeypatch.context() as patch:
        patch.setattr(quantized, "RECIPE", -1)
        keys.append(find_encoder(config).key)
    version = quantized.package_version
    for name in ("openvino", "transformers"):
        with monkeypatch.context() as patch:
            for module in (quantized, int8_graph):
                patch.setattr(
                    module, "package_version", lambda of, new=name: "0" if of == new else version(of)
                )
            keys.append(find_encoder(config).key)
    assert len(set(keys)) == 5
    assert find_encoder(config).key == keys[0]


def test_openvino_is_imported_without_its_telemetry() -> None:
    code = (
        "import sys; from topicflow.tasks.encoding.int8_encoder import openvino; openvino()\n"
        "print(sorted(name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "[]\n"
