"""Section `index`: how an index is built."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.sections.base import Section


class IndexConfig(Section):
    """How the vectors are indexed, how good the search must be, and what is kept beside them."""

    method: Literal["auto", "exact", "hnsw"] = Field(
        default="auto",
        description="exact compares a query with every document; hnsw walks a graph of neighbours; auto is exact up to "
        "20,000 documents, where that takes a few milliseconds, hnsw beyond.",
    )
    codes: Literal["int8", "float16", "float32"] = Field(
        default="int8",
        description="What the graph holds of a vector; the best candidates are compared again in float32. int8 is the "
        "smallest and, with AVX-512 or NEON, the fastest (tests/benchmarks).",
    )
    M: int = Field(
        default=16,
        ge=4,
        le=128,
        description="Neighbours of a document in the graph, twice as many on its lowest level (hnswlib: 16).",
    )
    ef_construction: int = Field(
        default=128,
        ge=8,
        le=4000,
        description="Candidates looked at on adding a document (usearch: 128).",
    )
    ef: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Candidates kept in a search; the fewest that reach `target_recall` if none.",
    )
    target_recall: float = Field(
        default=0.99,
        gt=0.0,
        lt=1.0,
        description="Share of the 10 nearest that a search finds, in the mean; `ef` is chosen for it on a sample and "
        "measured on another.",
    )
    lexical: bool = Field(
        default=True,
        description="Keep word counts for BM25, which hybrid search ranks by beside the vectors.",
    )
    query_prompt: str | None = Field(
        default=None,
        description="Text put before each query, for models that tell queries from documents; the model's own if none.",
    )
    query_model: str | None = Field(
        default=None,
        description="Model that embeds queries where the documents' vectors are precomputed: a preset, folder, or hub "
        "name; without one only vectors can be asked for.",
    )
    topics: str | None = Field(
        default=None,
        description="A topic model's run (name, id or folder) over the same documents; results then say the topic.",
    )
    updates: Literal["add", "rebuild"] = Field(
        default="add",
        description="add takes the last index of this name and adds and removes what changed; rebuild starts anew.",
    )
