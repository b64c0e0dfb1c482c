"""MinHash: shingles against Python's own, signatures against exact Jaccard, bands, bounds."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.core.duplicates.minhash import (
    Bands,
    choose_bands,
    equal_sets,
    pairs_of_band,
    shingled,
    signed,
)
from topicflow.tasks.core.duplicates.pairs import union
from topicflow.tasks.core.words.cutting import COMPARED


def shingles_of(text: str, width: int) -> set[tuple[str, ...]]:
    words = COMPARED.cut([text]).words()
    if not words:
        return set()
    return {tuple(words[i : i + width]) for i in range(max(1, len(words) - width + 1))}


def exact_jaccard(a: str, b: str, width: int) -> float:
    first, second = shingles_of(a, width), shingles_of(b, width)
    return len(first & second) / max(1, len(first | second))


TEXTS = st.lists(
    st.text(alphabet="ab c\tÄé1_-\U0001d7d8²漢.", max_size=30) | st.text(max_size=20), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_sets_are_those_of_the_words(texts: list[str], width: int) -> None:
    shingles, ranges = shingled(texts, width)
    sets = [set(shingles[ranges[i] : ranges[i + 1]].tolist()) for i in range(len(texts))]
    for text, found in zip(texts, sets, strict=True):
        assert len(found) == len(shingles_of(text, width))
    for i, j in combinations(range(len(texts)), 2):
        common = len(shingles_of(texts[i], width) & shingles_of(texts[j], width))
        assert len(sets[i] & sets[j]) == common
    for i in range(len(texts)):
        own = shingles[ranges[i] : ranges[i + 1]]
        assert (own[1:] > own[:-1]).all()


def test_signatures_agree_as_often_as_the_sets_overlap() -> None:
    rng = np.random.default_rng(0)
    common = [f"w{i}" for i in range(60)]
    texts = [" ".join(common + [f"{side}{i}" for i in range(20)]) for side in "xy"]
    similarity = exact_jaccard(*texts, 1)
    assert similarity == 0.6
    n_hashes = 4000
    signatures = signed(*shingled(texts, 1), n_hashes, int(rng.integers(1000)))
    agree = float((signatures[0] == signatures[1]).mean())
    assert abs(agree - similarity) < 4 * math.sqrt(similarity * (1 - similarity) / n_hashes)


def test_bands_reach_the_recall_within_the_hashes() -> None:
    bands = choose_bands(0.6, 0.95, 256)
    assert bands == Bands(38, 5)
    assert bands.recall(0.6) == pytest.approx(0.9539, abs=1e-4)
    assert choose_bands(0.05, 0.99, 16) == Bands(16, 1)  # out of reach: all there are
    for floor in (0.3, 0.5, 0.8, 1.0):
        found = choose_bands(floor, 0.9, 256)
        assert found.n_hashes <= 256
        assert found.recall(floor) >= 0.9


def found_pairs(
    texts: list[str], width: int, floor: float, n_base: int = 0, window: int = 1024, partners: int = 256
) -> dict:
    bands = choose_bands(floor, 0.999, 256)
    shingles, ranges = shingled(texts, width)
    signatures = signed(shingles, ranges, bands.n_hashes, 1)
    first = equal_sets(shingles, ranges)
    rows = np.flatnonzero((first == np.arange(len(first))) & (np.diff(ranges) > 0)).astype(np.int32)
    pairs = union(
        pairs_of_band(signatures, shingles, ranges, rows, n_base, bands, band, floor, window, partners)
        for band in range(bands.n_bands)
    )
    return {(int(a), int(b)): float(s) for (a, b), s in zip(pairs.rows, pairs.similarities, strict=True)}


def test_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(200)]
    texts = []
    for _ in range(30):
        original = list(rng.choice(words, 40))
        texts.append(" ".join(original))
        for share in (0.02, 0.05, 0.1):
            edited = [w if rng.random() > share else str(rng.choice(words)) for w in original]
            texts.append(" ".join(edited))
    expected = {(i, j): exact_jaccard(texts[i], texts[j], 3) for i, j in combinations(range(len(texts)), 2)}
    first = equal_sets(*shingled(texts, 3))
    wanted = {
        pair: np.float32(s)
        for pair, s in expected.items()
        if s >= 0.5 and all(first[row] == row for row in pair)
    }
    assert len(wanted) > 60
    found = found_pairs(texts, 3, 0.5)
    assert found.items() <= {pair: float(s) for pair, s in wanted.items()}.items()
    assert len(found) >= 0.98 * len(wanted)
    across = found_pairs(texts, 3, 0.5, n_base=60)
    assert across == {pair: s for pair, s in found.items() if max(pair) >= 60}


def test_equal_sets_belong_to_the_first_and_empty_ones_to_nobody() -> None:
    texts = ["a b c", "…", "A, b: C!", "", "a b c d", "a b c"]
    assert equal_sets(*shingled(texts, 5)).tolist() == [0, 1, 0, 3, 4, 0]


def test_the_threshold_is_inclusive_and_a_window_bounds_a_crowd() -> None:
    texts = ["a b c d", "a b c e"]  # words: 3 of 5
    assert found_pairs(texts, 1, 0.6) == {(0, 1): pytest.approx(0.6)}
    assert found_pairs(texts, 1, 0.601) == {}
    crowd = [" ".join(["same"] + [f"w{k}" for k in range(50)] + [f"own{i}"]) for i in range(200)]
    assert len(found_pairs(crowd, 1, 0.9)) == 200 * 199 // 2
    assert 0 < len(found_pairs(crowd, 1, 0.9, window=2)) < 200 * 199 // 2
    assert 0 < len(found_pairs(crowd, 1, 0.9, partners=3)) < 200 * 199 // 2
