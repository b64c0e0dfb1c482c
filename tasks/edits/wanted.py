"""Wanted edits: a config -> the edits that its run applies, in order, each with documents or keywords of its topics.

An edit that names a topic only by its number is completed from the folder of the run that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.tasks.edits.edits_file import Edit, NamedTopic, read_edits
from topicflow.tasks.edits.names_file import edits_of_names
from topicflow.tasks.edits.run_topics import RunTopics
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.history import RunRecord
from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve
from topicflow.tasks.store.artifacts import canonical_json, digest


def edits_of(config: TopicSections) -> list[Edit]:
    """Return the edits of a config's file that are for its series, and then the names in a topic model's series.

    None without a file. In a series of updates the update itself reads the names, whose ids are permanent there.

    Raises
    ------
    ConfigError
        If the file that the config names is not there, cannot be read, or has a wrong edit.
    """
    runs = Path(config.runtime.runs)
    edits = [] if config.edits.path is None else read_edits(Path(config.edits.path))
    own = [completed(edit, runs) for edit in edits if edit.series in {None, config.name}]
    names = edits_of_names(runs / config.name) if config.flow == "topic_model" else []
    return [*own, *names]


def without_renames(edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits that can change topics of documents; a rename changes a name only."""
    return [edit for edit in edits if edit.action != "rename"]


def digest_of(edits: Sequence[Edit]) -> str:
    """Return the digest of edits in order; empty for none."""
    return digest(canonical_json([each.digest for each in edits])) if edits else ""


def foreign_edits(config: TopicSections) -> list[Edit]:
    """Return the edits of a config's file that were made on runs of another series."""
    if config.edits.path is None:
        return []
    return [edit for edit in read_edits(Path(config.edits.path)) if edit.series not in {None, config.name}]


def completed(edit: Edit, runs: Path) -> Edit:
    """Return an edit with documents and keywords of the topics of which it has only the number.

    If the run is not there any more, the topic has neither, and the edit will not apply.
    """
    if edit.run is None or all(topic.is_described for topic in edit.topics):
        return edit
    try:
        run = RunTopics.of(resolve(runs, edit.run, flow=TOPIC_FLOWS))
    except (ConfigError, ArtifactError):
        return edit
    topics = tuple(
        topic if topic.is_described or topic.id not in run.ids else run.named(topic.id)
        for topic in edit.topics
    )
    return edit.model_copy(update={"topics": topics})


def problems_of(record: RunRecord) -> dict[str, str]:
    """Return why edits did not apply in a run, or not to all that they name, by the edit's digest."""
    found = {}
    for each in record.get("edits", []):
        asked = {key: value for key, value in each["asked"].items() if key != "line"}
        if each["problem"]:
            found[Edit.model_validate(asked).digest] = str(each["problem"])
    return found


def described_topics(run: RunTopics, numbers: list[int]) -> tuple[NamedTopic, ...]:
    """Return topics of a run by number, as an edit names them; raise ConfigError if one is not there."""
    for number in numbers:
        run.check(number)
    return tuple(run.named(number) for number in numbers)
