"""Section `load`: where documents come from, and which columns hold what."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from topicflow.configs.sections.base import Section

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""What the names of environment variables look like."""


class SplitConfig(Section):
    """Split long documents into passages; their topics are joined again per document."""

    max_words: int = Field(
        default=180,
        ge=10,
        le=5000,
        description="Longest passage, in words. 180 words are about 250 word pieces of English, what "
        "all-MiniLM-L6-v2 reads (256).",
    )
    overlap_words: int = Field(
        default=20, ge=0, le=1000, description="Words that a passage repeats from the one before."
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> SplitConfig:
        if self.overlap_words >= self.max_words:
            msg = f"overlap_words={self.overlap_words} must be smaller than max_words={self.max_words}"
            raise ValueError(msg)
        return self


class LoadConfig(Section):
    """Where the documents come from and which columns hold what."""

    path: str | None = Field(
        default=None,
        description="A Parquet, CSV or NDJSON file, a folder of .txt files, a glob of any of these, an hf:// or "
        "s3:// path, or docstrings://package,package for the docstrings of installed Python packages.",
    )
    query: str | None = Field(
        default=None,
        description="A SQL query instead of a path; read over the connection in `connection_env`.",
    )
    connection_env: str | None = Field(
        default=None,
        description="Name of the environment variable that holds the SQLAlchemy URL for `query`. The URL itself "
        "never enters a config or a record.",
        json_schema_extra={"pattern": _VARIABLE},  # so that Prefect's API refuses a URL before it keeps it
    )
    format: Literal["auto", "parquet", "csv", "ndjson", "text"] = Field(
        default="auto", description="File format; auto goes by the ending."
    )
    text_column: str | tuple[str, ...] = Field(
        default="text", description="Column that holds the text, or a list of columns that are joined."
    )
    text_separator: str = Field(default="\n\n", description="What stands between joined text columns.")
    id_column: str | None = Field(
        default=None, description="Column of unique document ids; made from the content where none is given."
    )
    label_column: str | None = Field(
        default=None, description="Column of known classes; where given, NMI, ARI and purity are measured."
    )
    timestamp_column: str | None = Field(
        default=None, description="Column of dates or times; where given, the report shows topics over time."
    )
    columns: tuple[str, ...] | None = Field(
        default=None, description="Input columns carried to documents.parquet; all where not given."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Read only the first so many rows, for a trial."
    )
    encoding_errors: Literal["strict", "replace"] = Field(
        default="strict",
        description="Bytes that are not UTF-8: strict stops with the file's name, replace puts U+FFFD and counts.",
    )
    split: SplitConfig | None = Field(
        default=None, description="Split long documents into passages (off unless the section is given)."
    )

    @field_validator("connection_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_VARIABLE, value):
            msg = "expected the name of an environment variable; what it holds is not written in a config"
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
            msg = "give either path or query"
            raise ValueError(msg)
        if self.query is not None and self.connection_env is None:
            msg = "query needs connection_env, the name of the variable that holds the connection URL"
            raise ValueError(msg)
        return self
