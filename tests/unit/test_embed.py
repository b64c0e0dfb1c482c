"""The embed stage with a tiny real model and with a user's vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from tests.fakes import save, save_documents
from topicflow.configs.sections.embed import PrecomputedEmbed, SentenceTransformersEmbed, StaticEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding import embed as stage
from topicflow.tasks.encoding.embed import cut_texts, embed, embed_texts, text_parts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import SentenceTransformersEncoder, load_encoder
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

TEXTS = ["ab cd", "a", "zz " * 30, "ab cd", *(f"w{i} x{i * 7}" for i in range(40))]
RUNTIME = RuntimeConfig(device="cpu")


def run(store: ArtifactStore, documents: ArtifactRef, tiny: Path, **config: object) -> ArtifactRef:
    return embed.fn(
        Context(store, runtime=RUNTIME), documents, SentenceTransformersEmbed(model=str(tiny), **config)
    )


def take(store: ArtifactStore, documents: ArtifactRef, **config: str) -> ArtifactRef:
    return embed.fn(
        Context(store, runtime=RUNTIME), documents, PrecomputedEmbed(method="precomputed", **config)
    )


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the model has embedded."""
    asked: list[str] = []
    encode = SentenceTransformersEncoder.encode

    def counted(self: SentenceTransformersEncoder, texts: list[str]) -> object:
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(SentenceTransformersEncoder, "encode", counted)
    return asked


def test_documents_become_unit_vectors_in_their_order(store: ArtifactStore, tiny: Path) -> None:
    from sentence_transformers import SentenceTransformer

    made = run(store, save_documents(store, TEXTS), tiny)
    found = store.array(made, "embeddings")
    assert (found.shape, found.dtype, made.rows) == ((44, 32), np.float32, 44)
    expected = SentenceTransformer(str(tiny)).encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    meta = store.meta(made)
    assert meta["n_embedded"] == 43
    assert meta["truncated_share"] == 1 / 44  # 62 pieces against 16
    assert (meta["n_cut"], meta["max_tokens"]) == (1, 16)
    assert [TEXTS[row] for row in np.flatnonzero(cut_texts(store, made))] == [max(TEXTS, key=len)]
    short = run(store, save_documents(store, ["a", "b"], name="short"), tiny)
    assert not cut_texts(store, short).any()
    assert not store.path(short, "cut.npy").exists()
    assert (meta["device"], meta["precision"], meta["revision"]) == ("cpu", "float32", "local")


def test_a_second_run_is_a_hit_and_appended_documents_are_embedded_alone(
    store: ArtifactStore, tiny: Path, encoded: list[str]
) -> None:
    documents = save_documents(store, TEXTS)
    made = run(store, documents, tiny)
    assert not made.cached
    assert len(encoded) == 43
    again = embed.fn(Context(store, runtime=RUNTIME), documents, SentenceTransformersEmbed(model=str(tiny)))
    assert (again.cached, again) == (True, made)
    grown = run(store, save_documents(store, [*TEXTS, "new", "newer"], name="grown"), tiny)
    assert sorted(encoded[43:]) == ["new", "newer"]
    np.testing.assert_array_equal(store.array(grown, "embeddings")[:44], store.array(made, "embeddings"))


