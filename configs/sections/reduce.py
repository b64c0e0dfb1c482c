"""Sections `reduce` and `map`: the layouts for clustering and for the map."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from topicflow.configs.fields.base import AnyOf, Section, method_or


class DiffusionReduce(Section):
    """Principal components, each document averaged with its neighbours; nothing is drawn at random."""

    model_config = ConfigDict(title="diffusion")

    method: Literal["diffusion"] = Field(
        default="diffusion",
        description="Principal components averaged over the neighbour graph. The result does not depend on the seed "
        "or on the order of the documents, and changes little with one percent of them (tests/benchmarks).",
    )
    n_components: int = Field(default=64, ge=16, le=512, description="Number of principal components.")
    steps: int = Field(
        default=5,
        ge=0,
        le=100,
        description="Averaging steps. More give broader topics and keep less of the differences inside them.",
    )


class ParallelUmapReduce(Section):
    """UMAP's graph and objective on all cores; the result is the same, bit for bit, on any number of cores."""

    model_config = ConfigDict(title="parallel_umap")

    method: Literal["parallel_umap"] = Field(description="UMAP with our own layout: all cores, reproducible.")
    n_components: int = Field(default=5, ge=2, le=10, description="Dimensions for clustering (BERTopic: 5).")
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Minimum distance between points (BERTopic: 0.0)."
    )
    n_epochs: int = Field(
        default=60,
        ge=1,
        le=5000,
        description="Passes over the layout. 60 give the clusters that umap-learn gives with 200 (tests/benchmarks).",
    )
    init: Literal["pca", "random"] = Field(
        default="pca", description="Start of the layout: principal components, or random positions."
    )


class UmapReduce(Section):
    """UMAP from the shared neighbour graph."""

    model_config = ConfigDict(title="umap")

    method: Literal["umap"] = Field(description="UMAP by umap-learn itself, seeded, on one thread.")
    n_components: int = Field(default=5, ge=2, le=10, description="Dimensions for clustering (BERTopic: 5).")
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Minimum distance between points (BERTopic: 0.0)."
    )
    n_epochs: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="Passes over the layout. If not set: umap-learn's own (500 up to 10,000 documents, 200 above).",
    )
    init: Literal["spectral", "pca", "random"] = Field(
        default="pca",
        description="Start of the layout. umap-learn's spectral start takes a third of its time, with the same NMI and "
        "more variation over seeds (tests/benchmarks).",
    )


class PcaReduce(Section):
    """Principal components."""

    model_config = ConfigDict(title="pca")

    method: Literal["pca"] = Field(description="Principal components by scikit-learn.")
    n_components: int = Field(default=5, ge=2, le=500, description="Number of principal components.")


class NoReduce(Section):
    """Cluster the embeddings themselves."""

    model_config = ConfigDict(title="none")

    method: Literal["none"] = Field(description="No reduction.")


ReduceConfig = Annotated[
    Annotated[DiffusionReduce, Tag("diffusion")]
    | Annotated[ParallelUmapReduce, Tag("parallel_umap")]
    | Annotated[UmapReduce, Tag("umap")]
    | Annotated[PcaReduce, Tag("pca")]
    | Annotated[NoReduce, Tag("none")],
    method_or("diffusion"),
    AnyOf(),
]


class MapConfig(Section):
    """The two-dimensional map of the report: a UMAP layout of the same neighbour graph."""

    min_dist: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Minimum distance between points (umap-learn: 0.1)."
    )
    n_epochs: int = Field(default=60, ge=1, le=5000, description="Passes over the layout, as in `reduce`.")
