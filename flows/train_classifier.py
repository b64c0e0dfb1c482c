"""The classifier: load, embed, annotate, contest, train, predict, as one Prefect flow."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.flows.running.current import current_id
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.classify.classifiers import body_config
from topicflow.tasks.classify.compare_methods import contest
from topicflow.tasks.classify.labelled_texts import annotate
from topicflow.tasks.classify.predict import predict
from topicflow.tasks.classify.train import train
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.publish.classifier import publish_classifier
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, open_store


@recorded_flow
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
    run = current_id()
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
            tuned = body_config(config.embed, store.whole(classifier, "body"))
            made["reembed"] = embeddings = finished("reembed", again.submit(store, documents, tuned, runtime))
        predicting = predict.submit(store, documents, embeddings, annotations, classifier, config.predict)
        made["predict"] = finished("predict", predicting)

    return publish_classifier.submit(store, config, made, run).result()
