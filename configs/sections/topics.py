"""Section `topics`: topics that are given beforehand, by name."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topicflow.configs.fields.base import IsPath, Section


class TopicsConfig(Section):
    """Topics that are known beforehand: documents that are near enough to one belong to it, the rest is clustered.

    Given topics come first, in their order, with their names; a topic without documents stays, with size 0.
    """

    names: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        default=(), description="Names of the topics, in the words that documents of the topic would use."
    )
    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        min_length=1,
        description="File with the topics instead: TOML with a [[topic]] for each (name, description, words, "
        "examples), or CSV or Parquet with the columns name and, if you like, description.",
    )
    threshold: float = Field(
        default=0.6,
        ge=0.0,
        lt=1.0,
        description="How near a document must be: 0 is as near as the median document, 1 as near as the topic's own "
        "documents are on average. Lower values give the topics more documents and more wrong ones.",
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if bool(self.names) == (self.path is not None):
            raise ValueError("expected names or path, one of both")
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ValueError(f"names: {repeated[0]!r} is there twice; topics need different names")
        return self
