"""Section `neighbors`: the graph of the nearest documents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.sections.base import Section


class NeighborsConfig(Section):
    """The k-nearest-neighbour graph of the embeddings (cosine), shared by layouts and quality figures."""

    n_neighbors: int = Field(
        default=15,
        ge=2,
        le=200,
        description="Neighbours of each document, itself included (UMAP's default, 15).",
    )
    method: Literal["auto", "exact", "descent", "pynndescent"] = Field(
        default="auto",
        description="exact compares all pairs; descent approximates: cells of int8 codes, neighbours' neighbours; "
        "pynndescent by trees; auto is exact up to 10,000 documents on a CPU, descent beyond (measured).",
    )
    fit_limit: int = Field(
        default=1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Distinct documents that the graph, layouts and clusters are fitted on; beyond it they are fitted "
        "on a random sample of this size, and every other document goes where its nearest fitted ones are. A million "
        "fit 24 GB.",
    )
