"""Section `neighbors`: the graph of nearest documents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.fields.base import Section


class NeighborsConfig(Section):
    """The k-nearest-neighbour graph of the embeddings (cosine), shared by layouts and quality measures."""

    n_neighbors: int = Field(
        default=15,
        ge=2,
        le=200,
        description="Neighbours of each document, including the document itself (UMAP: 15).",
    )
    method: Literal["auto", "exact", "descent", "pynndescent"] = Field(
        default="auto",
        description="exact compares all pairs; descent approximates with int8 codes, cells and neighbours of "
        "neighbours; pynndescent approximates with trees; auto is exact up to 10,000 documents on a CPU and descent "
        "above (tests/benchmarks).",
    )
    fit_limit: int = Field(
        default=1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Maximum number of distinct documents for fitting graph, layouts and clusters. A larger corpus is "
        "fitted on a random sample of this size, and every other document is assigned by its nearest fitted documents. "
        "A million needs 24 GB.",
    )
