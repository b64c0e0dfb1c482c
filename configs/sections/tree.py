"""Section `tree`: groups of topics, in layers."""

from __future__ import annotations

from pydantic import Field

from topicflow.configs.fields.base import Section


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
