"""Vectors: an encoder embeds one text only once; a kill loses one chunk; look-ups survive colliding digests."""

import numpy as np
import polars as pl
import pytest

from tests.fakes import HashEncoder
from topicflow.tasks.encoding.embed import check_vectors, embed_missing
from topicflow.tasks.encoding.vector_store import VectorStore, text_digests
from topicflow.tasks.errors import ArtifactError, DataError
from topicflow.tasks.runs.retention import list_artifacts
from topicflow.tasks.store.artifact_store import ArtifactStore

TEXTS = [f"word{i} " * (1 + i % 7) for i in range(100)]


def embed_all(store: ArtifactStore, texts: list[str], encoder: HashEncoder, chunk: int = 16) -> int:
    return embed_missing(pl.Series(texts), VectorStore(store, encoder.key), encoder, chunk, lambda _: None)


def vectors_of(store: ArtifactStore, texts: list[str], key: str = "hash") -> tuple[np.ndarray, np.ndarray]:
    vectors = VectorStore(store, key)
    places = vectors.locate(text_digests(texts))
    assert (places >= 0).all()
    out = np.empty((len(texts), vectors.dim), np.float32)
    return out, vectors.gather(places, out)


def chunks(store: ArtifactStore) -> dict[str, int]:
    return {artifact.key: artifact.rows for artifact in list_artifacts(store)}


def test_digests_are_blake2b_of_utf8_in_two_halves() -> None:
    import hashlib

    expected = hashlib.blake2b("naïve".encode(), digest_size=16).digest()
    found = text_digests(["", "naïve"])
    assert found.shape == (2, 2)
    assert found[1].astype("<u8").tobytes() == expected
    assert text_digests([]).shape == (0, 2)


def test_a_text_is_embedded_once_ever(store: ArtifactStore) -> None:
    encoder = HashEncoder()
    assert embed_all(store, TEXTS[:60], encoder) == 60
    assert embed_all(store, [*TEXTS[:60], *TEXTS[:60]], encoder) == 0
    assert embed_all(store, [*TEXTS[50:], TEXTS[0], *TEXTS[50:]], encoder) == 40
    assert sorted(encoder.texts) == sorted(TEXTS)
    other = HashEncoder(key="other")
    assert embed_all(store, TEXTS[:10], other) == 10


def test_vectors_come_back_in_the_order_asked_with_their_lengths(store: ArtifactStore) -> None:
    encoder = HashEncoder()
    embed_all(store, TEXTS, encoder)
    asked = [TEXTS[99], TEXTS[0], TEXTS[99], TEXTS[13]]
    vectors, n_tokens = vectors_of(store, asked)
    np.testing.assert_array_equal(vectors, HashEncoder().encode(asked)[0])
    assert n_tokens.tolist() == [len(text.split()) for text in asked]


def test_a_text_whose_chunk_is_gone_gets_no_other_vector(store: ArtifactStore) -> None:
    vectors = VectorStore(store, "hash")
    embed_missing(pl.Series(["red tea", "cat"]), vectors, HashEncoder(), 10, lambda _: None)
    places = vectors.locate(text_digests(pl.Series(["cat", "never seen"])))
    with pytest.raises(ArtifactError, match="the vectors of 1 texts are gone; run it again"):
        vectors.gather(places, np.empty((2, 16), np.float32))


def test_texts_are_embedded_in_order_of_length(store: ArtifactStore) -> None:
    encoder = HashEncoder()
    embed_all(store, TEXTS, encoder)
    lengths = [len(text.encode()) for text in encoder.texts]
    assert lengths == sorted(lengths)
    assert [len(call) for call in encoder.calls] == [16] * 6 + [4]


def test_the_order_and_chunks_do_not_depend_on_the_order_of_documents(store: ArtifactStore) -> None:
    first, second = HashEncoder(), HashEncoder(key="second")
    embed_all(store, TEXTS, first)
    embed_all(store, TEXTS[::-1], second)
    assert first.calls == second.calls


@pytest.mark.parametrize("n_done", [0, 1, 3, 6])
def test_a_killed_run_is_taken_up_at_the_same_chunks(store: ArtifactStore, n_done: int) -> None:
    whole = ArtifactStore(store.root.with_name("whole"))
    embed_all(whole, TEXTS, HashEncoder())
    killed = HashEncoder(fail_after=n_done)
    with pytest.raises(KeyboardInterrupt):
        embed_all(store, TEXTS, killed)
    assert len(killed.texts) == 16 * n_done
    resumed = HashEncoder()
    embed_all(store, TEXTS, resumed)
    assert not set(resumed.texts) & set(killed.texts)
    assert len(resumed.texts) == 100 - 16 * n_done
    assert chunks(store) == chunks(whole)
    np.testing.assert_array_equal(vectors_of(store, TEXTS)[0], vectors_of(whole, TEXTS)[0])


