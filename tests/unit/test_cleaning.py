"""Cleaning: what goes, what stays, and what the documents keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.cleaning import FOUND_BY, KINDS, clean_texts
from topicflow.tasks.documents.load import write_documents
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.store.artifact_store import ArtifactStore


def cleaned(text: str | None, *kinds: str) -> str | None:
    return clean_texts(pl.Series("text", [text], pl.String), kinds)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>One <b>w</b>ord&nbsp;&amp; more</p><p>Next</p>", "One word & more\nNext"),
        ("<script>var x = '<p>';</script><style>p { color: red }</style>text", "text"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"),
        ("R&amp;D cost &#163;5 &lt; 6", "R&D cost £5 < 6"),
        ("AT&T, a < b and b > c, <me@example.org>, x<y", "AT&T, a < b and b > c, <me@example.org>, x<y"),
        ("if a <b then", "if a <b then"),
        ("<!-- not shown --><p>shown</p>", "shown"),
        ('<a href="https://example.org/a?b=1&c=2">a link</a>', "a link"),
        ("plain  text\n\nstays", "plain  text\n\nstays"),
        (
            "<html><head><title>The title</title><meta name='x'></head><body>The body</body></html>",
            "The title\nThe body",
        ),
    ],
)
def test_html(text: str, expected: str) -> None:
    assert cleaned(text, "html") == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("see https://t.co/Ab1, and www.example.org/a?b=c.", "urls", "see , and ."),
        ("example.org and i.e. a.b stay", "urls", "example.org and i.e. a.b stay"),
        ("(http://example.org/a)", "urls", "( )"),
        ("mail a.b+c@example.co.uk now", "emails", "mail now"),
        ("@ann at 5@home", "emails", "@ann at 5@home"),
        ("On Monday Ann wrote:\n> old\n> older\n\nThe answer", "quoted_replies", "The answer"),
        ("> q\nanswer one\n>> q\nanswer two", "quoted_replies", "answer one\nanswer two"),
        ("Am 1. Mai schrieb Ann <a@b.de>:\n\n> alt\nNeu", "quoted_replies", "Neu"),
        ("New\n\n----- Original Message -----\nFrom: x\nold", "quoted_replies", "New"),
        ("New\r\n\r\nFrom: Ann\r\nSent: Monday\r\nTo: Bob\r\nold", "quoted_replies", "New"),
        ("She wrote: this is not a quotation", "quoted_replies", "She wrote: this is not a quotation"),
        ("5 > 3 and a\n  indented", "quoted_replies", "5 > 3 and a\n  indented"),
        ("text\n-- \nAnn\nACME", "signatures", "text"),
        ("text\nSent from my iPhone", "signatures", "text"),
        ("one\n--- a dash\ntwo", "signatures", "one\n--- a dash\ntwo"),
    ],
)
def test_addresses_and_mail(text: str, kind: str, expected: str) -> None:
    assert cleaned(text, kind) == expected
    assert pl.Series([text]).str.contains(FOUND_BY[kind])[0] == (text != expected)


def test_nulls_stay_and_all_kinds_work_together() -> None:
    assert cleaned(None, *KINDS) is None
    text = "<p>Hello https://example.org</p>\n> old\n-- \nAnn"
    assert cleaned(text, *KINDS) == ["Hello", "> old\n-- \nAnn"][0]


def test_expressions_are_linear_in_the_text() -> None:
    import time

    hostile = pl.Series(["<" * 20_000 + "a " * 20_000 + "@" * 20_000 + "\n> " * 20_000 + "wrote:" * 10_000])
    start = time.perf_counter()
    clean_texts(hostile, KINDS)
    assert time.perf_counter() - start < 20


def loaded(tmp_path: Path, **fields: Any) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    path = tmp_path / "a.parquet"
    pl.DataFrame(
        {"text": ["<b>one</b> word", "<br>", "", "plain"], "id": ["a", "b", "c", "d"]}
    ).write_parquet(path)
    store, config = ArtifactStore(tmp_path / "store"), LoadConfig(path=str(path), id_column="id", **fields)
    with open_source(config, 100) as source:
        ref = write_documents(store, config, source)
    return store.table(ref, "documents").collect(), store.table(ref, "columns").collect(), store.meta(ref)


def test_the_original_stays_and_rows_without_text_are_counted(tmp_path: Path) -> None:
    documents, own, meta = loaded(tmp_path, clean=("html",))
    assert documents["text"].to_list() == ["one word", "plain"]
    assert own["text"].to_list() == ["<b>one</b> word", "plain"]
    assert (meta["n_empty"], meta["n_cleaned_away"], meta["empty_rows"]) == (2, 1, [1, 2])


def test_cleaning_is_off_by_default(tmp_path: Path) -> None:
    documents, _, meta = loaded(tmp_path)
    assert documents["text"].to_list() == ["<b>one</b> word", "<br>", "plain"]
    assert "n_cleaned_away" not in meta
