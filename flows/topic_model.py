"""The topic model: load, (deduplicate,) embed, neighbors, reduce, cluster, label, evaluate, report, (gate): a flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from configs.models import TopicModelConfig
from flows.duplicates import duplicate_stages
from flows.line import at_work, begin, finished, one_at_a_time, record_failed_run
from tasks.cluster import check_size, cluster
from tasks.count import count
from tasks.deduplicate import keep
from tasks.embed import embed
from tasks.evaluate import evaluate
from tasks.gate import gate
from tasks.label import label
from tasks.load import load
from tasks.neighbors import neighbors
from tasks.publish import publish
from tasks.recipes import STAGES, map_reduce
from tasks.reduce import reduce
from tasks.report import report
from tasks.runs import RunRecord, published_metrics
from tasks.store import open_store


@flow(
    name="topic_model",
    flow_run_name="{config.name}",
    persist_result=False,
    on_failure=[record_failed_run],
    task_runner=one_at_a_time(),
)
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
    run = begin(config)
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
        whole = (made["load"], made.get("deduplicate"))
        page = finished("report", report.submit(store, *shown, config.report, config.name, *whole))
        modelled_by = (embeddings, graph, reduced, layout, labels, counts, topics, metrics, page)
        made |= zip(STAGES[1:], modelled_by, strict=True)
        if config.gates is not None:
            before = published_metrics(Path(config.runtime.runs), config.name)
            made["gate"] = finished("gate", gate.submit(store, metrics, before, config.gates))

    return publish.submit(store, config, made, run).result()
