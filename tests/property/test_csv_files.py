"""CSV files: what Python's csv writes is regular and comes back; lone quotes inside of texts are characters."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats import csv_survey, encodings
from topicflow.tasks.documents.sources import open_source

ROWS = st.lists(
    st.tuples(st.text('ab",;\n é\t', max_size=9), st.text("ab\"'\n, ", max_size=9), st.integers(-5, 5)),
    min_size=1,
    max_size=8,
)


def read(path: Path, separator: str | None = None) -> list[tuple[str, ...]]:
    config = LoadConfig(path=str(path), text_column="a", separator=separator)
    with open_source(config, 3) as source:
        table = pl.concat(source.chunks).with_columns(pl.col("a", "b").cast(pl.String).fill_null(""))
        assert source.n_rows == table.height
        return table.rows()


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    separator=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 20),
)
def test_what_python_writes_comes_back(
    rows: list[tuple[str, str, int]], separator: str, quoting: int, end: str, block: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
            writer.writerows([("a", "b", "n"), *rows])
        with patch.object(csv_survey, "BLOCK_BYTES", block), patch.object(encodings, "BLOCK_BYTES", block):
            seen = csv_survey.survey(path, separator, '"', None)
            assert seen.is_regular
            assert seen.invalid is None
            found = read(path, separator)
        assert [row[:2] for row in found] == [row[:2] for row in rows]
        assert [int(row[2]) for row in found] == [row[2] for row in rows]


FIELD = st.text("ab\" 'é", min_size=1, max_size=9).map(lambda text: "x" + text)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8),
    separator=st.sampled_from([",", ";", "\t"]),
    quoted=st.booleans(),
)
def test_quotes_inside_of_bare_texts_are_characters(
    rows: list[tuple[str, str]], separator: str, quoted: bool
) -> None:
    """Also beside a row whose texts are quoted and contain the separator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        extra = [f'"q{separator}"{separator}"r""s"'] if quoted else []
        text = "\n".join([f"a{separator}b", *(separator.join(row) for row in rows), *extra]) + "\n"
        path.write_text(text, encoding="utf-8")
        assert read(path, separator) == [*rows, *([(f"q{separator}", 'r"s')] if quoted else [])]
