"""A slice of the campaign of corruptions: `store verify` names each damaged file's artifact or run."""

from pathlib import Path

from tests.campaigns.corruptions import make, tries, verified


def test_a_slice_of_the_campaign(tmp_path: Path) -> None:
    make(tmp_path)
    assert verified(tmp_path) == "clean"
    table = list(tries(tmp_path, every=11))
    assert len(table) >= 10
    assert [row for row in table if row["outcome"] != "noticed"] == []
