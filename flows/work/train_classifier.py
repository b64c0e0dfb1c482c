"""The classifier: load, embed, read the labels, compare methods, train, predict."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.stages import at_work
from topicflow.tasks.classify.classifiers import body_config
from topicflow.tasks.classify.compare_methods import compare_methods
from topicflow.tasks.classify.labelled_texts import labelled_texts
from topicflow.tasks.classify.predict import predict
from topicflow.tasks.classify.train import train
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed, embed_again
from topicflow.tasks.publish.classifier import publish_classifier
from topicflow.tasks.runs.records import RunRecord


@recorded
def train_classifier(config: TrainClassifierConfig) -> RunRecord:
    """Return the record of a run that learns classes from few labels and predicts the class of every document.

    Parameters
    ----------
    config : TrainClassifierConfig
        What to read, where the labels are, what to train and compare, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the labels, the config or the store does not allow a result; the message says what to do.
    """
    with at_work(config) as stages:
        store, runs = stages.context.store, Path(config.runtime.runs)
        documents = stages.run(load, config=config.load)
        embeddings = stages.run(embed, documents=documents, config=config.embed)
        annotations = stages.run(
            labelled_texts, documents=documents, embeddings=embeddings, config=config.labels, runs=runs,
            columns=config.features,
        )  # fmt: skip
        comparison = stages.run(compare_methods, annotations=annotations, config=config)
        classifier = stages.run(train, annotations=annotations, comparison=comparison, config=config)
        is_setfit = store.meta(classifier)["method"] == "setfit"
        if is_setfit and isinstance(config.embed, SentenceTransformersEmbed):
            tuned = body_config(config.embed, store.whole(classifier, "body"))
            embeddings = stages.run(embed_again, documents=documents, config=tuned)
        stages.run(
            predict, documents=documents, embeddings=embeddings, annotations=annotations, trained=classifier,
            config=config.predict,
        )  # fmt: skip

    return stages.publish(publish_classifier, config)
