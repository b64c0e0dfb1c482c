"""Topics file: the section `topics` -> the given topics, in order, with the texts that say what each is about."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from topicflow.configs.sections.shaping import TopicsConfig
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.errors import ConfigError

COLUMNS = ("name", "description")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text that is not blank")
    return text


Text = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_not_blank)]


class GivenTopic(BaseModel):
    """One topic: its name, and what documents of it look like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_not_blank)]
    description: str = ""
    words: tuple[Text, ...] = ()
    examples: tuple[Text, ...] = ()
    """Texts that documents of the topic could have."""
    documents: tuple[Text, ...] = ()
    """Ids of documents of the corpus."""

    @property
    def texts(self) -> list[str]:
        """What is embedded: name and description as one text, the words as one, and each example."""
        said = f"{self.name}: {self.description}" if self.description.strip() else self.name
        return [said, *([", ".join(self.words)] if self.words else []), *self.examples]


def given_topics(config: TopicsConfig) -> tuple[GivenTopic, ...]:
    """Return the topics of the section, or of its file.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no topic, a topic without a name, or two of the same name.
    """
    if config.path is None:
        return tuple(GivenTopic(name=name) for name in config.names)
    path = Path(config.path)
    found = [_topic(values, number, path) for number, values in enumerate(_read(path), 1)]
    if not found:
        raise ConfigError(f"topics.path: {path} has no topics")
    names = [topic.name for topic in found]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"topics.path: {path}: {repeated[0]!r} is there twice; topics need different names")
    return tuple(found)


def _topic(values: Mapping[str, Any], number: int, path: Path) -> GivenTopic:
    try:
        return GivenTopic.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise ConfigError(f"topics.path: {path}: topic {number}: {key}: {said}") from None


def _read(path: Path) -> Iterable[Mapping[str, Any]]:
    """Return the values of each topic of a file."""
    try:
        if path.suffix.lower() == ".toml":
            found = tomllib.loads(path.read_text(encoding="utf-8")).get("topic", [])
            if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
                raise ConfigError(f"topics.path: {path}: expected a [[topic]] for each topic")
            return found
        return _rows(path)
    except FileNotFoundError:
        raise ConfigError(f"topics.path: {path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"topics.path: {path}: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"topics.path: {path}: not valid TOML: {error}") from None


def _rows(path: Path) -> list[dict[str, str]]:
    """Return name and description of each row of a CSV or Parquet file."""
    import polars as pl

    try:
        table = pl.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else read_csv(path)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"topics.path: {path} cannot be read: {reason}") from None
    if "name" not in table.columns:
        raise ConfigError(f"topics.path: {path}: no column 'name'; found {', '.join(table.columns)}")
    own = table.select(
        pl.col(name).cast(pl.String).fill_null("") for name in COLUMNS if name in table.columns
    )
    return own.to_dicts()