def test_an_interrupted_run_taken_up_again_gives_the_same_bits(
    store: ArtifactStore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stage.CHUNK_TEXTS, "cpu", 10)
    whole = ArtifactStore(store.root.with_name("whole"))
    expected = whole.array(run(whole, save_documents(whole, TEXTS), tiny), "embeddings")
    documents = save_documents(store, TEXTS)
    encode, calls = SentenceTransformersEncoder.encode, iter(range(100))

    def killed(self: SentenceTransformersEncoder, texts: list[str]) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return encode(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformersEncoder, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            run(store, documents, tiny)
    made = run(store, documents, tiny)
    assert store.meta(made)["n_embedded"] == 23
    np.testing.assert_array_equal(store.array(made, "embeddings"), expected)
    assert store.meta(made)["chunks"] == whole.meta(run(whole, save_documents(whole, TEXTS), tiny))["chunks"]


def test_a_changed_config_is_another_artifact(store: ArtifactStore, tiny: Path) -> None:
    documents = save_documents(store, TEXTS[:5])
    made = [
        run(store, documents, tiny),
        run(store, documents, tiny, prompt="p : "),
        run(store, documents, tiny, max_seq_length=8),
    ]
    assert len({ref.key for ref in made}) == 3
    first, second, third = (np.array(store.array(ref, "embeddings")) for ref in made)
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(first[2] - third[2]).max() > 1e-3  # the long text is cut sooner
    np.testing.assert_allclose(first[1], third[1], atol=1e-6)


def test_texts_come_in_parts_of_the_size_asked(store: ArtifactStore) -> None:
    documents = save_documents(store, TEXTS)
    parts = list(text_parts(store, documents, rows=10))
    assert [len(part) for part in parts] == [10, 10, 10, 10, 4]
    assert [text for part in parts for text in part] == TEXTS


# --- vectors that the user has ---


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_npy_file_is_taken_as_it_is(store: ArtifactStore, vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors)
    documents = save_documents(store, TEXTS[:6])
    made = take(store, documents, path=str(tmp_path / "v.npy"))
    np.testing.assert_allclose(store.array(made, "embeddings"), unit(vectors), atol=1e-6)
    (tmp_path / "v.npy").rename(tmp_path / "moved.npy")
    again = take(store, documents, path=str(tmp_path / "moved.npy"))
    assert (again, again.cached) == (made, True)  # the file's bytes are in the key, not its name
    np.save(tmp_path / "moved.npy", -vectors)
    assert take(store, documents, path=str(tmp_path / "moved.npy")) != made


def fortran(path: Path, vectors: np.ndarray) -> None:
    np.save(path, np.asfortranarray(vectors))


def tensors(path: Path, vectors: np.ndarray, dtype: torch.dtype = torch.float32, **more: np.ndarray) -> None:
    save_file({"embeddings": torch.tensor(vectors).to(dtype), **more}, path)


@pytest.mark.parametrize(
    ("name", "write", "tolerance"),
    [
        ("v.npy", lambda path, vectors: np.save(path, vectors.astype(np.float16)), 1e-3),
        ("v.npy", lambda path, vectors: np.save(path, vectors.astype(np.float64)), 1e-6),
        ("v.npy", lambda path, vectors: np.save(path, vectors.astype(">f4")), 1e-6),
        ("v.npy", fortran, 1e-6),
        ("v.npz", np.savez, 1e-6),
        (
            "v.npz",
            lambda path, vectors: np.savez_compressed(path, ids=np.arange(6), embeddings=vectors),
            1e-6,
        ),
        ("v.safetensors", tensors, 1e-6),
        ("v.safetensors", lambda path, vectors: tensors(path, vectors, torch.float16), 1e-3),
        (
            "v.safetensors",
            lambda path, vectors: tensors(path, vectors, torch.bfloat16, ids=torch.ones(2)),
            1e-2,
        ),
    ],
)
def test_vectors_of_any_float_type_and_file_are_unit_float32(
    store: ArtifactStore,
    vectors: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path, np.ndarray], None],
    tolerance: float,
) -> None:
    monkeypatch.setattr(stage, "_VECTOR_ROWS", 4)
    write(tmp_path / name, vectors)
    made = store.array(take(store, save_documents(store, TEXTS[:6]), path=str(tmp_path / name)), "embeddings")
    np.testing.assert_allclose(made, unit(vectors), atol=tolerance)
    np.testing.assert_allclose(
        np.linalg.norm(made, axis=1), 1.0, atol=1e-6
    )  # never divided in half precision
    assert made.dtype == np.dtype("<f4")


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.safetensors"])
def test_a_broken_file_of_vectors_is_one_line(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no vectors at all")
    with pytest.raises(DataError, match=rf"^embed: .*{name} is not a ") as error:
        take(store, save_documents(store, TEXTS[:6]), path=str(tmp_path / name))
    assert "\n" not in str(error.value)
    if name == "v.npz":
        np.savez(tmp_path / name, a=np.ones(2), b=np.ones(2))
        with pytest.raises(DataError, match="holds the arrays 'a', 'b'; expected one array"):
            take(store, save_documents(store, TEXTS[:6]), path=str(tmp_path / name))


@pytest.mark.parametrize("form", ["[{}]", "{}", "({})", "[ {} ]"])
@pytest.mark.parametrize("mark", [", ", " ", ";", ",", "\n "])
def test_vectors_in_texts_are_read(store: ArtifactStore, vectors: np.ndarray, form: str, mark: str) -> None:
    texts = [form.format(mark.join(f"{value:.8e}" for value in row)) for row in vectors.tolist()]
    made = take(store, save_documents(store, TEXTS[:6], v=texts), column="v")
    np.testing.assert_allclose(store.array(made, "embeddings"), unit(vectors), atol=1e-6)


def test_rows_of_dropped_documents_are_left_out(
    store: ArtifactStore, vectors: np.ndarray, tmp_path: Path
) -> None:
    vectors[1] = 0.0  # as an encoder gives for an empty text
    np.save(tmp_path / "v.npy", vectors)
    documents = save_documents(store, TEXTS[:6])
    table = store.table(documents, "documents").collect()
    meta = store.manifest("documents", documents.key)["meta"]
    kept = save(
        store, "documents", {"documents": table.filter(pl.col("row") != 1)}, meta, "without empty texts"
    )
    made = take(store, kept, path=str(tmp_path / "v.npy"))
    np.testing.assert_allclose(
        store.array(made, "embeddings"), unit(np.delete(vectors, 1, axis=0)), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.Array(pl.Float32, 4), pl.List(pl.Float16)])