@pytest.mark.parametrize("how", ["cut", "gone", "manifest"])
def test_a_damaged_chunk_alone_is_computed_again(store: ArtifactStore, how: str) -> None:
    encoder = HashEncoder()
    embed_all(store, TEXTS, encoder)
    before = chunks(store)
    key = sorted(before)[2]
    folder = store.folder("vectors-hash", key)
    if how == "cut":
        (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:-4])
    elif how == "gone":
        (folder / "n_tokens.npy").unlink()
    else:
        (folder / "manifest.json").unlink()
    again = HashEncoder()
    assert embed_all(store, TEXTS, again) == before[key]
    assert chunks(store) == before
    np.testing.assert_array_equal(vectors_of(store, TEXTS)[0], HashEncoder().encode(TEXTS)[0])


def test_digests_with_equal_high_halves_are_distinguished(store: ArtifactStore) -> None:
    digests = np.array([[5, 3], [5, 1], [5, 2], [4, 9], [6, 1], [2**64 - 1, 7]], np.uint64)
    values = np.arange(6, dtype=np.float32)[:, None].repeat(2, axis=1)
    vectors = VectorStore(store, "planted")
    for rows in ([0, 3], [1, 4, 5], [2]):
        vectors.add(digests[rows], values[rows], np.array(rows, np.int32))
    for index in (vectors, VectorStore(store, "planted")):
        out = np.empty((6, 2), np.float32)
        assert index.gather(index.locate(digests), out).tolist() == [0, 1, 2, 3, 4, 5]
        np.testing.assert_array_equal(out, values)
        absent = np.array([[5, 4], [5, 0], [7, 1], [0, 0], [2**64 - 1, 8]], np.uint64)
        assert (index.locate(absent) == -1).all()


def test_an_index_takes_in_what_another_process_wrote(store: ArtifactStore) -> None:
    ours = VectorStore(store, "hash")
    assert ours.dim == 0
    embed_all(store, TEXTS, HashEncoder())
    assert (ours.locate(text_digests(TEXTS)) == -1).all()
    ours.refresh()
    assert (ours.locate(text_digests(TEXTS)) >= 0).all()
    assert ours.dim == 16


def test_locating_nothing_in_nothing(store: ArtifactStore) -> None:
    vectors = VectorStore(store, "hash")
    assert vectors.locate(text_digests([])).shape == (0, 2)
    assert vectors.locate(text_digests(["a"])).tolist() == [[-1, -1]]


# --- vectors that the user has ---


def test_given_vectors_become_unit_float32() -> None:
    found = check_vectors(np.array([[3.0, 4.0], [0.0, -2.0]]), 2, "v.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, -1.0]], atol=1e-7)


GOOD = np.ones((3, 2))


@pytest.mark.parametrize(
    ("vectors", "line"),
    [
        (np.ones(3), "has shape (3,) of float64, expected (rows, dim) of floats"),
        (np.ones((3, 2), int), "has shape (3, 2) of int64, expected (rows, dim) of floats"),
        (GOOD[:2], "has 2 rows, expected 3 as in the input: one vector for each row, in order"),
        (GOOD * [[1], [np.nan], [1]], "row 1 contains NaN or infinite values (1 such rows)"),
        (GOOD * [[1], [1], [np.inf]], "row 2 contains NaN or infinite values (1 such rows)"),
        (GOOD * [[1], [0], [0]], "row 1 contains only zeros (2 such rows)"),
        (np.ones((3, 0)), "row 0 contains only zeros (3 such rows)"),
    ],
)
def test_vectors_that_cannot_be_used_are_named(vectors: np.ndarray, line: str) -> None:
    with pytest.raises(DataError) as error:
        check_vectors(vectors, 3, "v.npy")
    assert str(error.value).startswith(f"embed: v.npy {line}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scale", [1e300, 1e30, 1e18, 1e-18, 1e-25, 1e-44, 1e-300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vectors_of_any_scale_are_numbers(scale: float, dtype: type) -> None:
    if not float(np.finfo(dtype).smallest_subnormal) < scale < float(np.finfo(dtype).max):
        pytest.skip("the type has no such number")
    given = np.array([[3.0, 4.0], [-5.0, 12.0]]) * [[scale], [1.0]]
    found = check_vectors(given.astype(dtype), 2, "v.npy")
    tolerance = 0.2 if (dtype, scale) == (np.float32, 1e-44) else 1e-6  # a subnormal has a digit or two
    np.testing.assert_allclose(found, [[0.6, 0.8], [-5 / 13, 12 / 13]], atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_vectors_of_ordinary_scale_keep_their_bits() -> None:
    given = np.random.default_rng(0).normal(size=(1000, 48)).astype(np.float32)
    expected = given / np.linalg.norm(given, axis=1)[:, None]
    np.testing.assert_array_equal(check_vectors(given, 1000, "v.npy"), expected)


def test_rows_that_are_not_documents_are_not_checked() -> None:
    vectors = GOOD * [[1], [np.nan], [0]]
    assert check_vectors(vectors, 3, "v.npy", np.array([0])).shape == (1, 2)
    with pytest.raises(DataError, match="row 2 contains only zeros"):
        check_vectors(vectors, 3, "v.npy", np.array([0, 2]))
