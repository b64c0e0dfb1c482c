"""Words: one definition for every script, against sentences cut by hand; composed forms, names, segmenters."""

from __future__ import annotations

import logging
import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topicflow.tasks.core.duplicates.minhash import shingled
from topicflow.tasks.core.words import segmenters
from topicflow.tasks.core.words.cutting import COMPARED, KEYWORDS, WordRule, ranges_of, whole_words
from topicflow.tasks.core.words.letters import special_points
from topicflow.tasks.core.words.word_kernels import LONGEST, find_special
from topicflow.tasks.core.words.word_pattern import nearest_pattern
from topicflow.tasks.execution.word_pairs import say_if_pairs_were_used

SENTENCES = {
    "hindi": ("आधुनिक मानक हिन्दी की लिपि देवनागरी है।", "आधुनिक मानक हिन्दी की लिपि देवनागरी है"),
    "bengali": ("বাংলা ভাষার ব্যঞ্জনবর্ণ এবং হ্রস্ব স্বর", "বাংলা ভাষার ব্যঞ্জনবর্ণ এবং হ্রস্ব স্বর"),
    "tamil": ("தமிழ் மொழி மிகவும் பழமையானது", "தமிழ் மொழி மிகவும் பழமையானது"),
    "telugu": ("తెలుగు భాష ద్రావిడ కుటుంబానికి చెందినది", "తెలుగు భాష ద్రావిడ కుటుంబానికి చెందినది"),
    "gujarati": ("ગુજરાતી ભાષાની લિપિ", "ગુજરાતી ભાષાની લિપિ"),
    "punjabi": ("ਪੰਜਾਬੀ ਬੋਲੀ", "ਪੰਜਾਬੀ ਬੋਲੀ"),
    "malayalam": ("മലയാളം ഭാഷ", "മലയാളം ഭാഷ"),
    "sinhala": ("ශ්‍රී ලංකාව", "ශ්‍රී ලංකාව"),
    "arabic": ("اللُّغَةُ العَرَبِيَّةُ جَمِيلَةٌ", "اللغة العربية جميلة"),
    "hebrew": ("שָׁלוֹם עוֹלָם, צה״ל", "שלום עולם צה״ל"),
    "persian": ("می‌خواهم کتاب‌ها را بخوانم", "می‌خواهم کتاب‌ها را بخوانم"),
    "urdu": ("اُردو زبان بہت میٹھی ہے", "اردو زبان بہت میٹھی ہے"),
    "thai": ("ภาษาไทยเป็นภาษาที่สวยงาม", "ภาษา ไทย เป็น ภาษา ที่ สวยงาม"),
    "lao": ("ພາສາລາວເປັນພາສາຂອງປະເທດລາວ", "ພາສາ ລາວ ເປັນ ພາສາ ຂອງ ປະເທດ ລາວ"),
    "khmer": ("ភាសាខ្មែរជាភាសារបស់ប្រទេសកម្ពុជា", "ភាសាខ្មែរ ជា ភាសា របស់ ប្រទេស កម្ពុជា"),
    "burmese": ("မြန်မာစာသည်ဘာသာစကားဖြစ်သည်", "မြန်မာ စာ သည် ဘာသာစကား ဖြစ်သည်"),
    "tibetan": ("བོད་ཀྱི་སྐད་ཡིག", "བོད ཀྱི སྐད ཡིག"),
    "chinese": ("我喜欢猫和机器学习。", "我 喜欢 猫 和 机器 学习"),
    "japanese": ("東京タワーで新しい本を買いました。", "東京 タワー 新しい 本 買い まし"),
    "korean": ("나는 새 책을 읽었다. 집", "나는 새 책을 읽었다 집"),
    "turkish": ("İstanbul'da IŞIK ve İZMİR güzel", "istanbul da işik ve izmir güzel"),
    "greek": ("Ο ΛΟΓΟΣ του Σωκράτη είναι σοφός", "λογος του σωκράτη είναι σοφός"),
    "russian": ("Ёлка стоит в юго‑западной комнате", "ёлка стоит юго-западной комнате"),
    "ukrainian": ("П'ять м’ячів і об'єкт", "п'ять м'ячів об'єкт"),
    "german": ("Straße und Größe: die E-Mail-Adresse", "straße und größe die e-mail-adresse"),
    "french": ("L’état n'est pas aujourd'hui à l'école", "état est pas aujourd'hui école"),
    "italian": ("Dell'arte e della città perché", "dell arte della città perché"),
    "spanish": ("¿Dónde está el niño? ¡Aquí!", "dónde está el niño aquí"),
    "vietnamese": ("Tiếng Việt có sáu thanh điệu", "tiếng việt có sáu thanh điệu"),
    "amharic": ("ሰላም ለኢትዮጵያ፤ አማርኛ", "ሰላም ለኢትዮጵያ አማርኛ"),
    "english": (
        "They've shown it isn't the dog's X-ray; don't panic",
        "they shown it isn't the dog x-ray don't panic",
    ),
    "uzbek": ("O‘zbek tili va g'alaba", "o'zbek tili va g'alaba"),
    "swahili": ("Ng'ombe wa Ng'ambo", "ng'ombe wa ng'ambo"),
    "catalan": ("col·lecció d'il·lusions", "col·lecció il·lusions"),
    "georgian": ("ᲥᲐᲠᲗᲣᲚᲘ ენა", "ქართული ენა"),
    "armenian": ("Հայոց ԼԵԶՈՒ", "հայոց լեզու"),
}
"""Sentences of languages, and the words that are counted in them, cut by hand."""

