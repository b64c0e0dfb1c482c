"""Sections `topics`, `edits` and `tree`: topics that are given, changed by hand, and put into groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, Tag, model_validator

from topicflow.configs.fields.base import AnyOf, IsPath, Section, method_or


class _KnownTopics(Section):
    """Topics that are known beforehand, by name or in a file."""

    names: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        default=(), description="Names of the topics, in the words that documents of the topic would use."
    )
    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        min_length=1,
        description="File with the topics instead: TOML with a [[topic]] for each (name, description, words, "
        "examples, documents), or CSV or Parquet with the columns name and, if you like, description.",
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if bool(self.names) == (self.path is not None):
            raise ValueError("expected names or path, one of both")
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ValueError(f"names: {repeated[0]!r} is there twice; topics need different names")
        return self


class ZeroShotTopics(_KnownTopics):
    """Documents that are near enough to a given topic belong to it, the rest is clustered.

    Given topics come first, in their order, with their names; a topic without documents stays, with size 0.
    """

    model_config = ConfigDict(title="zero-shot")

    method: Literal["zero-shot"] = Field(
        default="zero-shot",
        description="Documents that are near a topic belong to it, the rest is clustered.",
    )
    threshold: float = Field(
        default=0.6,
        ge=0.0,
        lt=1.0,
        description="How near a document must be: 0 is as near as the median document, 1 as near as the topic's own "
        "documents are on average. Lower values give the topics more documents and more wrong ones.",
    )


class SeededTopics(_KnownTopics):
    """All topics are found by clustering, but seeds pull the documents that are near them closer together."""

    model_config = ConfigDict(title="seeded")

    method: Literal["seeded"] = Field(
        description="Topics are found, and seeds pull the documents that are near them closer together."
    )
    threshold: float = Field(
        default=0.8,
        ge=0.0,
        lt=1.0,
        description="How near a document must be to be pulled: 0 is as near as the median document, 1 as near as the "
        "seed's own documents are on average.",
    )
    strength: float = Field(
        default=0.35,
        ge=0.0,
        lt=1.0,
        description="How far a document is pulled: 0 leaves it where it is, near 1 it is where its seed is.",
    )
    word_weight: float = Field(
        default=2.0,
        ge=1.0,
        le=100.0,
        description="Weight of a seed's words in the keywords of a topic that has only documents of the seed; 1 "
        "changes no keywords.",
    )


TopicsConfig = Annotated[
    Annotated[ZeroShotTopics, Tag("zero-shot")] | Annotated[SeededTopics, Tag("seeded")],
    method_or("zero-shot"),
    AnyOf(),
]


EDITS_FILE = "topics_edits.toml"
"""Name of the file beside a config that is read if the section names none."""


class EditsConfig(Section):
    """Topics that a person merged, renamed, deleted, split or pinned, and documents that a person moved."""

    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        min_length=1,
        description="File of the edits, which `topicflow edit` writes. If not set: topics_edits.toml beside the "
        "config, if there is one.",
    )


def with_file_beside(config: EditsConfig, folder: Path) -> EditsConfig:
    """Return the section with the file beside a config in `folder`, if the section names none and the file exists."""
    beside = folder.absolute() / EDITS_FILE
    return config if config.path is not None or not beside.is_file() else EditsConfig(path=str(beside))


class TreeConfig(Section):
    """A tree of topics: topics are its leaves, and groups of similar topics are the layers above them."""

    about: int | None = Field(
        default=None,
        ge=2,
        le=100_000,
        description="One layer has about this many groups, at most a quarter more or fewer; the metrics name it. "
        "If not set, every layer is chosen from the data.",
    )
    hierarchical_topics: bool = Field(
        default=False,
        description="Also write hierarchical_topics.parquet: every merge of two groups, in the shape of BERTopic's "
        "hierarchical_topics.",
    )
