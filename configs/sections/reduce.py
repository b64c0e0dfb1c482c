"""Sections `reduce` and `map`: the layouts that are clustered and drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from topicflow.configs.sections.base import AnyOf, Section, method_or


class ParallelUmapReduce(Section):
    """UMAP's graph and objective, laid out on all cores; the same bits on any number of them."""

    model_config = ConfigDict(title="parallel_umap")

    method: Literal["parallel_umap"] = Field(
        default="parallel_umap", description="UMAP by our own layout: all cores, reproducible."
    )
    n_components: int = Field(
        default=5, ge=2, le=10, description="Dimensions that are clustered (BERTopic: 5)."
    )
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Least distance of points in the layout (BERTopic: 0.0)."
    )
    n_epochs: int = Field(
        default=60,
        ge=1,
        le=5000,
        description="Passes of the layout. 60 give the clusters that umap-learn gives in 200 (tests/benchmarks).",
    )
    init: Literal["pca", "random"] = Field(
        default="pca", description="Where the layout starts: principal components, or anywhere."
    )


class UmapReduce(Section):
    """UMAP from the shared neighbour graph."""

    model_config = ConfigDict(title="umap")

    method: Literal["umap"] = Field(description="UMAP by umap-learn: its own output, seeded, on one thread.")
    n_components: int = Field(
        default=5, ge=2, le=10, description="Dimensions that are clustered (BERTopic: 5)."
    )
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Least distance of points in the layout (BERTopic: 0.0)."
    )
    n_epochs: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="Passes of the layout; umap-learn's own (500 up to 10,000 documents, 200 above) if none.",
    )
    init: Literal["spectral", "pca", "random"] = Field(
        default="pca",
        description="Where the layout starts. umap-learn's spectral start costs a third of its time and gave the same "
        "NMI and more spread over seeds (tests/benchmarks).",
    )


class PcaReduce(Section):
    """Principal components."""

    model_config = ConfigDict(title="pca")

    method: Literal["pca"] = Field(description="Principal components by scikit-learn.")
    n_components: int = Field(default=5, ge=2, le=500, description="Principal components that are kept.")


class NoReduce(Section):
    """Cluster the embeddings themselves."""

    model_config = ConfigDict(title="none")

    method: Literal["none"] = Field(description="No reduction.")


ReduceConfig = Annotated[
    Annotated[ParallelUmapReduce, Tag("parallel_umap")]
    | Annotated[UmapReduce, Tag("umap")]
    | Annotated[PcaReduce, Tag("pca")]
    | Annotated[NoReduce, Tag("none")],
    method_or("parallel_umap"),
    AnyOf(),
]


class MapConfig(Section):
    """The two-dimensional map of the report: a UMAP layout of the same graph."""

    min_dist: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Least distance of points (umap-learn: 0.1)."
    )
    n_epochs: int = Field(default=60, ge=1, le=5000, description="Passes of the layout, as in `reduce`.")
