"""The kernels compile fast: none uses what numba compiles for seconds, and what replaces it gives the same."""

import ast
from collections.abc import Iterator

import numpy as np
import pytest

from tests.structure import ROOT, parse
from topicflow.tasks.core.duplicates.shingle_kernels import LONG, shingle_sets, stir
from topicflow.tasks.core.words.mixtures import best_topics
from topicflow.tasks.core.words.tokens import place_of, sort_values
from topicflow.tasks.core.words.topic_sums import join_rows

DEAR = {"sort", "argsort", "searchsorted", "unique", "mean", "median", "argmax", "argmin", "concatenate"}
"""Functions and methods of numpy for which numba compiles one second or more; a loop compiles in a tenth."""


def kernels(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield the functions of a module that numba compiles for the processor, with their decorator's text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if text.startswith(("njit", "numba.njit")):
                    yield node, text


def dear(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the lines of kernels with what is dear to compile."""
    for kernel, decorator in kernels(tree):
        if "parallel=True" in decorator:
            yield (
                kernel.lineno,
                "parallel=True takes seconds: call a kernel for blocks of rows (vectors/blocks.py)",
            )
        for node in ast.walk(kernel):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(part, ast.Slice) for target in targets for part in ast.walk(target)):
                yield node.lineno, "an assignment to a slice takes five seconds once: write a loop"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DEAR:
                yield (
                    node.lineno,
                    f"{node.func.attr} takes a second or more: see `sort_values` and `place_of`",
                )


FILES = sorted(path for path in (ROOT / "tasks").rglob("*.py") if "njit" in path.read_text(encoding="utf-8"))


def test_there_are_kernels() -> None:
    assert sum(len(list(kernels(parse(path)))) for path in FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_kernel_uses_what_is_dear_to_compile(path: object) -> None:
    assert list(dear(parse(path))) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        "a[1:] = b",
        "a[:, 2:3] = 0",
        "a[i], a[:2] = b",
        "np.sort(a)",
        "a.sort()",
        "np.argsort(-a)",
        "a[i].mean()",
    ],
)
def test_what_is_dear_is_noticed(line: str) -> None:
    code = "@njit(cache=True)\ndef f(a, b, i):\n    " + line
    assert len(list(dear(ast.parse(code)))) == 1
    assert not list(dear(ast.parse(code.replace("njit", "other"))))
    assert len(list(dear(ast.parse("@njit(parallel=True)\ndef f(a):\n    a[0] = 1")))) == 1


@pytest.mark.parametrize("n", [0, 1, 2, 15, 50, 500, 3000])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_values_are_sorted(n: int, dtype: type) -> None:
    values = np.random.default_rng(n).integers(0, 1 + n // 2, size=n).astype(dtype)
    expected = np.sort(values)
    sort_values(values)
    np.testing.assert_array_equal(values, expected)


def test_the_place_of_a_value_is_that_of_searchsorted() -> None:
    values = np.repeat(np.arange(0, 40, 2), 3)
    assert [place_of(values, v) for v in range(-1, 42)] == np.searchsorted(values, np.arange(-1, 42)).tolist()
    assert place_of(values[:0], 3) == 0


@pytest.mark.parametrize("n_topics", [1, 14, 16, 17, 40, 300])
@pytest.mark.parametrize("n_values", [1, 3, 1000])
def test_the_best_topics_have_the_largest_scores_and_ties_end_as_in_numbas_argsort(
    n_topics: int, n_values: int
) -> None:
    from numba.misc.quicksort import make_py_quicksort

    argsort = make_py_quicksort(is_argsort=True).run_quicksort
    rng = np.random.default_rng(n_topics)
    for _ in range(20):
        scores = rng.integers(0, n_values, size=n_topics) / 7.0
        n = min(16, n_topics)
        expected = np.sort(argsort(-scores)[:n])
        np.testing.assert_array_equal(best_topics(scores, n), expected)


def test_long_documents_have_sorted_shingles() -> None:
    words = np.random.default_rng(0).integers(0, 2**63, size=300, dtype=np.uint64)
    words = words[np.random.default_rng(1).integers(0, 300, size=3 * LONG)]
    found, ranges = shingle_sets(words, np.array([0, 2 * LONG, 3 * LONG]), 1)
    for start, end, own in zip(ranges[:-1], ranges[1:], (words[: 2 * LONG], words[2 * LONG :]), strict=True):
        expected = {int(stir(np.uint64(stir(word)))) for word in own}
        assert found[start:end].tolist() == sorted(expected)


def test_groups_with_many_and_with_few_columns_have_ascending_ones() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((6, 200)) < np.array([[0.9], [0.9], [0.02], [0.02], [0.0], [0.1]])).astype(np.int32)
    rows, columns = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(7))
    data = rng.integers(1, 5, size=len(rows)).astype(np.int32)
    dense[rows, columns] = data
    bounds = np.array([0, 2, 4, 6])
    found = join_rows(data, columns.astype(np.int32), indptr, np.array([0, 1, 2, 3, 4, 5]), bounds, 200)
    sums, numbers, columns, ranges = found
    for group in range(3):
        own = dense[2 * group : 2 * group + 2]
        part = slice(ranges[group], ranges[group + 1])
        np.testing.assert_array_equal(columns[part], np.flatnonzero(own.any(axis=0)))
        np.testing.assert_array_equal(sums[part], own.sum(axis=0)[columns[part]])
        np.testing.assert_array_equal(numbers[part], (own > 0).sum(axis=0)[columns[part]])
