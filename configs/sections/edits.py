"""Section `edits`: the file with the changes that a person makes to topics, which every run applies again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from topicflow.configs.fields.base import IsPath, Section

EDITS_FILE = "topics_edits.toml"
"""Name of the file beside a config that is read if the section names none."""


class EditsConfig(Section):
    """Topics that a person merged, renamed, deleted, split or pinned, and documents that a person moved."""

    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        min_length=1,
        description="File of the edits, which `topicflow edit` writes. If not set: topics_edits.toml beside the "
        "config, if there is one.",
    )


def with_file_beside(config: EditsConfig, folder: Path) -> EditsConfig:
    """Return the section with the file beside a config in `folder`, if the section names none and the file exists."""
    beside = folder.absolute() / EDITS_FILE
    return config if config.path is not None or not beside.is_file() else EditsConfig(path=str(beside))
