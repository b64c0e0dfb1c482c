"""Edit stages: apply a person's edits to topics, and describe the edited topics; nothing runs without edits."""

from __future__ import annotations

from dataclasses import replace

from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.flows.running.stages import Stages
from topicflow.tasks.edits.edit import Editable, edit
from topicflow.tasks.edits.wanted import edits_of, foreign_edits
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.topics.final import LABEL_EDITED
from topicflow.tasks.topics.label import Clustered, label


def edited(
    stages: Stages, config: TopicSections, clustered: Clustered, topics: ArtifactRef
) -> tuple[ArtifactRef, ArtifactRef]:
    """Return the labels and the topics that all later stages take: those of `cluster` and `label`, or the edited ones.

    Parameters
    ----------
    stages : Stages
        The run's stages.
    config : TopicSections
        The config, whose section `edits` names the file.
    clustered : Clustered
        What the topics were made from.
    topics : ArtifactRef
        The topics before any edit.
    """
    edits = edits_of(config)
    if foreign := foreign_edits(config):
        series = ", ".join(sorted({str(each.series) for each in foreign}))
        LOG.info("edits: %s edits of %s are not for %s", f"{len(foreign):,}", series, config.name)
    if not edits:
        return clustered.labels, topics
    editable = Editable(clustered.documents, clustered.embeddings, clustered.labels, topics)
    labels = stages.run(edit, editable, edits=edits)
    again = replace(clustered, labels=labels)
    return labels, stages.run_as(
        LABEL_EDITED, label, again, config=config.label, counting=config.count, encoding=config.embed
    )
