"""Types of the stored word counts: the smallest that holds the largest count; the same topics' words from each type."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests.fakes import counted, save, save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.postings import transpose_counts
from topicflow.tasks.core.words import counts as core_counts
from topicflow.tasks.core.words.counts import topic_counts
from topicflow.tasks.core.words.joined_counts import join_counts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.topics import count_parts
from topicflow.tasks.topics.count import count, read_counts, save_counts
from topicflow.tasks.topics.label import weigh_words

CONFIG = CountConfig(stop_words="none", min_df=1)
LABELS = np.array([0, 1, 0], np.int32)
ARRAYS = ("data", "indices", "indptr")


def texts_with(number: int) -> list[str]:
    """Return texts in one of which a word occurs this often."""
    return ["cat dog cat", "dog " * number + "cat", "bird"]


def stored(store: ArtifactStore, texts: list[str]) -> ArtifactRef:
    """Return the counts of texts."""
    documents = save_documents(store, texts, name=str(hash(tuple(texts))))
    made: ArtifactRef = count.fn(Context(store, runtime=RuntimeConfig(n_threads=1)), documents, CONFIG)
    return made


def joined_parts(store: ArtifactStore, parts: list[ArtifactRef], n_docs: int) -> ArtifactRef:
    """Return the counts of the documents of all parts."""
    recipe = Recipe("count", "counts", 99, {"parts": len(parts)})
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        save_counts(writer, *count_parts.join_tallies(store, parts, CONFIG), n_docs=n_docs)
    return store.committed(recipe, writer)


def of_version_2(store: ArtifactStore, ref: ArtifactRef) -> ArtifactRef:
    """Return the same counts as version 2 stored them."""
    arrays = {name: np.asarray(store.array(ref, name)) for name in ARRAYS}
    contents = {
        "data": arrays["data"].astype(np.int32), "indices": arrays["indices"],
        "indptr": arrays["indptr"].astype(np.int64), "words": store.table(ref, "words").collect(),
    }  # fmt: skip
    made = save(store, "counts", contents, name=f"version 2 of {ref.key}")
    return ArtifactRef("counts", made.key, "count", rows=ref.rows)


SIZES = pytest.mark.parametrize(
    ("number", "kind"),
    [(1, "uint8"), (255, "uint8"), (256, "uint16"), (65_535, "uint16"), (70_000, "int32")],
)


@SIZES
def test_the_largest_count_decides_the_type(store: ArtifactStore, number: int, kind: str) -> None:
    made = stored(store, texts_with(number))
    assert [store.array(made, name).dtype.name for name in ARRAYS] == [kind, "int32", "int32"]
    counts, words = read_counts(store, made)
    assert words == ["bird", "cat", "dog"]
    assert counts.toarray().tolist() == [[0, 2, 1], [0, 1, number], [1, 0, 0]]
    sums, _ = topic_counts(counts, np.zeros(3, np.int32), 0)
    assert sums.toarray().tolist() == [[1, 3, number + 1]]


@SIZES
def test_counts_of_version_2_give_the_same_words_bit_for_bit(
    store: ArtifactStore, number: int, kind: str
) -> None:
    now = stored(store, texts_with(number))
    before = of_version_2(store, now)
    assert (store.array(before, "data").dtype, store.array(now, "data").dtype) == (np.int32, kind)
    found, expected = (weigh_words(*read_counts(store, ref), LABELS, LabelConfig()) for ref in (now, before))
    assert found.candidates(10) == expected.candidates(10)
    for mine, theirs in ((found.weights, expected.weights), (found.scores, expected.scores)):
        for name in ARRAYS:
            assert getattr(mine, name).tobytes() == getattr(theirs, name).tobytes()


def test_a_batch_of_an_older_version_is_joined_with_one_of_today(store: ArtifactStore) -> None:
    refs = [stored(store, texts_with(number)) for number in (3, 300)]
    expected = np.vstack([read_counts(store, ref)[0].toarray().astype(np.int64) for ref in refs])
    for batches in (refs, [of_version_2(store, refs[0]), refs[1]], [refs[0], of_version_2(store, refs[1])]):
        joined, words = join_counts(read_counts(store, ref) for ref in batches)
        assert words == ["bird", "cat", "dog"]
        assert joined.toarray().tolist() == expected.tolist()


def test_parts_of_other_types_are_joined_to_what_one_process_writes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_parts, "PART_ROWS", 3)
    texts = [text for number in (2, 256, 70_000) for text in texts_with(number)]
    here = stored(store, texts)
    documents = save_documents(store, texts, name="in parts")
    parts = count_parts.make_tallies(store, documents, CONFIG, RuntimeConfig(n_threads=1))
    assert [store.array(part, "counts").dtype.name for part in parts] == ["uint8", "uint16", "int32"]
    for chosen in (parts, parts[:2], parts[:1]):
        n_docs = 3 * len(chosen)
        joined = joined_parts(store, chosen, n_docs)
        assert store.array(joined, "data").dtype == store.array(chosen[-1], "counts").dtype
        np.testing.assert_array_equal(
            read_counts(store, joined)[0].toarray(), read_counts(store, here)[0].toarray()[:n_docs]
        )
    whole = joined_parts(store, parts, 9)
    for name in ARRAYS:
        assert store.path(whole, f"{name}.npy").read_bytes() == store.path(here, f"{name}.npy").read_bytes()


def test_an_entry_takes_five_bytes_and_a_document_four(store: ArtifactStore) -> None:
    texts = [f"word{row % 7} term{row % 11}" for row in range(5000)]
    made = stored(store, texts)
    sizes = {name: store.path(made, f"{name}.npy").stat().st_size for name in ARRAYS}
    header = 128
    assert sizes == {"data": header + 10_000, "indices": header + 40_000, "indptr": header + 4 * 5001}


def test_more_entries_than_int32_counts_have_wide_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core_counts.offset_type(2**31 - 1) == "int32"
    assert core_counts.offset_type(2**31) == "int64"
    monkeypatch.setattr("topicflow.tasks.topics.count.offset_type", lambda _: "int64")
    counts, _ = counted([texts_with(2)], CONFIG)
    assert counts.toarray().tolist() == [[0, 2, 1], [0, 1, 2], [1, 0, 0]]


def test_postings_of_words_that_become_one_are_not_too_large_for_their_type() -> None:
    counts = csr_matrix(np.array([[200, 100], [0, 3]], np.uint8))
    found = transpose_counts(counts.data, np.zeros(3, np.int32), counts.indptr, 1)
    assert (found.counts.tolist(), found.lengths.tolist()) == ([300, 3], [300, 3])
    assert {found.counts.dtype, found.lengths.dtype} == {np.dtype(np.int32)}


def test_words_without_a_text_have_the_smallest_type() -> None:
    counts, words = counted([], CONFIG)
    assert (counts.dtype, words) == (np.uint8, [])
