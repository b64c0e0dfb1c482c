"""Tuned embeddings: load, examples, embed, tune, embed with what was tuned, judge, as one Prefect flow."""

from __future__ import annotations

from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.flows.running.current import current_id
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.publish.tuning import publish_tuned, tuned_encoding
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.store.artifact_store import open_store
from topicflow.tasks.tuning.examples import examples
from topicflow.tasks.tuning.measure_spaces import judge
from topicflow.tasks.tuning.tune import tune

STAGES = ("load", "examples", "embed", "tune", "re-embed", "judge")
"""The steps of a tuning, in order; `re-embed` is the embed stage with the adapter or the tuned model."""


@recorded_flow
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
    run = current_id()
    store, seed = open_store(config.runtime), config.seed
    read, again = load.with_options(retries=config.runtime.retries), embed.with_options(name="re-embed")

    with at_work(config) as runtime:
        documents = finished("load", read.submit(store, config.load, runtime))
        chosen = finished(
            "examples", examples.submit(store, documents, config.examples, config.split, seed, runtime)
        )
        raw = finished("embed", embed.submit(store, documents, config.embed, runtime))
        trained = (documents, raw, chosen, config.embed)
        tuned = finished("tune", tune.submit(store, *trained, config.tune, seed, runtime))
        encoding = tuned_encoding(store, config, tuned)
        moved = finished("re-embed", again.submit(store, documents, encoding, runtime))
        spaces = (chosen, raw, moved, (config.embed, encoding))
        metrics = finished("judge", judge.submit(store, *spaces, config.judge, seed, runtime))

    made = (documents, chosen, raw, tuned, moved, metrics)
    return publish_tuned.submit(store, config, dict(zip(STAGES, made, strict=True)), run).result()
