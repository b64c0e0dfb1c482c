"""The sections that the flows topic_model and update_topics share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.sections.cluster import ClusterConfig, GraphCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed, for_task
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce, MapConfig, ReduceConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.configs.sections.shaping import EditsConfig, TopicsConfig, TreeConfig
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig, SharesConfig

GRAPH_REDUCTIONS = ("diffusion", "none")
"""Values of reduce.method with directions, whose neighbours `cluster.method = "graph"` needs."""


class TopicSections(FlowConfig):
    """All sections from loading documents to the report of their topics."""

    OF_OTHERS: ClassVar[frozenset[str]] = frozenset()
    """Keys that only other commands read: `topicflow run` and `topicflow update` share one file."""

    load: LoadConfig
    topics: TopicsConfig | None = Field(
        default=None,
        description="Topics that are known beforehand, as given topics or as seeds (none without this section).",
    )
    embed: Annotated[EmbedConfig, for_task("clustering")] = Field(
        default_factory=SentenceTransformersEmbed, validate_default=True
    )
    neighbors: NeighborsConfig = Field(default_factory=NeighborsConfig)
    reduce: ReduceConfig = Field(default_factory=DiffusionReduce)
    map: MapConfig = Field(default_factory=MapConfig)
    cluster: ClusterConfig = Field(default_factory=GraphCluster)
    count: CountConfig = Field(default_factory=CountConfig)
    label: LabelConfig = Field(default_factory=LabelConfig)
    edits: EditsConfig = Field(default_factory=EditsConfig)
    names: NamesConfig | None = Field(
        default=None,
        description="Names of topics by a language model. Without this section topics are named by their keywords and "
        "nothing is sent.",
    )
    tree: TreeConfig | None = Field(
        default=None,
        description="A tree of topics: similar topics in groups, in layers (off without this section).",
    )
    periods: PeriodsConfig | None = Field(
        default=None,
        description="Words, shares and trends of topics in calendar periods. Without this section the report only "
        "shows counts over time.",
    )
    groups: GroupsConfig | None = Field(
        default=None, description="Topics by the values of columns (off without this section)."
    )
    shares: SharesConfig | None = Field(
        default=None, description="Several topics of each document (off without this section)."
    )
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @model_validator(mode="before")
    @classmethod
    def _without_keys_of_others(cls, values: Any) -> Any:  # noqa: ANN401  (whatever a caller gives)
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if key not in cls.OF_OTHERS}

    @model_validator(mode="before")
    @classmethod
    def _methods_fit_each_other(cls, values: Any) -> Any:  # noqa: ANN401  (whatever a caller gives)
        """Where only one of reduce.method and cluster.method is given, take for the other one that fits it."""
        if not isinstance(values, dict):
            return values
        reduce, cluster = (_method_of(values.get(name)) for name in ("reduce", "cluster"))
        if reduce is None and cluster in {"hdbscan", "kmeans"}:
            return {**values, "reduce": {**(values.get("reduce") or {}), "method": "parallel_umap"}}
        if cluster is None and reduce not in {None, *GRAPH_REDUCTIONS}:
            return {**values, "cluster": {**(values.get("cluster") or {}), "method": "hdbscan"}}
        return values

    @model_validator(mode="after")
    def _graph_needs_directions(self) -> Self:
        if self.cluster.method == "graph" and self.reduce.method not in GRAPH_REDUCTIONS:
            msg = (
                f'cluster.method="graph" needs reduce.method "diffusion" or "none", found {self.reduce.method!r}; '
                'use cluster.method="hdbscan"'
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _classes_have_names(self) -> Self:
        if self.names is not None and self.cluster.method == "classes":
            msg = "names: topics of cluster.method='classes' have the names of their classes; remove [names]"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _words_need_an_encoder(self) -> Self:
        if self.label.representation != "ctfidf" and self.embed.method in {"precomputed", "images"}:
            msg = (
                f"label.representation={self.label.representation!r} embeds words and needs an encoder; "
                f"embed.method={self.embed.method!r} has none: use 'ctfidf'"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _given_topics_need_an_encoder(self) -> Self:
        if self.topics is None:
            return self
        if self.embed.method in {"precomputed", "images"}:
            msg = f"topics: given topics are embedded as texts; embed.method={self.embed.method!r} cannot embed texts"
            raise ValueError(msg)
        if self.cluster.method == "classes":
            raise ValueError(
                "topics: cluster.method='classes' has the topics of its classes; remove [topics]"
            )
        return self

    @model_validator(mode="after")
    def _periods_need_times(self) -> Self:
        if self.periods is not None and self.load.timestamp_column is None:
            msg = "periods needs dates; set load.timestamp_column, or remove [periods]"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _groups_are_kept(self) -> Self:
        kept, wanted = self.load.columns, () if self.groups is None else self.groups.columns
        left = [column for column in wanted if kept is not None and column not in kept]
        if left:
            msg = (
                f"groups.columns: {left[0]!r} is not among load.columns; add it there, or remove load.columns"
            )
            raise ValueError(msg)
        return self


def _method_of(section: Any) -> str | None:  # noqa: ANN401  (a dict or a section)
    """Return the method that a section of a config names, None if it names none."""
    found = section.get("method") if isinstance(section, dict) else getattr(section, "method", None)
    return None if found is None else str(found)
