"""Filters compared with a real SQL engine: random conditions on every kind of column keep the same rows as DuckDB."""

import pytest

from tests.conditions import random_differences


def test_random_conditions_keep_what_duckdb_keeps() -> None:
    assert random_differences(3000, seed=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_more_random_conditions_keep_what_duckdb_keeps(seed: int) -> None:
    assert random_differences(2500, seed=seed) == []
