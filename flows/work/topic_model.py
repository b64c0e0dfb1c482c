"""The topic model: load, (deduplicate,) embed, neighbors, reduce, cluster, label, evaluate, report, (gate)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.flows.running.duplicate_stages import kept_documents
from topicflow.flows.running.edit_stages import edited
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.seed_stages import ended_seeds, pulled_vectors, sizing_labels
from topicflow.flows.running.stages import at_work
from topicflow.tasks.edits.wanted import edits_of
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.given.given import Findable, given
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.name import name
from topicflow.tasks.periods.counted import Counted
from topicflow.tasks.periods.groups import check_columns, groups
from topicflow.tasks.periods.periods import periods
from topicflow.tasks.publish.gate import gate
from topicflow.tasks.publish.topic_model import publish
from topicflow.tasks.report.report import Shown, report
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.resolve import published_metrics
from topicflow.tasks.shares.shares import Divisible, shares
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.evaluate import Measured, evaluate
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import draw, reduce
from topicflow.tasks.tree.tree import Grouped, tree


@recorded
def topic_model(config: TopicModelConfig) -> RunRecord:
    """Return the record of a run that turns a corpus into topics, computing only what the store lacks.

    Parameters
    ----------
    config : TopicModelConfig
        What to read, how to model it, where to keep it, what a run must reach to be published.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    with at_work(config) as stages:
        corpus = kept_documents(stages, config)
        documents = corpus.documents
        check_size(config.cluster, documents.rows)
        if config.groups is not None:
            check_columns(stages.context.store.table(documents, "columns"), config.groups)
        embeddings = stages.run(embed, documents=documents, config=config.embed)
        vectors, seeds = pulled_vectors(stages, config, documents, embeddings)
        sizing = sizing_labels(stages, config, embeddings)
        graph = stages.run(neighbors, embeddings=vectors, config=config.neighbors)
        reduced = stages.run(reduce, embeddings=vectors, neighbors=graph, config=config.reduce)
        layout = stages.run(draw, embeddings=vectors, neighbors=graph, config=map_reduce(config.map))
        labels = stages.run(
            cluster,
            embeddings=vectors,
            neighbors=graph,
            reduced=reduced,
            config=config.cluster,
            sizing=sizing,
        )
        if isinstance(config.topics, ZeroShotTopics):
            findable = Findable(documents, embeddings, labels)
            labels = stages.run(
                given, findable, config=config.topics, clustering=config.cluster, encoding=config.embed
            )
        counts = stages.run(count, documents=documents, config=config.count)
        clustered = Clustered(documents, embeddings, labels, counts, seeds)
        topics = stages.run(
            label, clustered, config=config.label, counting=config.count, encoding=config.embed
        )
        changed = edited(stages, config, clustered, topics, edits_of(config))
        labels, topics, named = changed.labels, changed.topics, changed.renamed
        grown = None
        if config.tree is not None:
            grouped = Grouped(embeddings, graph, labels, counts, topics)
            grown = stages.run(tree, grouped, config=config.tree, labelling=config.label)
        if config.names is not None:
            modelled = Modelled(documents, embeddings, labels, named or topics, grown)
            named = stages.run(name, modelled, config=config.names, encoding=config.embed)
        measured = Measured(documents, embeddings, reduced, labels, topics)
        metrics = stages.run(evaluate, measured, config=config.evaluate, counting=config.count)
        shown = Shown(
            documents,
            layout,
            labels,
            topics,
            metrics,
            embeddings,
            corpus.loaded,
            corpus.duplicates,
            named,
            grown,
        )
        counted = Counted(documents, labels, counts)
        if config.periods is not None:
            made = stages.run(periods, counted, config=config.periods, weighting=config.label)
            shown = replace(shown, periods=made)
        if config.groups is not None:
            made = stages.run(groups, counted, config=config.groups, weighting=config.label)
            shown = replace(shown, groups=made)
        if config.shares is not None:
            divisible = Divisible(documents, embeddings, labels, counts, topics)
            made = stages.run(shares, divisible, config=config.shares)
            shown = replace(shown, shares=made)
        shown = replace(shown, seeds=ended_seeds(stages, clustered, labels))
        stages.run(report, shown, config=config.report, name=config.name)
        if config.gates is not None:
            before = published_metrics(Path(config.runtime.runs), config.name)
            stages.run(gate, measured=metrics, before=before, config=config.gates)

    return stages.publish(publish, config)
