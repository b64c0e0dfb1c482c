"""Static encoders: the table by hand, sums, texts without words, the cache, and the embed stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import save_documents
from topicflow.configs.sections.embed import SentenceTransformersEmbed, StaticEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.words.token_sums import distilled_table, sum_rows
from topicflow.tasks.encoding import static_encoder
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.encoding.encoder_cache import encoder_cache
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.static_encoder import StaticEncoder
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

TEXTS = ["ab cd", "ba dc", "x1", "zz " * 400, "a", "", "?!"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "topicflow" / "encoders"


def load(folder: Path, **values: Any) -> StaticEncoder:
    config = StaticEmbed(method="static", model=str(folder), **values)
    encoder = load_encoder.__wrapped__(find_encoder(config), config)
    assert type(encoder) is StaticEncoder
    return encoder


# --- numerics ---


def test_sums_start_from_the_first_and_take_each_texts_rows() -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    first = np.array([0.5, 0.0, 0.0], np.float32)
    found = sum_rows(table, np.array([1, 1, 3], np.int32), np.array([2, 2, 3]), first)
    np.testing.assert_array_equal(found, [[6.5, 8, 10], [0.5, 0, 0], [9.5, 10, 11]])


def test_the_table_keeps_the_main_axes_and_weighs_by_rank() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(50, 6)) * [9, 5, 3, 0.1, 0.1, 0.1]).astype(np.float32)
    special = np.arange(50) % 10 == 0
    table = distilled_table(vectors, special, 3, 1e-2)
    assert table.shape == (50, 3)
    assert not table[special].any()
    ranks = np.arange(2, 47)
    zipf = (1 / ranks) / (1 / ranks).sum()
    unweighted = table[~special] / (1e-2 / (1e-2 + zipf))[:, None]
    centred = vectors[~special] - vectors[~special].mean(0)
    np.testing.assert_allclose(
        unweighted @ unweighted.T, centred @ centred.T, atol=0.5
    )  # except the weak axes
    spreads = np.linalg.norm(unweighted, axis=0)
    np.testing.assert_allclose(spreads, np.linalg.svd(centred)[1][:3], rtol=1e-4)
    np.testing.assert_array_equal(table, distilled_table(vectors, special, 3, 1e-2))
    assert distilled_table(vectors, special, 99, 1e-2).shape == (50, 6)


# --- the encoder ---


def test_padding_in_a_tokenizer_file_is_not_part_of_a_token(tiny: Path, tmp_path: Path) -> None:
    import shutil

    from tokenizers import Tokenizer

    padded = Path(shutil.copytree(tiny, tmp_path / "padded"))
    for file in padded.rglob("tokenizer.json"):
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.enable_padding(length=12)  # as all-MiniLM-L6-v2's own file does, to 128
        tokenizer.save(str(file))
    np.testing.assert_array_equal(load(padded)._table, load(tiny)._table)


def test_vectors_are_unit_sums_of_token_vectors(tiny: Path) -> None:
    encoder = load(tiny, dim=8)
    vectors, n_tokens = encoder.encode(TEXTS)
    assert (vectors.shape, vectors.dtype, encoder.dim) == ((7, 8), np.float32, 8)
    assert n_tokens.tolist() == [4, 4, 2, 800, 1, 0, 2]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    letters = next(iter(encoder._tokens(["ab"])[0]))
    expected = encoder._table[letters].sum(0)
    np.testing.assert_allclose(encoder.encode(["ab"])[0][0], expected / np.linalg.norm(expected), atol=1e-5)
    np.testing.assert_allclose(vectors[5], vectors[6], atol=1e-6)  # no word known: the direction of [UNK]


def test_a_vector_does_not_depend_on_the_texts_beside_it_nor_on_threads(tiny: Path) -> None:
    import numba

    encoder = load(tiny, dim=8)
    texts = [f"w{i} x{i * 7} " * (i % 5 + 1) for i in range(200)]
    together, _ = encoder.encode(texts)
    np.testing.assert_array_equal(np.concatenate([encoder.encode([text])[0] for text in texts]), together)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(encoder.encode(texts)[0], together)
    finally:
        numba.set_num_threads(before)


def test_the_model_is_asked_once_and_a_damaged_table_is_made_again(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    distil = static_encoder.distil
    monkeypatch.setattr(static_encoder, "distil", lambda *args: asked.append(1) or distil(*args))
    first, _ = load(tiny).encode(TEXTS)
    second, _ = load(tiny).encode(TEXTS)
    np.testing.assert_array_equal(first, second)
    assert len(asked) == 1
    table = next(cache.rglob("table.npy"))
    table.chmod(0o600)
    table.write_bytes(table.read_bytes()[:-1])
    np.testing.assert_array_equal(load(tiny).encode(TEXTS)[0], first)
    assert len(asked) == 2


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert encoder_cache() == cache
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert encoder_cache() == Path.home() / ".cache" / "topicflow" / "encoders"


def test_what_decides_the_table_is_in_the_key(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = StaticEmbed(method="static", model=str(tiny))
    keys = [
        find_encoder(config).key,
        find_encoder(config.model_copy(update={"dim": 8})).key,
        find_encoder(SentenceTransformersEmbed(model=str(tiny)), "cpu").key,
    ]
    monkeypatch.setattr(static_encoder, "VERSION", -1)
    keys.append(find_encoder(config).key)
    assert len(set(keys)) == 4


def test_a_model_without_a_fast_tokenizer_is_one_line(tiny: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "slow"
    shutil.copytree(tiny, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ConfigError, match=r"^embed: method='static' needs a fast tokenizer, but slow has no tok"
    ):
        load(folder)


def test_the_stage_embeds_with_it(store: ArtifactStore, tiny: Path) -> None:
    documents = save_documents(store, TEXTS[:5])
    config = StaticEmbed(method="static", model=str(tiny), dim=8)
    runtime = RuntimeConfig(device="cuda")  # which a sum of rows does not need
    made = embed.fn(Context(store, runtime=runtime), documents, config)
    assert not made.cached
    np.testing.assert_array_equal(store.array(made, "embeddings"), load(tiny, dim=8).encode(TEXTS[:5])[0])
    assert (store.meta(made)["precision"], store.meta(made)["truncated_share"]) == ("static", 0)
    assert embed.fn(Context(store, runtime=runtime), documents, config).cached
