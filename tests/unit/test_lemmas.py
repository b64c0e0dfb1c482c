"""Inflections: all forms of a word are counted as one, in the form that texts use most; the same in parts."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests.fakes import save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.topics import count_parts, recipes
from topicflow.tasks.topics.count import count, read_counts, save_counts
from topicflow.tasks.topics.tokenization import vocabulary_of

TEXTS = [
    "The diaper was cheap; diapers are cheap.",
    "Machine learning: machines learn, and learning goes on",
    "Diapers, diapers!",
    "Learning from mice, and a mouse learned",
]
ENGLISH = CountConfig(lemmas=("en",))


def counted(store: ArtifactStore, config: CountConfig, texts: list[str] = TEXTS) -> dict[str, list[int]]:
    """Return how often each word occurs in each text."""
    documents = save_documents(store, texts)
    made = count.fn(Context(store, runtime=RuntimeConfig(n_threads=1)), documents, config)
    matrix, words = read_counts(store, made)
    assert words == sorted(words)
    return dict(zip(words, matrix.toarray().T.tolist(), strict=True))


def test_forms_are_one_word_in_the_most_frequent_form(store: ArtifactStore) -> None:
    assert counted(store, ENGLISH) == {
        "cheap": [2, 0, 0, 0],
        "diapers": [2, 0, 2, 0],  # three times with s, once without
        "goes": [0, 1, 0, 0],
        "learning": [0, 3, 0, 2],  # learn, learned and learning
        "machine": [0, 2, 0, 0],  # as often as machines: the first by letters
        "mice": [0, 0, 0, 2],
    }


def test_phrases_have_the_shown_forms_of_their_words(store: ArtifactStore) -> None:
    found = counted(store, CountConfig(lemmas=("en",), ngram_range=(2, 2)))
    assert found["machine learning"] == [0, 2, 0, 0]  # machines learn is the same phrase


def test_languages_are_looked_at_in_order(store: ArtifactStore) -> None:
    found = counted(
        store, CountConfig(lemmas=("de", "en"), stop_words="none"), ["Kinder und ein Kind, Kinder, houses"]
    )
    assert found == {"ein": [1], "houses": [1], "kinder": [3], "und": [1]}


def test_parts_on_workers_give_the_same_bits(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_parts, "PART_ROWS", 1)
    documents, runtime = save_documents(store, TEXTS), RuntimeConfig(n_threads=1)
    here = count.fn(Context(store, runtime=runtime), documents, ENGLISH)
    parts = count_parts.make_tallies(store, documents, ENGLISH, runtime)
    assert len(parts) == 4
    recipe = Recipe("count", "counts", 99)
    with store.writing(recipe) as writer:
        save_counts(writer, *count_parts.join_tallies(store, parts, ENGLISH), n_docs=len(TEXTS))
    there = store.committed(recipe, writer)
    (matrix, words), (other, other_words) = read_counts(store, here), read_counts(store, there)
    assert words == other_words
    assert (matrix != csr_matrix(other)).nnz == 0


def test_a_word_of_one_form_only_is_not_changed(store: ArtifactStore, tmp_path: Path) -> None:
    texts = ["C++ isn't मानक", "x-ray F1"]
    plain, joined = (
        counted(store, CountConfig(), texts),
        counted(ArtifactStore(tmp_path / "other"), ENGLISH, texts),
    )
    assert plain == joined


def test_without_lemmas_the_key_is_that_of_earlier_versions() -> None:
    assert "lemmas" not in recipes.count(CountConfig(), "texts").config
    assert recipes.count(ENGLISH, "texts").config["lemmas"] == ["en"]
    assert "simplemma" in recipes.count(ENGLISH, "texts").identity


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simplemma", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"^count.lemmas needs the package simplemma.*remove count.lemmas$"):
        vocabulary_of(ENGLISH)


def test_a_language_that_is_not_there_is_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^count\.lemmas: .*xx.*; name languages by codes such as en, de, fr$"
    ):
        vocabulary_of(CountConfig(lemmas=("xx",)))


def test_a_pattern_of_your_own_has_no_lemmas() -> None:
    with pytest.raises(
        ValueError, match="lemmas joins the words of the default rule; remove token_pattern or lemmas"
    ):
        CountConfig(lemmas=("en",), token_pattern=r"\w+")


def test_numbers_do_not_depend_on_slices() -> None:
    whole, sliced = vocabulary_of(ENGLISH), vocabulary_of(ENGLISH)
    everything = whole.words(np.unique(whole.number(whole.cut(TEXTS))[0])).to_list()
    numbers = np.concatenate([sliced.number(sliced.cut([text]))[0] for text in TEXTS])
    assert sorted(sliced.words(np.unique(numbers)).to_list()) == sorted(everything)