UNSPACED = {"thai", "lao", "khmer", "burmese", "chinese", "japanese"}
ICU = pytest.mark.skipif(
    not all(map(segmenters.optional_version, segmenters.PACKAGES)),
    reason="the segmenters are not installed: the extra `words`",
)
TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("aAnNtTsSoO.'’&+#-_ ·ΣσİiIéЖя\u0301\u0307\u0323\u093c\u200d\u00adनरकदिبָ猫日本ดี한ᄒ"),
    ),
    max_size=30,
)


def cut(text: str, rule: WordRule = KEYWORDS) -> list[str]:
    return rule.cut([text]).words()


@ICU
@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_cut_as_by_hand(language: str) -> None:
    sentence, words = SENTENCES[language]
    assert cut(sentence) == words.split(" ")


@pytest.mark.parametrize("language", sorted(set(SENTENCES) - UNSPACED))
def test_composed_and_decomposed_texts_have_the_same_words(language: str) -> None:
    sentence, words = SENTENCES[language]
    for form in ("NFC", "NFD"):
        assert cut(unicodedata.normalize(form, sentence)) == words.split(" ")


def test_indian_words_are_whole_and_differ_by_their_vowel_signs() -> None:
    assert cut("आधुनिक मानक हिन्दी") == ["आधुनिक", "मानक", "हिन्दी"]
    shingles, ranges = shingled(["मेरा दिन अच्छा था", "मेरी दान अच्छे थे", "मेरा दिन अच्छा था।"], 1)
    first, second, third = (set(shingles[a:b].tolist()) for a, b in pairwise(ranges.tolist()))
    assert len(first) == len(second) == 4
    assert not first & second
    assert first == third


@pytest.mark.parametrize("text", ["İstanbul", "i\u0307stanbul", "I\u0307STANBUL", "istanbul"])
def test_the_dotted_capital_is_an_i(text: str) -> None:
    assert cut(text) == ["istanbul"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("C++, C# and .NET", ["c++", "c#", "and", ".net"]),
        ("AT&T, R&D; Q&A", ["at&t", "r&d", "q&a"]),
        ("F1 in 4K", ["f1", "in", "4k"]),
        ("A&amp;B &nbsp;x", ["amp", "nbsp"]),  # entities that are left over are no names
        ("ASP.NET, amazon.net", ["asp", "net", "amazon", "net"]),
        ("issue#12 C#7 1+2 a+b", ["issue", "12"]),
        ("?a=1&b=22", ["22"]),
        ("well--known n_samples __init__ x_", ["well", "known", "n_samples", "init"]),
        ("co\u00adop\u200bera\ufefftion", ["coop", "eration"]),
    ],
)
def test_names_with_signs(text: str, words: list[str]) -> None:
    assert cut(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("they've we'll you're I'd it's I'm dog's dogs'", "they we you it dog dogs"),
        ("didn't isn’t CAN'T do n't it 's", "didn't isn't can't do n't it"),
        ("d'Artagnan l'eau O'Brien rock'n'roll 'quoted'", "artagnan eau o'brien rock roll quoted"),
        ("шість м'ячів", "шість м'ячів"),
    ],
)
def test_halves_of_contractions_are_not_words(text: str, words: str) -> None:
    assert cut(text) == words.split()


