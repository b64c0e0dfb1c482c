"""A slice of the campaign of odd corpora: each gives a result whose figures are numbers, or a one-line error."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaigns.odd_cases import Case, cases
from tests.campaigns.odd_corpora import try_case
from tests.commands import Outcome

SLICE = (
    "one document",
    "2 distinct vectors of 60, parallel_umap",
    "5 distinct vectors of 60, pca",
    "all numbers times 1e+300",
    "one row NaN",
    "4,096 dimensions on 300 documents",
    "three of 120 vectors a hundred times, none",
    "all noise and no outliers allowed",
    "dedup: keep by a column with NaN",
)
ALL = list(cases())
CASES = {case.name: case for case in ALL}


def test_the_campaign_is_large_and_names_are_its_own() -> None:
    assert len(CASES) == len(ALL) > 150


@pytest.mark.parametrize("case", [CASES[name] for name in SLICE], ids=SLICE)
def test_a_slice_of_the_campaign(topicflow: Callable[..., Outcome], tmp_path: Path, case: Case) -> None:
    def typed(*arguments: object) -> tuple[int, str, str]:
        outcome = topicflow(*arguments)
        return outcome.code, outcome.out, outcome.err

    found = try_case(case, tmp_path / "case", typed)
    assert found.outcome != "fault", found.said
    assert found.outcome == case.expected
