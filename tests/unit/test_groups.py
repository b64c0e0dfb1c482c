"""Groups: the kept documents, by hand, by an independent implementation, and in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.core.duplicates.groups import (
    among,
    centrality,
    first_of_digests,
    group_documents,
    merged_firsts,
)
from topicflow.tasks.core.duplicates.pairs import Pairs, union


def pairs_of(values: dict[tuple[int, int], float]) -> Pairs:
    rows = np.array(list(values), np.int32).reshape(-1, 2)
    return union([Pairs(rows, np.array(list(values.values()), np.float32))])


CHAIN = pairs_of({(0, 1): 0.95, (1, 2): 0.92, (2, 3): 0.91})


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_a_star_takes_only_documents_similar_to_its_centre() -> None:
    groups = group_documents(ints(0, 1, 2, 3, 4), CHAIN, ints(0, 1, 2, 3, 4), star=True)
    assert groups.kept.tolist() == [0, 0, 2, 2, 4]
    assert groups.similarity.tolist() == pytest.approx([1, 0.95, 1, 0.91, 1])
    assert groups.is_kept.tolist() == [True, False, True, False, True]


def test_a_component_takes_the_whole_chain_and_knows_no_more_than_its_pairs() -> None:
    groups = group_documents(ints(0, 1, 2, 3, 4), CHAIN, ints(1, 0, 2, 3, 4), star=False)
    assert groups.kept.tolist() == [1, 1, 1, 1, 4]
    assert groups.similarity[:3].tolist() == pytest.approx([0.95, 1, 0.92])
    assert np.isnan(groups.similarity[3])
    assert groups.similarity[4] == 1


def test_the_preferred_document_is_kept() -> None:
    groups = group_documents(ints(0, 1, 2, 3, 4), CHAIN, ints(4, 1, 3, 2, 0), star=True)
    assert groups.kept.tolist() == [1, 1, 1, 3, 4]


def test_equal_documents_count_as_the_preferred_one() -> None:
    first = ints(0, 0, 2, 2, 4)  # 1 equals 0, 3 equals 2
    pairs = pairs_of({(0, 2): 0.9})
    groups = group_documents(first, pairs, ints(4, 3, 1, 0, 2), star=True)
    assert groups.kept.tolist() == [3, 3, 3, 3, 4]
    assert groups.similarity.tolist() == pytest.approx([0.9, 0.9, 1, 1, 1])


def test_all_equal_is_one_group_without_a_pair() -> None:
    n = 100_000
    groups = group_documents(np.zeros(n, np.int32), pairs_of({}), np.arange(n, dtype=np.int32), star=True)
    assert int(groups.is_kept.sum()) == 1
    assert (groups.similarity == 1).all()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, dict[tuple[int, int], float], list[int]]:
    n = draw(st.integers(1, 12))
    edges = draw(
        st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1]))
    )
    values = {edge: draw(st.sampled_from([0.9, 0.95, 0.99])) for edge in sorted(edges)}
    return n, values, list(draw(st.permutations(range(n))))


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_groups_are_those_of_plain_python(graph: tuple[int, dict[tuple[int, int], float], list[int]]) -> None:
    n, values, order = graph
    likeness = values | {(b, a): s for (a, b), s in values.items()}
    kept: dict[int, int] = {}
    for row in order:
        if row not in kept:
            kept |= {other: row for other in range(n) if other not in kept and (row, other) in likeness} | {
                row: row
            }
    stars = group_documents(np.arange(n, dtype=np.int32), pairs_of(values), ints(*order), star=True)
    assert stars.kept.tolist() == [kept[row] for row in range(n)]
    for row in range(n):
        expected = 1.0 if kept[row] == row else likeness[row, kept[row]]
        assert stars.similarity[row] == pytest.approx(expected)

    whole = {row: {row} for row in range(n)}
    for a, b in values:
        joined = whole[a] | whole[b]
        whole |= dict.fromkeys(joined, joined)
    components = group_documents(np.arange(n, dtype=np.int32), pairs_of(values), ints(*order), star=False)
    assert components.kept.tolist() == [min(whole[row], key=order.index) for row in range(n)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_equal_in_one_sense_or_another_is_equal(values: list[int], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(0, 5), min_size=len(values), max_size=len(values)))
    firsts = [ints(*(column.index(v) for v in column)) for column in (values, others)]
    merged = merged_firsts(*firsts)
    for row in range(len(values)):
        reached, before = {row}, set()
        while reached != before:
            before = set(reached)
            reached |= {
                j
                for j in range(len(values))
                for i in before
                if values[i] == values[j] or others[i] == others[j]
            }
        assert merged[row] == min(reached)


def test_pairs_move_to_the_firsts_and_none_is_left_with_itself() -> None:
    moved = among(ints(0, 0, 2, 2), pairs_of({(0, 1): 0.99, (1, 3): 0.9, (0, 2): 0.9}))
    assert moved.rows.tolist() == [[0, 2]]


def test_centrality_sums_similarities() -> None:
    assert centrality(ints(0, 1, 2, 3, 4), CHAIN).tolist() == pytest.approx([0.95, 1.87, 1.83, 0.91, 0])
    with_equals = centrality(ints(0, 1, 2, 3, 3, 3), CHAIN)  # two more that equal the fourth
    assert with_equals.tolist() == pytest.approx([0.95, 1.87, 0.92 + 3 * 0.91, 2.91, 2.91, 2.91])


def test_the_first_of_equal_digests() -> None:
    digests = np.array([[5, 1], [2, 9], [5, 1], [5, 2], [2, 9]], np.uint64)
    assert first_of_digests(digests).tolist() == [0, 1, 0, 3, 1]
