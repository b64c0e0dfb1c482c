"""A slice of the campaigns of corruptions: what `store verify` says, and what the commands that read a file do."""

from pathlib import Path

import pytest

from tests.campaigns.corruptions import make, tries, verified
from tests.campaigns.corruptions_at_use import campaign, table


def test_a_slice_of_the_campaign(tmp_path: Path) -> None:
    make(tmp_path)
    assert verified(tmp_path) == "clean"
    table = list(tries(tmp_path, every=11))
    assert len(table) >= 10
    assert [row for row in table if row["outcome"] != "noticed"] == []


@pytest.mark.slow
def test_a_slice_of_the_campaign_at_use(tmp_path: Path) -> None:
    """A graph is read by native code: each try is in a child, so that a signal is a fault and not the end."""
    found = table(campaign(["build_index"], tmp_path, 13, tmp_path / "lines.jsonl"))
    assert found["damages"]["build_index"] >= 8
    assert found["faults"] == []
