"""Section `load`: where documents come from, and what the columns contain."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from topicflow.configs.fields.base import IsPath, Section

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""Pattern of the names of environment variables."""

TIME_UNITS = ("excel", "unix_s", "unix_ms", "unix_us", "unix_ns")
"""Values of `time_format` for dates that are numbers."""


class SplitConfig(Section):
    """Split long documents into passages; their topics are joined again for each document."""

    max_words: int = Field(
        default=180,
        ge=10,
        le=5000,
        description="Longest passage, in words. 180 words are about 250 English word pieces; all-MiniLM-L6-v2 reads "
        "256.",
    )
    overlap_words: int = Field(
        default=20, ge=0, le=1000, description="Words of the previous passage that a passage repeats."
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> SplitConfig:
        if self.overlap_words >= self.max_words:
            msg = f"overlap_words={self.overlap_words} must be smaller than max_words={self.max_words}"
            raise ValueError(msg)
        return self


class LoadConfig(Section):
    """Where the documents come from, and what the columns contain."""

    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        description="Needed unless `query` is set: a file (Parquet, "
        "CSV, JSON, Excel, Arrow, SQLite, DuckDB, mailbox, Posts.xml, WARC), a folder of "
        ".txt or .eml files, a glob of any of these, an hf:// or s3:// path, or docstrings://package,package for the "
        "docstrings of installed Python packages.",
    )
    query: str | None = Field(
        default=None,
        description="A SQL query instead of a path; `connection_env` gives the connection.",
    )
    connection_env: str | None = Field(
        default=None,
        description="Name of the environment variable with the SQLAlchemy URL for `query`. The URL itself is never "
        "written to a config or a record.",
        json_schema_extra={"pattern": _VARIABLE},  # so that Prefect's API rejects a URL and does not keep it
    )
    format: Literal[
        "auto", "parquet", "csv", "ndjson", "json", "text", "lines", "excel", "arrow", "sqlite", "duckdb", "mail",
        "posts", "warc",
    ] = Field(
        default="auto",
        description="File format; auto decides by the file's ending. lines is a text file with a document a line.",
    )  # fmt: skip
    encoding: str | None = Field(
        default=None,
        description="Encoding of text files, such as cp1252. If not set: by the byte order mark, otherwise UTF-8.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="Character between the columns of a CSV file. If not set: the one that the first lines show.",
    )
    quote: Literal['"', "'", ""] | None = Field(
        default=None,
        description="Character around texts in a CSV file; with an empty string quotes belong to the texts. If not "
        'set: ", and quotes inside of texts are found.',
    )
    skip_rows: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Lines above the header of a CSV file, rows above it on a sheet. If not set: titles are found.",
    )
    header: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Rows of the header of a CSV file or sheet: the first names the columns, others are left out; 0 "
        "names the columns column_1, column_2, … If not set: 1, or what Qualtrics and SurveyMonkey write.",
    )
    sheet: str | None = Field(
        default=None,
        description="Sheet of an Excel file, or table of an SQLite or DuckDB file. If not set: the only one.",
    )
    text_column: str | tuple[str, ...] = Field(
        default="text", description="Column with the text, or a list of columns to join."
    )
    text_separator: str = Field(default="\n\n", description="Text between joined text columns.")
    id_column: str | None = Field(
        default=None, description="Column of unique document ids. If not set, ids are made from the content."
    )
    label_column: str | None = Field(
        default=None, description="Column of known classes. If set, NMI, ARI and purity are measured."
    )
    timestamp_column: str | None = Field(
        default=None, description="Column of dates or times. If set, the report shows topics over time."
    )
    date_order: Literal["auto", "dmy", "mdy", "ymd"] = Field(
        default="auto",
        description="Order of dates such as 3/4/2024: day, month or year first. auto decides by the whole column and "
        "logs the result; if no row decides, month first. A chain of updates keeps the order of its first run.",
    )
    time_format: str | None = Field(
        default=None,
        description="Format of timestamp_column: codes such as %d.%m.%Y %H:%M, or excel, unix_s, unix_ms, unix_us, "
        "unix_ns for numbers. If not set: the values decide.",
    )
    columns: tuple[str, ...] | None = Field(
        default=None, description="Input columns copied to documents.parquet. If not set: all."
    )
    limit: int | None = Field(default=None, ge=1, description="Read only this many rows, for a trial.")
    encoding_errors: Literal["strict", "replace"] = Field(
        default="strict",
        description="Bytes that are not UTF-8: strict stops and names the file, replace writes U+FFFD and counts them.",
    )
    clean: tuple[Literal["html", "urls", "emails", "quoted_replies", "signatures"], ...] = Field(
        default=(),
        description="What is removed from the texts before they are used: html (tags, scripts, entities), urls, emails "
        "(addresses), quoted_replies and signatures of mails. The column in documents.parquet keeps the original.",
    )
    split: SplitConfig | None = Field(
        default=None, description="Split long documents into passages (off without this section)."
    )

    @field_validator("connection_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_VARIABLE, value):
            msg = "expected the name of an environment variable; its value is not written to a config"
            raise ValueError(msg)
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            found = codecs.lookup(value)
        except LookupError:
            msg = f"no encoding {value!r}; expected a name such as utf-8, cp1252, latin-1 or utf-16"
            raise ValueError(msg) from None
        if not found._is_text_encoding:  # noqa: SLF001  (rot13 and base64 are codecs, too)
            msg = (
                f"{value!r} is no encoding of text; expected a name such as utf-8, cp1252, latin-1 or utf-16"
            )
            raise ValueError(msg)
        return value

    @field_validator("separator")
    @classmethod
    def _is_a_separator(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or value in '"\r\n'):
            msg = f"{value!r} cannot separate columns; expected one ASCII character that is no quote and no line end"
            raise ValueError(msg)
        return value

    @field_validator("time_format")
    @classmethod
    def _is_a_format(cls, value: str | None) -> str | None:
        if value is not None and "%" not in value and value not in TIME_UNITS:
            msg = f"{value!r} has no code such as %Y; expected such codes, or one of {', '.join(TIME_UNITS)}"
            raise ValueError(msg)
        return value

    @field_validator("text_column")
    @classmethod
    def _some_text_column(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            msg = "name at least one text column"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> LoadConfig:
        if (self.path is None) == (self.query is None):
            msg = "set either path or query"
            raise ValueError(msg)
        if self.query is not None and self.connection_env is None:
            msg = "query needs connection_env, the name of the environment variable with the connection URL"
            raise ValueError(msg)
        return self
