"""Sections `index` and `hypothetical`: how an index is built, and a language model for its searches."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from topicflow.configs.fields.base import Section
from topicflow.configs.fields.chat import ChatSection


class HypotheticalConfig(ChatSection):
    """A language model that writes a passage which might answer a query, for `search --expand hypothetical`.

    Only queries are sent, and only if a search asks for it. The section is in no key: with another model nothing is
    built again.
    """

    section: ClassVar[str] = "hypothetical"

    max_words: int = Field(
        default=80, ge=5, le=500, description="Words of the passage; encoders read some hundred."
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0.0,
        le=3600.0,
        description="Seconds until a request without an answer counts as failed; the query alone is searched then.",
    )
    retries: int = Field(
        default=1,
        ge=0,
        le=20,
        description="Maximum number of retries of a request after a temporary fault: a person waits for the search.",
    )


class IndexConfig(Section):
    """How the vectors are indexed, how good the search must be, and what else is kept."""

    method: Literal["auto", "exact", "hnsw"] = Field(
        default="auto",
        description="exact compares a query with every document; hnsw searches a graph of neighbours (approximate); "
        "auto is exact up to 20,000 documents, where that takes a few milliseconds, and hnsw above.",
    )
    codes: Literal["int8", "float16", "float32"] = Field(
        default="int8",
        description="Number format of the vectors in the graph; the best candidates are compared again in float32. "
        "int8 is the smallest and, with AVX-512 or NEON, the fastest (tests/benchmarks).",
    )
    M: int = Field(
        default=16,
        ge=4,
        le=128,
        description="Neighbours of a document in the graph; twice as many on the lowest level (hnswlib: 16).",
    )
    ef_construction: int = Field(
        default=128,
        ge=8,
        le=4000,
        description="Candidates compared when a document is added (usearch: 128).",
    )
    ef: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Candidates kept during a search. If not set: the smallest value that reaches `target_recall`.",
    )
    target_recall: float = Field(
        default=0.99,
        gt=0.0,
        lt=1.0,
        description="Share of the 10 nearest documents that a search finds on average. `ef` is chosen for it on one "
        "sample and measured on another.",
    )
    lexical: bool = Field(
        default=True,
        description="Keep word counts for BM25. Hybrid search ranks by BM25 and by the vectors.",
    )
    lemmas: tuple[str, ...] = Field(
        default=(),
        description="Languages by code (en, de, …) whose inflected words are one word for BM25: with en wing finds "
        "wings. With the extra `words`. If empty: each form is a word.",
    )
    query_prompt: str | None = Field(
        default=None,
        description="Text put before each query, for models that treat queries and documents differently. If not set: "
        "the model's own.",
    )
    query_model: str | None = Field(
        default=None,
        description="Model that embeds queries when the vectors of the documents are precomputed: a preset, folder, or "
        "hub name. Without it queries must be vectors.",
    )
    topics: str | None = Field(
        default=None,
        description="A run of topic_model or update_topics (name, id or folder) over the same documents; results then "
        "show the topic, with the id that it keeps in updates.",
    )
    updates: Literal["add", "rebuild"] = Field(
        default="add",
        description="add updates the last index of this name with new and deleted documents; rebuild builds a new one.",
    )

    @model_validator(mode="after")
    def _lemmas_need_words(self) -> IndexConfig:
        if self.lemmas and not self.lexical:
            msg = "lemmas joins the words of BM25; set lexical = true or remove lemmas"
            raise ValueError(msg)
        return self
