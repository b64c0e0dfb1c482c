"""Section `cluster`: how documents become topics."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from topicflow.configs.fields.base import AnyOf, IsPath, Section, method_or

TopicShare = Annotated[
    float,
    Field(
        gt=0.0,
        le=1.0,
        description="A topic with more than this share of all documents is replaced by the topics inside it, if there "
        "are any. 1 is plain excess of mass, HDBSCAN's own choice, which often splits a small corpus into two halves "
        "(tests/benchmarks).",
    ),
]

NumberOfTopics = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None,
    Field(
        description="Merge the most similar topics until at most this many are left (BERTopic's nr_topics). If not "
        "set: no merging."
    ),
]

OutlierShare = Annotated[
    Annotated[float, Field(ge=0.0, le=1.0)] | None,
    Field(
        description="Maximum share of outliers. Outliers above it are reassigned to their best topic, the most certain "
        "first, and marked; their probability is the cosine to its centroid. If not set: no limit."
    ),
]


MOST_SAMPLES = 199
"""Maximum of min_samples in a neighbour graph: a document and 199 others are the most neighbours of a graph."""


LEAST_TOPIC, LARGEST_TOPIC = 2, 10_000_000
"""Bounds of min_cluster_size."""


def _kind(value: Any) -> str:  # noqa: ANN401  (whatever a config has)
    return "auto" if isinstance(value, str) and not value.isdecimal() else "number"


SmallestTopic = Annotated[
    Annotated[int, Field(ge=LEAST_TOPIC, le=LARGEST_TOPIC), Tag("number")]
    | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(_kind),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string", "const": "auto"}],
            "minimum": LEAST_TOPIC,  # of numbers; beside the union, so that the Prefect form names the bound
            "maximum": LARGEST_TOPIC,
        }
    ),
    Field(
        description="Smallest topic, in documents; or auto: chosen from the data, as many topics as `topics` or "
        "`about` wishes."
    ),
]

Wish = Annotated[
    Literal["few", "medium", "many"] | None,
    Field(
        description='With min_cluster_size = "auto": broad topics (few), what agreed best with known labels (medium), '
        "or fine topics (many). If not set, and no `about`: medium."
    ),
]

About = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None,
    Field(description='With min_cluster_size = "auto": about this many topics, as near as a size gets.'),
]


class DensityCluster(Section):
    """What both methods that find dense parts share: the smallest topic is a number, or it is chosen from the data."""

    min_cluster_size: SmallestTopic = 15
    topics: Wish = None
    about: About = None

    @model_validator(mode="after")
    def _wishes_need_auto(self) -> Self:
        if self.topics is not None and self.about is not None:
            msg = f"topics={self.topics!r} and about={self.about} are two wishes; remove one"
            raise ValueError(msg)
        name = "topics" if self.topics is not None else "about" if self.about is not None else None
        if name is not None and self.min_cluster_size != "auto":
            msg = (
                f'{name}={getattr(self, name)!r} needs min_cluster_size = "auto", found {self.min_cluster_size}; '
                f"set it, or remove {name}"
            )
            raise ValueError(msg)
        return self


class GraphCluster(DensityCluster):
    """Dense parts of the neighbour graph are topics; other documents join the nearest one, or are outliers."""

    model_config = ConfigDict(title="graph")

    method: Literal["graph"] = Field(
        default="graph",
        description="HDBSCAN's hierarchy on the neighbour graph finds the cores of topics; the other documents join "
        "the nearest core. Needs reduce.method diffusion or none.",
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=MOST_SAMPLES,
        description="Neighbours that make a document dense; more give fewer and broader topics. If not set: half of "
        "min_cluster_size.",
    )
    selection: Literal["eom", "leaf"] = Field(
        default="eom",
        description="Cores by excess of mass (few, large) or the leaves of the tree (many, even).",
    )
    max_topic_share: TopicShare = 0.5
    n_topics: NumberOfTopics = None
    max_outlier_share: OutlierShare = None


class HdbscanCluster(DensityCluster):
    """HDBSCAN: topics of any shape, and outliers without a topic."""

    model_config = ConfigDict(title="hdbscan")

    method: Literal["hdbscan"] = Field(description="HDBSCAN on the reduced vectors.")
    implementation: Literal["auto", "reference", "fast"] = Field(
        default="auto",
        description="reference is the hdbscan package; fast is our own implementation on all cores, with the same "
        "clusters except where distances tie; auto is fast above 10,000 documents (tests/benchmarks).",
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Neighbours that make a point dense; fewer leave fewer outliers. If not set: min_cluster_size.",
    )
    selection: Literal["eom", "leaf"] = Field(
        default="eom",
        description="Clusters by excess of mass (few, large) or the leaves of the tree (many, even).",
    )
    epsilon: float = Field(
        default=0.0, ge=0.0, description="Clusters closer than this distance in the reduced space are merged."
    )
    max_topic_share: TopicShare = 0.5
    n_topics: NumberOfTopics = None
    max_outlier_share: OutlierShare = None


class KMeansCluster(Section):
    """k-means: every document has a topic, and there are no outliers."""

    model_config = ConfigDict(title="kmeans")

    method: Literal["kmeans"] = Field(description="k-means by scikit-learn.")
    n_clusters: int = Field(default=50, ge=1, le=100_000, description="Number of topics.")


class ClassesCluster(Section):
    """The classes of a trained classifier as topics; documents below its threshold are outliers."""

    model_config = ConfigDict(title="classes")

    method: Literal["classes"] = Field(description="A classifier's classes.")
    classifier: Annotated[str, IsPath()] = Field(
        description="Folder of a run of train_classifier, such as runs/classes/latest. [embed] must be the same there."
    )
    threshold: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Minimum probability; documents below it have no topic."
    )


ClusterConfig = Annotated[
    Annotated[GraphCluster, Tag("graph")]
    | Annotated[HdbscanCluster, Tag("hdbscan")]
    | Annotated[KMeansCluster, Tag("kmeans")]
    | Annotated[ClassesCluster, Tag("classes")],
    method_or("graph"),
    AnyOf(),
]
