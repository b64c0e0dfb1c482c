"""Edits of a run: the artifact of the stage `edit` -> what its record, metrics and remarks say of a person's edits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.shaping import EDITS_FILE, EditsConfig
from topicflow.tasks.edits.edits_file import Edit, with_edit
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import EDIT, RENAME

SectionsT = TypeVar("SectionsT", bound=TopicSections)


def edit_record(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> dict[str, Any]:
    """Return what became of each edit, as a run's record has it; empty without edits."""
    made = stages.get(RENAME, stages.get(EDIT))
    return {} if made is None else {"edits": store.meta(made)["edits"]}


def without_path(config: SectionsT) -> SectionsT:
    """Return the config of a run as its folder has it: the edits that were applied stand beside it in a file."""
    return config.model_copy(update={"edits": EditsConfig()})


def write_edits(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the edits that a run applied into its folder, where its config finds them; no file without edits."""
    text = ""
    for each in record.get("edits", []):
        asked = {key: value for key, value in each["asked"].items() if key != "line"}
        text = with_edit(text, Edit.model_validate(asked), EDITS_FILE)
    if text:
        (folder / EDITS_FILE).write_text(text, encoding="utf-8")


def edit_figures(record: Mapping[str, Any]) -> dict[str, int]:
    """Return how many edits a run has, and how many of them do not apply; empty without edits."""
    edits = record.get("edits", [])
    n_left = sum(not edit["applied"] for edit in edits)
    return {"n_edits": len(edits), "n_edits_not_applied": n_left} if edits else {}


def without_advice(metrics: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics for remarks: a topic that a person made large needs no advice on settings."""
    return {
        name: value
        for name, value in metrics.items()
        if name != "largest_topic_share" or "edits" not in record
    }


def edit_remarks(record: Mapping[str, Any]) -> list[str]:
    """Return a remark for each edit that does not apply, or not to everything that it names; the file keeps them."""
    return [
        f"Edit {number} ({edit['edit']}) {'is applied in part' if edit['applied'] else 'is not applied'}: "
        f"{edit['problem']}. It stays in the file."
        for number, edit in enumerate(record.get("edits", []), 1)
        if edit["problem"]
    ]
