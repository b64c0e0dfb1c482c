"""Stop words: languages by name and code, marks and apostrophes, lists that are completed, languages of the texts."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from tests.fakes import counted, save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.count import count, counted_with, read_counts
from topicflow.tasks.topics.stop_words import detect_languages, languages, stop_words, with_languages

GERMAN = [f"Das Haus und der Garten sind schön, und die Nachbarn sind nicht laut, {i}" for i in range(30)]
ENGLISH = [f"The house and the garden are nice, and the neighbours are not loud, {i}" for i in range(30)]


def words_of(text: str, **config: Any) -> list[str]:
    return sorted(counted([[text]], CountConfig(**config))[1])


@pytest.mark.parametrize(
    ("language", "text", "left"),
    [
        ("english", "It isn't, they’ve, DON'T garden", ["garden"]),
        ("hi", "आधुनिक मानक हिन्दी की और में", ["आधुनिक", "मानक", "हिन्दी"]),
        ("arabic", "في البيت الكبير على إلى مِنْ", ["البيت", "الكبير"]),
        ("tr", "altmış ve İstanbul bazı", ["istanbul"]),
        ("tamil", "ஒரு மொழி மற்றும் இந்த", ["மொழி"]),
        ("my", "သည် မြန်မာ", ["မြန်မာ"]),
        ("urdu", "کے اردو میں", ["اردو"]),
        ("french", "l'école n'est qu'un aujourd'hui", ["aujourd'hui", "école"]),
    ],
)
def test_function_words_are_left_out_with_their_marks_and_apostrophes(
    language: str, text: str, left: list[str]
) -> None:
    assert words_of(text, stop_words=language) == left


def test_a_language_has_a_name_and_a_code() -> None:
    assert stop_words(CountConfig(stop_words="de")) == stop_words(CountConfig(stop_words="german"))
    both = stop_words(CountConfig(stop_words=["de", "th"]))
    assert {"und", "และ"} <= set(both)


@pytest.mark.parametrize("name", sorted(languages().values()))
def test_every_listed_language_has_words(name: str) -> None:
    assert len(stop_words(CountConfig(stop_words=name))) >= 20


def test_the_languages_of_the_texts_are_found_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "topicflow"):
        assert detect_languages([*GERMAN, *ENGLISH[:20], ""]) == ["german", "english"]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == "count: stop words of german, english, the languages found in 50 documents"


def test_the_stage_leaves_out_the_words_of_the_languages_found(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "topicflow")
    documents = save_documents(store, [*GERMAN, *ENGLISH])
    config = CountConfig(stop_words="auto")
    made = count.fn(Context(store), documents, config)
    words = set(read_counts(store, made)[1])
    assert {"haus", "garten", "house", "garden"} <= words
    assert not {"und", "das", "the", "and"} & words
    assert set(counted_with(store, made, config).stop_words) == {"german", "english"}
    assert any("the languages found in 60 documents" in record.getMessage() for record in caplog.records)


def test_named_languages_stay_beside_those_found() -> None:
    assert with_languages(CountConfig(stop_words=["auto", "latin"]), ["german"]).stop_words == (
        "latin",
        "german",
    )
    assert with_languages(CountConfig(stop_words="auto"), []).stop_words == "none"


def test_without_the_detector_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)  # as if it were not installed
    with pytest.raises(ConfigError) as error:
        detect_languages(["a text"])
    assert str(error.value) == (
        "count.stop_words: 'auto' needs the package py3langid, which is not installed; install it with: "
        "pip install 'topicflow[words]', or name the languages"
    )
