"""Section `cluster`: how documents become topics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from topicflow.configs.sections.base import AnyOf, Section, method_or


class HdbscanCluster(Section):
    """HDBSCAN: topics of any shape, and outliers that belong to none."""

    model_config = ConfigDict(title="hdbscan")

    method: Literal["hdbscan"] = Field(default="hdbscan", description="HDBSCAN.")
    implementation: Literal["auto", "reference", "fast"] = Field(
        default="auto",
        description="reference is the hdbscan package, fast our spanning tree and hierarchy: the same clusters but for "
        "ties, on all cores; auto takes fast above 10,000 documents (tests/benchmarks).",
    )
    min_cluster_size: int = Field(
        default=15, ge=2, le=10_000_000, description="Smallest topic, in documents."
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Neighbours that make a point dense; as min_cluster_size if none. "
        "Smaller leaves fewer outliers.",
    )
    selection: Literal["eom", "leaf"] = Field(
        default="eom",
        description="Clusters by excess of mass (few, large) or the tree's leaves (many, even).",
    )
    epsilon: float = Field(
        default=0.0, ge=0.0, description="Clusters closer than this distance in the reduced space are joined."
    )
    max_topic_share: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="A topic of more than this share of all documents gives way to the topics inside it, where there "
        "are any; 1 is HDBSCAN's own choice, which on few documents is often the two halves of everything "
        "(tests/benchmarks).",
    )
    n_topics: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Join the most similar topics until no more than so many are left (BERTopic's nr_topics); "
        "no joining if none.",
    )
    max_outlier_share: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Largest share of documents without a topic; the surest beyond it are given to their best topic "
        "and marked as reassigned, with their cosine to its centroid as probability. No bound if none.",
    )


class KMeansCluster(Section):
    """k-means: every document has a topic, there is no noise."""

    model_config = ConfigDict(title="kmeans")

    method: Literal["kmeans"] = Field(description="k-means by scikit-learn.")
    n_clusters: int = Field(default=50, ge=1, le=100_000, description="Number of topics.")


class ClassesCluster(Section):
    """The classes of a trained classifier as topics; documents that it is unsure of have none."""

    model_config = ConfigDict(title="classes")

    method: Literal["classes"] = Field(description="A classifier's classes.")
    classifier: str = Field(
        description="Folder of a run of train_classifier, as runs/classes/latest; its encoder must be that of [embed]."
    )
    threshold: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Least probability; documents below have no topic."
    )


ClusterConfig = Annotated[
    Annotated[HdbscanCluster, Tag("hdbscan")]
    | Annotated[KMeansCluster, Tag("kmeans")]
    | Annotated[ClassesCluster, Tag("classes")],
    method_or("hdbscan"),
    AnyOf(),
]
