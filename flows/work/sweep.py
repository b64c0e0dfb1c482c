"""Sweep: load, (deduplicate,) embed, count, then every setting of a grid."""

from __future__ import annotations

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.flows.running.duplicate_stages import kept_documents
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.stages import at_work
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.publish.sweep import publish_sweep
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.sweeps.confirm import confirm, shown_neighbors
from topicflow.tasks.sweeps.page import Compared, page
from topicflow.tasks.sweeps.settings import grid_of
from topicflow.tasks.sweeps.sweep import sweep as fit_settings
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import draw


@recorded
def sweep(config: SweepConfig) -> RunRecord:
    """Return the record of a run that fits a topic model with many settings and recommends one.

    Parameters
    ----------
    config : SweepConfig
        The config of a topic model, and which of its keys to vary.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    grid_of(config)  # a wrong key is refused before anything is read
    with at_work(config) as stages:
        documents = kept_documents(stages, config).documents
        embeddings = stages.run(embed, documents=documents, config=config.embed)
        counts = stages.run(count, documents=documents, config=config.count)
        corpus = {"documents": documents, "embeddings": embeddings, "counts": counts}
        swept = stages.run(fit_settings, **corpus, config=config)
        confirmed = stages.run(confirm, **corpus, swept=swept, config=config)
        graph = stages.run(
            neighbors, embeddings=embeddings, config=shown_neighbors(stages.context.store, confirmed, config)
        )
        layout = stages.run(draw, embeddings=embeddings, neighbors=graph, config=map_reduce(config.map))
        stages.run(page, Compared(documents, layout, swept, confirmed), config.name)

    return stages.publish(publish_sweep, config)
