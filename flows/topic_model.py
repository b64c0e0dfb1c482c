"""The topic model: load, (deduplicate,) embed, neighbors, reduce, cluster, label, evaluate, report, (gate): a flow."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.flows.planning.stages import STAGES, stages_of
from topicflow.flows.running.current import current_id
from topicflow.flows.running.duplicate_stages import duplicate_stages
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.documents.load import load
from topicflow.tasks.duplicates.deduplicate import keep
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.name import name
from topicflow.tasks.publish.gate import gate
from topicflow.tasks.publish.topic_model import publish
from topicflow.tasks.report.report import report
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.resolve import published_metrics
from topicflow.tasks.store.artifact_store import open_store
from topicflow.tasks.topics.cluster import check_size, cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.evaluate import evaluate
from topicflow.tasks.topics.label import label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import reduce


@recorded_flow
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
    run = current_id()
    store, seed = open_store(config.runtime), config.seed
    read, draw = load.with_options(retries=config.runtime.retries), reduce.with_options(name="map")

    with at_work(config) as runtime:
        documents = finished("load", read.submit(store, config.load, runtime))
        made = {"load": documents}
        if config.deduplicate is not None:
            found = duplicate_stages(
                store, documents, None, config.embed, config.deduplicate, seed, runtime, "embed_all"
            )
            made |= found
            documents = finished("keep", keep.submit(store, documents, made["deduplicate"]))
            made["keep"] = documents
        check_size(config.cluster, documents.rows)
        embeddings = finished("embed", embed.submit(store, documents, config.embed, runtime))
        graph = finished("neighbors", neighbors.submit(store, embeddings, config.neighbors, seed, runtime))
        reduced = finished("reduce", reduce.submit(store, embeddings, graph, config.reduce, seed, runtime))
        layout = finished("map", draw.submit(store, embeddings, graph, map_reduce(config.map), seed, runtime))
        labels = finished(
            "cluster", cluster.submit(store, embeddings, graph, reduced, config.cluster, seed, runtime)
        )
        counts = finished("count", count.submit(store, documents, config.count, runtime))
        modelled = (documents, embeddings, labels, counts)
        topics = finished(
            "label", label.submit(store, *modelled, config.label, config.count, config.embed, runtime)
        )
        measured = (documents, embeddings, reduced, labels, topics)
        metrics = finished("evaluate", evaluate.submit(store, *measured, config.evaluate, config.count, seed))
        shown = (documents, layout, labels, topics, metrics)
        if config.names is not None:
            made_of = Modelled(documents, embeddings, labels, topics)
            asked = name.submit(store, made_of, config.names, config.embed, runtime)
            made["name"] = finished("name", asked)
        whole = (made["load"], made.get("deduplicate"), made.get("name"))
        page = finished("report", report.submit(store, *shown, config.report, config.name, *whole))
        modelled_by = (embeddings, graph, reduced, layout, labels, counts, topics, metrics, page)
        made |= zip(STAGES[1:], modelled_by, strict=True)
        if config.gates is not None:
            before = published_metrics(Path(config.runtime.runs), config.name)
            made["gate"] = finished("gate", gate.submit(store, metrics, before, config.gates))

    ordered = {stage: made[stage] for stage in stages_of(config)}
    return publish.submit(store, config, ordered, run).result()
