"""Tokens: each text once, cut by the tokenizer's rule, and batches of one length that contain every row once."""

from pathlib import Path

import numpy as np
import pytest

from topicflow.tasks.encoding.tokens.tokenizer import LengthBatches, TextTokens, of_lists, token_matrix


@pytest.fixture(scope="module")
def backend(tiny: Path) -> object:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(tiny / "tokenizer.json"))


def test_ids_are_cut_and_lengths_are_not(backend: object) -> None:
    found, n_tokens = TextTokens(backend, "", 6)(["ab", "", "abcdefgh", "abcd"])
    ids = list(found)
    assert n_tokens.tolist() == [4, 2, 10, 6]
    assert [len(one) for one in ids] == [4, 2, 6, 6]
    assert ids[2] == ids[3]  # the closing mark is kept, the letters beyond the fourth are not
    again, _ = TextTokens(backend, "", 6)(["abcdefgh"])
    assert list(again) == [ids[2]]
    assert TextTokens(backend, "", None)(["abcdefgh"])[0].lengths.tolist() == [10]


def test_a_prefix_is_read_before_each_text(backend: object) -> None:
    found, expected = (
        TextTokens(backend, "q ", None)(["ab", "c"]),
        TextTokens(backend, "", None)(["q ab", "q c"]),
    )
    assert list(found[0]) == list(expected[0])


@pytest.mark.parametrize("budget", [1, 7, 40, 10**6])
def test_batches_hold_one_length_within_the_budget_and_every_row_once(budget: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 200)
    batches = list(LengthBatches(lengths, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    for rows in batches:
        assert len(set(lengths[rows])) == 1
        assert len(rows) == 1 or len(rows) * lengths[rows[0]] <= budget
    firsts = [lengths[rows[0]] for rows in batches]
    assert firsts == sorted(firsts, reverse=True)


def test_a_budget_lowered_on_the_way_counts_from_the_next_batch() -> None:
    batches = LengthBatches(np.full(12, 2), 8)
    sizes = []
    for rows in batches:
        sizes.append(len(rows))
        batches.budget = 4
    assert sizes == [4, 2, 2, 2, 2]


def test_no_texts_are_no_batches() -> None:
    assert list(LengthBatches(np.empty(0, np.int64), 8)) == []
    assert token_matrix(of_lists([[1, 2], [3], [4, 5]]), np.array([2, 0])).tolist() == [[4, 5], [1, 2]]
