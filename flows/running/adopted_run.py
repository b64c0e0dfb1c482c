"""Adopted run: the published run of a topic model -> the state that the first update of its name continues.

Nothing of the run is computed again, and its topics keep their numbers as ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.running.stages import Stages
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import called
from topicflow.tasks.updates.adopt import adopt
from topicflow.tasks.updates.adoptable import Added, Adoptable, adopted_state, check_adoptable
from topicflow.tasks.updates.assign import cells
from topicflow.tasks.updates.match_topics import match
from topicflow.tasks.updates.match_tree import match_tree
from topicflow.tasks.updates.topic_state import TopicState, save_state


def adopted(
    stages: Stages, config: UpdateTopicsConfig, run: Adoptable, names: Mapping[int, str]
) -> TopicState:
    """Return the state of a run's topics, which is in the store.

    Parameters
    ----------
    stages, config
        The update's stages and its config.
    run : Adoptable
        The run.
    names : mapping of int to str
        Names that a person gave topics beside the runs.

    Raises
    ------
    ConfigError
        If the config reads documents so that those of the run would not be known again.
    """
    check_adoptable(run, config)
    LOG.info("update: continuing from %s; its documents are update 1", called(run.record))
    store, made = stages.context.store, run.made
    arrivals = stages.run(
        adopt, documents=run.documents, loaded=run.loaded, loading=config.load,
        watermark=config.new_documents.watermark,
    )  # fmt: skip
    index = stages.run_as(
        "adopt_cells", cells, embeddings=made["embed"], neighbors=made["neighbors"], labels=run.labels,
        topics=run.topics,
    )  # fmt: skip
    ids = stages.run_as(
        "adopt_ids", match, state=None, labels=run.labels, topics=run.topics, config=config.match,
        unedited=run.unedited,
    )  # fmt: skip
    groups = None
    if "tree" in made:
        groups = stages.run_as(
            "adopt_groups", match_tree, state=None, labels=run.labels, tree=made["tree"], config=config.match
        )
    state = adopted_state(store, config, run, Added(arrivals, index, ids, groups), names)
    return replace(state, key=save_state(store, state).key)