def test_search_has_single_letters_and_parts_of_compounds() -> None:
    assert cut("Vitamin C by X-ray, in R", COMPARED) == ["vitamin", "c", "by", "x", "ray", "in", "r"]
    assert cut("Vitamin C by X-ray, in R") == ["vitamin", "by", "x-ray", "in"]


def test_case_is_kept_where_it_is_asked_for() -> None:
    assert cut("ΛΟΓΟΣ Straße İzmir", WordRule(hyphens=True, shortest=2, lowercase=False)) == [
        "ΛΟΓΟΣ",
        "Straße",
        "İzmir",
    ]


@pytest.mark.parametrize("letter", ["a", "é", "क", "한"])
def test_long_runs_are_bounded(letter: str) -> None:
    found = cut(letter * (2 * LONGEST + 5))
    assert [len(word) for word in found] == [LONGEST, LONGEST, 5]


@ICU
def test_a_long_run_without_spaces_is_bounded() -> None:
    found = cut("猫" * 5000)
    assert "".join(found) == "猫" * 5000
    assert max(map(len, found)) <= LONGEST


@ICU
def test_a_text_of_several_scripts_is_cut_by_run() -> None:
    assert cut("用Python学习機械ภาษาไทย2024年") == [
        "用",
        "python",
        "学习",
        "機械",
        "ภาษา",
        "ไทย",
        "2024",
        "年",
    ]


def test_without_the_package_pairs_of_letters_are_words_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(segmenters, "_is_installed", lambda *_: False)
    assert cut("我喜欢猫。ที่นี่ดี", COMPARED) == ["我喜", "喜欢", "欢猫", "ที่นี่", "นี่ดี"]
    assert cut("猫", COMPARED) == ["猫"]
    with caplog.at_level(logging.WARNING, "topicflow"):
        say_if_pairs_were_used("count")
        say_if_pairs_were_used("count")
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == (
        "count: the texts contain Chinese, Japanese, Thai, Lao, Khmer or Burmese, and icu4py is not installed; pairs "
        "of letters are used as words; install it with: pip install 'topicflow[words]'"
    )


def test_without_the_package_texts_of_other_scripts_need_no_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(segmenters, "_is_installed", lambda *_: False)
    cut("मानक हिन्दी, 한국어 and English")
    say_if_pairs_were_used("count")
    assert caplog.records == []


@settings(max_examples=500, deadline=None)
@given(TEXTS)
@example("ÿ\u0323")
def test_texts_that_are_not_composed_are_found(text: str) -> None:
    encoded = text.encode()
    special = find_special(np.frombuffer(encoded, np.uint8), ranges_of([len(encoded)]), *special_points())
    composed = unicodedata.is_normalized("NFC", text)
    assert composed or special[0] & 1


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_a_word_that_was_found_is_itself_one_word(text: str) -> None:
    words = cut(text)
    assert whole_words(KEYWORDS, words) == words


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_texts_together_have_the_words_of_each(texts: list[str]) -> None:
    together = COMPARED.cut(texts)
    assert together.words() == [word for text in texts for word in cut(text, COMPARED)]
    assert np.diff(together.ranges).tolist() == [len(cut(text, COMPARED)) for text in texts]


@pytest.mark.parametrize(
    "language", sorted(set(SENTENCES) - UNSPACED - {"arabic", "hebrew", "urdu", "korean", "swahili"})
)
def test_the_nearest_pattern_finds_the_same_words(language: str) -> None:
    sentence, words = SENTENCES[language]
    text = (
        sentence.lower().replace("i\u0307", "i").translate({ord(each): "'" for each in "‘’"} | {0x2011: "-"})
    )
    pieces = {"ve"} if language == "english" else set()  # the model card says so
    assert [word for word in re.findall(nearest_pattern(), text) if word not in pieces] == words.split(" ")
