"""Tuned embeddings: load, examples, embed, tune, embed again with the result, measure."""

from __future__ import annotations

from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.tuning import SyntheticExamples
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.stages import at_work
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed, embed_again
from topicflow.tasks.publish.tuning import publish_tuned, tuned_encoding
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.tuning.examples import examples
from topicflow.tasks.tuning.measure_spaces import measure
from topicflow.tasks.tuning.synthetic import Embedded, synthetic
from topicflow.tasks.tuning.tune import tune


@recorded
def tune_embeddings(config: TuneEmbeddingsConfig) -> RunRecord:
    """Return the record of a run that tunes embeddings on examples and measures raw beside tuned.

    Parameters
    ----------
    config : TuneEmbeddingsConfig
        What to read, which examples to learn from, what to tune and how to measure it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    with at_work(config) as stages:
        documents = stages.run(load, config=config.load)
        if not isinstance(config.examples, SyntheticExamples):
            chosen = stages.run(examples, documents=documents, config=config.examples, split=config.split)
        raw = stages.run(embed, documents=documents, config=config.embed)
        if isinstance(config.examples, SyntheticExamples):
            embedded = Embedded(documents, raw, config.embed, config.load.text_separator)
            chosen = stages.run_as(
                "examples", synthetic, embedded=embedded, config=config.examples, split=config.split
            )
        tuned = stages.run(
            tune,
            documents=documents,
            embeddings=raw,
            chosen=chosen,
            encoding=config.embed,
            config=config.tune,
        )
        encoding = tuned_encoding(stages.context.store, config, tuned)
        moved = stages.run(embed_again, documents=documents, config=encoding)
        stages.run(
            measure,
            chosen=chosen,
            raw=raw,
            tuned=moved,
            encodings=(config.embed, encoding),
            config=config.measure,
        )

    return stages.publish(publish_tuned, config)