def test_a_column_is_taken_as_it_is(store: ArtifactStore, vectors: np.ndarray, dtype: pl.DataType) -> None:
    documents = save_documents(store, TEXTS[:6], v=pl.Series(vectors.tolist(), dtype=dtype))
    made = take(store, documents, column="v")
    tolerance = 1e-3 if dtype.inner == pl.Float16 else 1e-6
    np.testing.assert_allclose(store.array(made, "embeddings"), unit(vectors), atol=tolerance)
    assert take(store, documents, column="v").cached


def bad_column(values: list[object], dtype: pl.DataType | None = None) -> pl.Series:
    return pl.Series("v", values, dtype=dtype, strict=False)


@pytest.mark.parametrize(
    ("column", "line"),
    [
        (bad_column([1.0, 2.0]), "column 'v' is Float64, expected a list of floats"),
        (
            bad_column(["[1.0, 2.0]", "[1.0, two]"]),
            "column 'v' contains '[1.0, two]', expected a list of floats",
        ),
        (bad_column([["a"], ["b"]]), "column 'v' is List(String), expected a list of floats"),
        (
            bad_column([[1.0, 2.0], None]),
            "column 'v' contains 1 nulls and 2 widths, expected vectors of one width",
        ),
        (
            bad_column([[1.0, 2.0], [1.0]]),
            "column 'v' contains 0 nulls and 2 widths, expected vectors of one width",
        ),
        (bad_column([[1.0, None], [1.0, 1.0]]), "column 'v' row 0 contains NaN or infinite values"),
        (bad_column([[1.0], [0.0]]), "column 'v' row 1 contains only zeros"),
        (bad_column([[], []], pl.List(pl.Float32)), "column 'v' row 0 contains only zeros"),
    ],
)
def test_a_bad_column_is_one_line(store: ArtifactStore, column: pl.Series, line: str) -> None:
    documents = save_documents(store, TEXTS[:2], v=column)
    with pytest.raises(DataError) as error:
        take(store, documents, column="v")
    assert str(error.value).startswith(f"embed: {line}")


def test_a_missing_column_lists_those_there_are(store: ArtifactStore) -> None:
    documents = save_documents(store, TEXTS[:2], v=[[1.0], [2.0]])
    with pytest.raises(DataError, match=r"^embed: no column 'w' \(embed.column\); there are: 'text', 'v'$"):
        take(store, documents, column="w")


def test_a_missing_file_is_one_line_and_leaves_nothing(
    store: ArtifactStore, vectors: np.ndarray, tmp_path: Path
) -> None:
    documents = save_documents(store, TEXTS[:6])
    with pytest.raises(
        DataError, match=r"v\.npy: no such file or directory; set embed\.path to a \.npy file$"
    ):
        take(store, documents, path=str(tmp_path / "v.npy"))
    for content in (b"", b"a,b\n1,2\n"):
        (tmp_path / "v.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"v\.npy is not a \.npy array .*write it with numpy\.save$"):
            take(store, documents, path=str(tmp_path / "v.npy"))
    np.save(tmp_path / "v.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"v\.npy is not a \.npy array"):
        take(store, documents, path=str(tmp_path / "v.npy"))
    np.save(tmp_path / "v.npy", vectors[:4])
    with pytest.raises(DataError, match=r"v\.npy has 4 rows, expected 6 as in the input"):
        take(store, documents, path=str(tmp_path / "v.npy"))
    assert not (store.root / "embeddings").exists()


def test_static_vectors_are_in_the_store_once(store: ArtifactStore, tiny: Path) -> None:
    texts = [*TEXTS, *TEXTS]
    documents = save_documents(store, texts)
    config = StaticEmbed(method="static", model=str(tiny), dim=8)
    found = embed.fn(Context(store, runtime=RUNTIME), documents, config)
    made = found
    encoder = load_encoder(find_encoder(config, "cpu"), config)
    np.testing.assert_array_equal(store.array(made, "embeddings"), encoder.encode(texts)[0])
    meta = store.meta(made)
    assert (meta["n_embedded"], meta["chunks"], meta["n_cut"]) == (len(texts), [], 0)
    asked = pl.Series(["a new text", "ab cd"])
    np.testing.assert_array_equal(
        embed_texts(store, asked, config, RUNTIME), encoder.encode(asked.to_list())[0]
    )
    assert not [kind for kind in store.root.iterdir() if kind.name.startswith("vectors-")]
