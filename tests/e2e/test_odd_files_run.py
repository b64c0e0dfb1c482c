"""Odd files as a new user meets them: `init`, then `run`, with nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import polars as pl
import pytest

from tests.commands import Outcome
from tests.reviews import made_reviews, write_export

Topicflow = Callable[..., Outcome]


def spreadsheet(path: Path) -> None:
    write_export(made_reviews(), path)


def dump(path: Path) -> None:
    rows = made_reviews().iter_rows(named=True)
    body = "".join(
        f'<row Id="{row["review_id"]}" CreationDate="{row["created"]}T12:00:00.000" Title={quoteattr(row["title"])} '
        f"Body={quoteattr('<p>' + row['body'] + '</p><script>nbsp()</script>')} />\n"
        for row in rows
    )
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{body}</posts>\n', encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"),
    [("export.csv", spreadsheet), ("Posts.xml", dump)],
)
def test_init_and_run_as_a_new_user(
    name: str,
    write: Callable[[Path], None],
    tmp_path: Path,
    topicflow: Topicflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)
    stem = Path(name).stem
    for arguments in (("init", name), ("run", f"{stem}.toml")):
        outcome = topicflow(*arguments)
        assert outcome.code == 0, outcome.err
    documents = pl.read_parquet(next((tmp_path / "runs" / stem).glob("*/documents.parquet")))
    assert documents.height == 180
    assert documents["doc_id"].to_list()[:2] == ["r1000", "r1001"]
    topics = pl.read_parquet(next((tmp_path / "runs" / stem).glob("*/topics.parquet")))
    assert topics.height >= 3
    words = set(topics["keywords"].explode().to_list())
    assert words & {"battery", "screen", "parcel", "support", "delivery"}
    assert not words & {"script", "nbsp", "p"}
