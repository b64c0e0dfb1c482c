"""Float: our own loop gives the model's vectors, in any blocks, and the model is used otherwise."""

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fakes import change_json, tiny_model
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding import float_encoder
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import encoder_of, load_model
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder, token_block
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens, ahead

TEXTS = ["ab cd", "a", "", "zz " * 30, "ab cd", "?!", *(f"w{i} x{i * 7}" for i in range(40))]


def load(folder: Path | str, **values: Any) -> SentenceTransformersEncoder:
    config = SentenceTransformersEmbed(**{"precision": "float32", "model": str(folder), **values})
    files = find_encoder(config, "cpu")
    return encoder_of(load_model(files, config, 1), files, config)


def changed(tiny: Path, folder: Path, pooling: str = "mean", *, normalized: bool = False) -> Path:
    """Return a copy of the tiny model with another pooling."""
    shutil.copytree(tiny, folder)
    change_json(folder / "1_Pooling" / "config.json", pooling_mode=pooling)
    if normalized:
        modules = json.loads((folder / "modules.json").read_bytes())
        kind = "sentence_transformers.models.Normalize"
        added = {"idx": 2, "name": "2", "path": "2_Normalize", "type": kind}
        (folder / "modules.json").write_text(json.dumps([*modules, added]))
    return folder


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_the_models_own(
    pooling: str, normalized: bool, precision: str, tiny: Path, tmp_path: Path
) -> None:
    encoder = load(changed(tiny, tmp_path / "model", pooling, normalized=normalized), precision=precision)
    assert encoder.direct
    vectors, n_tokens = encoder.encode(TEXTS)
    encoder.direct = False
    expected, counted = encoder.encode(TEXTS)
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(n_tokens, counted)
    assert len(np.unique(vectors, axis=0)) == len(set(TEXTS))


def test_vectors_of_the_packaged_model_are_its_own() -> None:
    encoder = load("all-MiniLM-L6-v2")
    texts = ["Spin waves", "spin waves in magnets", "word " * 300, "", "Zürich [SEP] [PAD] ok [PAD]"]
    vectors, _ = encoder.encode(texts)
    assert encoder.direct
    encoder.direct = False
    np.testing.assert_allclose(vectors, encoder.encode(texts)[0], atol=1e-6)


def test_a_prompt_is_put_before_each_text(tmp_path: Path) -> None:
    encoder = load(tiny_model(tmp_path / "prompted", {"document": "doc : "}))
    found = encoder.encode(["ab", "cd e"])
    encoder.direct = False
    np.testing.assert_array_equal(found[0], encoder.encode(["ab", "cd e"])[0])


def test_blocks_do_not_change_the_result(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(tiny)
    whole, n_whole = encoder.encode(TEXTS)
    for size in (1, 7, len(TEXTS)):
        monkeypatch.setitem(float_encoder.BLOCK_TEXTS, "cpu", size)
        vectors, n_tokens = encoder.encode(TEXTS)
        np.testing.assert_array_equal(vectors, whole)
        np.testing.assert_array_equal(n_tokens, n_whole)


def test_each_text_is_tokenised_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(tiny)
    seen: list[str] = []
    call = TextTokens.__call__

    def watched(self: TextTokens, texts: Sequence[str]) -> Any:
        seen.extend(texts)
        return call(self, texts)

    monkeypatch.setattr(TextTokens, "__call__", watched)
    monkeypatch.setitem(float_encoder.BLOCK_TEXTS, "cpu", 10)
    encoder.encode(TEXTS)
    assert seen == TEXTS


def test_a_model_that_pools_otherwise_is_left_to_itself(tiny: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = changed(tiny, tmp_path / "model", "max")
    encoder = load(folder)
    assert not encoder.direct
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(TEXTS)[0], expected, atol=1e-6)


def test_a_model_that_is_not_what_its_files_say_is_left_to_itself(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(tiny).encode(TEXTS)[0]
    encode_ids = SentenceTransformersEncoder._encode_ids
    monkeypatch.setattr(
        SentenceTransformersEncoder,
        "_encode_ids",
        lambda self, ids: encode_ids(self, ids.flip(1)),  # reads the text backwards
    )
    encoder = load(tiny)
    assert not encoder.direct
    np.testing.assert_array_equal(encoder.encode(TEXTS)[0], found)


def test_a_tokenizer_that_cuts_at_the_front_is_left_to_itself(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "front"
    shutil.copytree(tiny, folder)
    change_json(folder / "tokenizer_config.json", truncation_side="left")
    assert not load(folder).direct


@pytest.mark.parametrize("direct", [True, False])
def test_attention_is_not_planned_again_for_each_shape(
    direct: bool, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(tiny)
    encoder.direct = direct
    allowed: list[bool] = []
    owner = type(encoder._model[0].auto_model)
    forward = owner.forward

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        allowed.append(torch.backends.cuda.cudnn_sdp_enabled())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(owner, "forward", watched)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    encoder.encode(TEXTS)
    encoder.encode_queries(TEXTS[:2])
    assert allowed
    assert not any(allowed)
    assert torch.backends.cuda.cudnn_sdp_enabled() is before is True


def test_running_out_of_memory_leaves_out_no_text(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(tiny)
    expected, _ = encoder.encode(TEXTS)
    encode_ids, sizes = SentenceTransformersEncoder._encode_ids, []

    def small(self: SentenceTransformersEncoder, ids: Any) -> Any:
        if ids.numel() > 300:
            msg = "CUDA out of memory"
            raise RuntimeError(msg)
        sizes.append(ids.numel())
        return encode_ids(self, ids)

    monkeypatch.setattr(SentenceTransformersEncoder, "_encode_ids", small)
    vectors, _ = encoder.encode(TEXTS * 9)
    np.testing.assert_allclose(vectors, np.tile(expected, (9, 1)), atol=1e-6)
    assert 128 < max(sizes) <= 300


def test_a_text_without_tokens_is_zero(tiny: Path) -> None:
    encoder = load(tiny)
    marked = encoder._tokens
    assert marked is not None
    encoder._tokens = TextTokens(marked.backend, "", 16, marks=False)
    vectors, n_tokens = encoder.encode(["ab", "", "cd"])
    assert n_tokens.tolist() == [2, 0, 2]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1], atol=1e-6)


def test_a_block_holds_the_longest_first(tiny: Path) -> None:
    tokens = load(tiny)._tokens
    assert tokens is not None
    block = token_block(tokens, ["a", "abc", "zz " * 30, "b"])
    assert block.rows.tolist() == [2, 1, 0, 3]
    assert block.lengths.tolist() == [16, 5, 3, 3]
    assert block.n_tokens.tolist() == [3, 5, 62, 3]
    assert block.ids[21:].tolist() == tokens(["a", "b"])[0].flat.tolist()


# --- ahead ---


def test_the_next_is_worked_on_while_this_one_is_used() -> None:
    begun = [threading.Event() for _ in range(4)]

    def work(item: int) -> int:
        begun[item].set()
        return item * item

    used = []
    for item, found in enumerate(ahead(work, range(4))):
        used.append(found)
        assert item == 3 or begun[item + 1].wait(10)
        assert item > 1 or not begun[item + 2].is_set()  # one in advance, no more
    assert used == [0, 1, 4, 9]


@pytest.mark.parametrize("items", [[], [2]])
def test_one_needs_no_thread(items: list[int]) -> None:
    names = list(ahead(lambda _: threading.current_thread().name, items))
    assert names == [threading.current_thread().name] * len(items)


def test_an_error_of_the_thread_is_raised() -> None:
    found = ahead(lambda item: 1 // item, [1, 0, 2])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
