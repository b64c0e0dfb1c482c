"""The topic model: load, embed, neighbors, reduce, cluster, label, evaluate, report, as one Prefect flow."""

from __future__ import annotations

import contextlib
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from configs.models import TopicModelConfig
from tasks.cluster import check_size, cluster
from tasks.count import count
from tasks.embed import embed
from tasks.errors import ArtifactError
from tasks.evaluate import evaluate
from tasks.label import label
from tasks.load import load
from tasks.neighbors import neighbors
from tasks.progress import display, say, waiting
from tasks.publish import publish
from tasks.recipes import STAGES, map_reduce
from tasks.reduce import reduce
from tasks.report import report
from tasks.runs import RunId, RunRecord, record_failure
from tasks.store import ArtifactRef, open_store
from tasks.workers import started


def record_failed_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Write the record of a run that failed; where even that fails the log has said why."""
    config = TopicModelConfig.model_validate(flow_run.parameters["config"])
    error = state.result(raise_on_failure=False)
    with contextlib.suppress(ArtifactError):
        record_failure(config, RunId.new(config.name), str(error))


@flow(
    name="topic_model",
    flow_run_name="{config.name}",
    persist_result=False,
    on_failure=[record_failed_run],
    # one stage at a time: each uses all cores by itself, and its peak of memory is its own
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]  # a generic that nothing binds
)
def topic_model(config: TopicModelConfig) -> RunRecord:
    """Return the record of a run that turns a corpus into topics, computing only what the store lacks.

    Parameters
    ----------
    config : TopicModelConfig
        What to read, how to model it, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    run = RunId.new(config.name)
    store, seed = open_store(config.runtime), config.seed
    read, draw = load.with_options(retries=config.runtime.retries), reduce.with_options(name="map")

    with display(), started(config.runtime) as runtime:
        documents = finished("load", read.submit(store, config.load, runtime))
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
        page = finished("report", report.submit(store, *shown, config.report, config.name))

    made = (documents, embeddings, graph, reduced, layout, labels, counts, topics, metrics, page)
    return publish.submit(store, config, dict(zip(STAGES, made, strict=True)), run).result()


def finished(stage: str, future: PrefectFuture[Any]) -> ArtifactRef:
    """Return a stage's artifact when it is there, and say so; raise what the stage raised."""
    with waiting(stage):
        ref: ArtifactRef = future.result()
    say(stage, ref)
    return ref
