"""Word forms: forms of one word are found in names, different words and other scripts are left alone."""

import pytest

from topicflow.tasks.core.words.keywords import distinct_names
from topicflow.tasks.core.words.word_forms import are_forms, without_forms


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("diaper", "diapers"), ("dvd", "DVDs"), ("pc", "pcs"), ("city", "cities"), ("movie", "movies"),
        ("box", "boxes"), ("hero", "heroes"), ("award", "award's"), ("award", "award\u2019s"), ("play", "played"),
        ("played", "playing"), ("ride", "riding"), ("rides", "riding"), ("plan", "planned"), ("run", "running"),
        ("used", "uses"), ("maison", "maisons"), ("libro", "libros"), ("élève", "élèves"),
        ("hard drive", "hard drives"), ("algebra", "algebras"), ("matrix", "matrices"), ("index", "indices"),
        ("analysis", "analyses"), ("service", "services"),
    ],
)  # fmt: skip
def test_forms_of_one_word(word: str, other: str) -> None:
    assert are_forms(word, other)
    assert are_forms(other, word)


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("new", "news"), ("good", "goods"), ("arm", "arms"), ("pas", "pass"), ("princes", "princess"), ("fee", "feed"),
        ("k", "king"), ("plan", "planes"), ("car", "card"), ("universe", "university"), ("atheism", "atheist"),
        ("drive", "hard drive"), ("drive", "hard drives"), ("haus", "häuser"), ("aid", "aids"), ("c", "c++"),
        ("do", "dog"), ("mix", "mices"),
        ("кот", "котs"), ("τόπος", "τόποςs"), ("猫", "猫s"), ("कमल", "कमलs"), ("", "s"),
    ],
)  # fmt: skip
def test_different_words(word: str, other: str) -> None:
    assert not are_forms(word, other)
    assert not are_forms(other, word)


def test_a_name_has_each_word_in_one_form_and_a_further_keyword_in_place_of_another_form() -> None:
    assert without_forms(["dvd", "play", "dvds", "player", "played"]) == ["dvd", "play", "player"]
    keywords = [["diaper", "diapers", "wipes", "baby", "wipe"], ["game", "games"], ["game", "gaming"]]
    assert distinct_names(keywords, 3) == ["diaper, wipes, baby", "game", "game (2)"]
    assert distinct_names([["news", "new", "猫", "猫s"]], 4) == ["news, new, 猫, 猫s"]
