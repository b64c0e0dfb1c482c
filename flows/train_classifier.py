"""The classifier: load, embed, annotate, contest, train, predict, as one Prefect flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from configs.classify import TrainClassifierConfig
from configs.models import SentenceTransformersEmbed
from flows.line import at_work, begin, finished, one_at_a_time, record_failed_run
from tasks.annotate import annotate
from tasks.classifier_run import publish_classifier
from tasks.classifiers import body_config
from tasks.contest import contest
from tasks.embed import embed
from tasks.load import load
from tasks.predict import predict
from tasks.runs import RunRecord
from tasks.store import ArtifactRef, open_store
from tasks.train import train


@flow(
    name="train_classifier",
    flow_run_name="{config.name}",
    persist_result=False,
    on_failure=[record_failed_run],
    task_runner=one_at_a_time(),
)
def train_classifier(config: TrainClassifierConfig) -> RunRecord:
    """Return the record of a run that learns classes from few labels and predicts them of the whole corpus.

    Parameters
    ----------
    config : TrainClassifierConfig
        What to read, where the labels are, what to train and compare, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the labels, the config or the store does not allow a result; the message says what to do.
    """
    run = begin(config)
    store, runs = open_store(config.runtime), Path(config.runtime.runs)
    read, again = load.with_options(retries=config.runtime.retries), embed.with_options(name="reembed")

    with at_work(config) as runtime:
        made: dict[str, ArtifactRef] = {}
        made["load"] = documents = finished("load", read.submit(store, config.load, runtime))
        made["embed"] = embeddings = finished("embed", embed.submit(store, documents, config.embed, runtime))
        made["annotate"] = annotations = finished(
            "annotate", annotate.submit(store, documents, embeddings, config.labels, runs)
        )
        made["contest"] = comparison = finished("contest", contest.submit(store, annotations, config))
        made["train"] = classifier = finished("train", train.submit(store, annotations, comparison, config))
        if store.meta(classifier)["method"] == "setfit" and isinstance(
            config.embed, SentenceTransformersEmbed
        ):
            tuned = body_config(config.embed, store.path(classifier, "body"))
            made["reembed"] = embeddings = finished("reembed", again.submit(store, documents, tuned, runtime))
        predicting = predict.submit(store, documents, embeddings, annotations, classifier, config.predict)
        made["predict"] = finished("predict", predicting)

    return publish_classifier.submit(store, config, made, run).result()
