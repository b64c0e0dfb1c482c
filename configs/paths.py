"""Paths: a config and the folder of its file -> the config with absolute paths.

A path that is written in a config is relative to the folder of the config's file, wherever the command is started.
If the store and the runs are not set, they are `store` and `runs` in the folder where the command is started. A
worker of Prefect has no such folder: it names one in WORK_FOLDER, or its configs name absolute paths.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from topicflow.configs.fields.base import IsPath

WORK_FOLDER = "TOPICFLOW_WORK_FOLDER"
"""Environment variable: the folder that relative paths of a config without a file are relative to."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def absolute_paths(config: ConfigT, folder: Path, *, defaults: bool = False) -> ConfigT:
    """Return the config with its relative paths made absolute.

    Parameters
    ----------
    config : BaseModel
        Any config or section.
    folder : Path
        What the paths are relative to.
    defaults : bool
        Change fields that are not given, too: the store and the runs.
    """
    changes: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        marks = [mark for mark in field.metadata if isinstance(mark, IsPath)]
        if marks and (defaults or name in config.model_fields_set or marks[0].default_too):
            changes[name] = _placed(value, folder)
        elif isinstance(value, BaseModel):
            changes[name] = absolute_paths(value, folder, defaults=defaults)
        elif isinstance(value, tuple) and value and all(isinstance(item, BaseModel) for item in value):
            changes[name] = tuple(absolute_paths(item, folder, defaults=defaults) for item in value)
    changed = {name: value for name, value in changes.items() if value != getattr(config, name)}
    return config.model_copy(update=changed) if changed else config


def _placed(value: Any, folder: Path) -> Any:  # noqa: ANN401  (a path, several, or none)
    if value is None:
        return None
    if isinstance(value, str):
        return (
            value if _stands_alone(value) else os.path.normpath(folder.absolute() / Path(value).expanduser())
        )
    return tuple(_placed(item, folder) for item in value)


def _stands_alone(path: str) -> bool:
    """Return whether a path means the same in every folder: an absolute one, or a URL."""
    return "://" in path or Path(path).is_absolute()


def work_folder() -> Path:
    """Return the folder that a config without a file is relative to.

    Raises
    ------
    ValueError
        When this process runs in a temporary folder of a Prefect worker, which is deleted with all that is in it.
    """
    if named := os.environ.get(WORK_FOLDER):
        return Path(named)
    here = Path.cwd()
    if "PREFECT__FLOW_RUN_ID" in os.environ and here.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        msg = (
            f"this run works in {here}, a temporary folder that its worker deletes; give absolute paths for "
            f"the store, the runs and the input, or name a folder in the work pool's variable {WORK_FOLDER}"
        )
        raise ValueError(msg)
    return here


def in_work_folder(config: ConfigT) -> ConfigT:
    """Return the config with all its paths absolute; raise ValueError if a relative one has no folder."""
    everywhere = absolute_paths(config, Path("/"), defaults=True)
    if everywhere == config:  # nothing relative: the folder of the process does not matter
        return config
    return absolute_paths(config, work_folder(), defaults=True)
