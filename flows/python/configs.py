"""Configs: what a person hands over in Python -> the config of a flow, with the errors of the command line.

| source | config |
|---|---|
| a TOML file | the file, with the keywords as `--set` would change it |
| a file of documents | what `topicflow init` would write for it |
| a table or a list of texts in memory | the same, for a Parquet file of it |
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.paths import absolute_paths, in_work_folder
from topicflow.configs.read import parse_config, read_values, set_value
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.python.frames import TEXT, frame_of, is_texts, write_once
from topicflow.tasks.documents.docstrings import is_docstrings
from topicflow.tasks.documents.first_config import render_config
from topicflow.tasks.documents.guess import guess_config
from topicflow.tasks.errors import ConfigError, DataError

ConfigT = TypeVar("ConfigT", bound=FlowConfig)

WITH_TOPICS = (TopicModelConfig, UpdateTopicsConfig, SweepConfig)
"""Configs that take the sections and the name of a topic model; the others take only how to read the documents."""

PARAMETERS = ("text", "id", "time", "label", "store", "runs", "verbose", "against", "vary")
"""Parameters of the calls that are no keys of a config."""

LOADING = {"text_column": "text", "id_column": "id", "timestamp_column": "time", "label_column": "label"}
"""Keys of the section `load`, and the parameters that set them."""


@dataclass(frozen=True)
class Columns:
    """Which columns contain texts, ids, times and classes; None leaves the choice to the file, or to `init`."""

    text: str | list[str] | tuple[str, ...] | None = None
    id: str | None = None
    time: str | None = None
    label: str | None = None

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of the section `load`."""
        found = {key: getattr(self, parameter) for key, parameter in LOADING.items()}
        return {key: value for key, value in found.items() if value is not None}


def read_config(
    call: str, source: Any, model: type[ConfigT], columns: Columns, keys: Mapping[str, Any]  # noqa: ANN401
) -> ConfigT:  # fmt: skip
    """Return the config of a flow.

    Parameters
    ----------
    call : str
        The name of the call, for messages.
    source : str, Path, table, or sequence of str
        As in the table above.
    model : type
        The flow's config.
    columns : Columns
        The columns that the caller names.
    keys : mapping
        Sections with their values, dotted keys, and `store` and `runs`; None removes a key.

    Raises
    ------
    ConfigError
        If a key or a value is wrong, one line for each.
    DataError
        If the documents cannot be read.
    """
    _check_keywords(call, keys, model)
    given = {key: value for key, value in keys.items() if key not in {"store", "runs"}}
    places = {
        f"runtime.{key}": _from_here(keys[key]) for key in ("store", "runs") if keys.get(key) is not None
    }
    changes = list(
        _flat({**{f"load.{key}": value for key, value in columns.keys.items()}, **given, **places})
    )
    try:
        if _is_toml(source):
            path = Path(source)
            values, said, folder = read_values(path), str(path), path.absolute().parent
        else:
            values, said, folder = _values_of(source, model, columns, _runtime(changes)), call, Path.cwd()
        for key, value in changes:
            _set(values, key, value, model, said)
        return in_work_folder(absolute_paths(parse_config(values, model, said), folder))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_keywords(call: str, keys: Mapping[str, Any], model: type[FlowConfig]) -> None:
    """Raise ConfigError for a keyword that is no key of the config and resembles a parameter of the call."""
    for key in keys.keys() - model.model_fields.keys():
        if "." in key or key in PARAMETERS:
            continue
        near = LOADING.get(key) or next(iter(difflib.get_close_matches(key, PARAMETERS, n=1)), None)
        if near is not None:
            msg = f"{call}: unknown keyword {key}; did you mean {near}?"
            raise ConfigError(msg)


def _values_of(
    source: Any, model: type[FlowConfig], columns: Columns, runtime: RuntimeConfig  # noqa: ANN401
) -> dict[str, Any]:  # fmt: skip
    """Return the values of a config for documents: what `topicflow init` would write, with the flow's own sections."""
    in_memory = not isinstance(source, str | Path)
    path = str(write_once(frame_of(source), runtime)) if in_memory else _from_here(source)
    if is_texts(source):
        values: dict[str, Any] = {"load": {"path": path, "text_column": TEXT}}
    else:
        values = _guessed(path, columns)
    if not issubclass(model, WITH_TOPICS):
        return {"load": values["load"]}
    values.setdefault("cluster", {"min_cluster_size": "auto"})
    if in_memory:  # its file's name is a digest, which is no name for runs
        values.pop("name", None)
    return values


def _guessed(path: str, columns: Columns) -> dict[str, Any]:
    """Return what `topicflow init` would write for a file, without guesses that the caller's columns contradict."""
    try:
        values = tomllib.loads(_init(path))
    except DataError as error:
        if columns.text is None:
            msg = f"{error}; text= names the column of the texts"
            raise DataError(msg) from None
        return {"load": {"path": path, "text_column": columns.text}}
    load = values["load"]
    texts = (columns.text,) if isinstance(columns.text, str) else columns.text or ()
    mine = {"id_column": columns.id, "timestamp_column": columns.time, "label_column": columns.label}
    for key in [key for key in mine if key in load]:
        others = {*texts, *(column for name, column in mine.items() if name != key)}
        if load[key] in others:
            del load[key]
    if load.get("timestamp_column") != (columns.time or load.get("timestamp_column")):
        load.pop("date_order", None)  # it is that of another column
    return values


def _init(path: str) -> str:
    """Return the config that `topicflow init` would write; it reads all rows, so a process remembers it."""
    if is_docstrings(path):  # packages do not change while a process runs
        return _init_once(path, 0, 0)
    file = Path(path)
    if file.is_file():
        return _init_once(path, file.stat().st_size, file.stat().st_mtime_ns)
    return render_config(guess_config(path))


@lru_cache(maxsize=32)
def _init_once(path: str, size: int, mtime_ns: int) -> str:  # noqa: ARG001  (size and time are the cache's key)
    return render_config(guess_config(path))


def _flat(keys: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values; the method of a section first, because it decides which keys fit."""
    for key, value in sorted(keys.items(), key=lambda item: item[0].rpartition(".")[2] != "method"):
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _set(values: dict[str, Any], key: str, value: Any, model: type[FlowConfig], said: str) -> None:  # noqa: ANN401
    """Set a dotted key; None removes it, and an empty section only makes sure that the section is there."""
    parts = key.split(".")
    if value is None:
        section: Any = values
        for part in parts[:-1]:
            section = section.get(part, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section.pop(parts[-1], None)
    elif not (isinstance(value, Mapping) and _holds(values, parts)):
        set_value(values, parts, _plain(value), model, said)


def _holds(values: Mapping[str, Any], parts: list[str]) -> bool:
    """Return whether a key is there."""
    for part in parts[:-1]:
        found = values.get(part)
        values = found if isinstance(found, Mapping) else {}
    return parts[-1] in values


def _plain(value: Any) -> Any:  # noqa: ANN401  (a value of any type)
    """Return a value as TOML would have it: no numbers of numpy, no paths, no series."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | pl.Series):
        return value.tolist() if isinstance(value, np.ndarray) else value.to_list()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _runtime(changes: Sequence[tuple[str, Any]]) -> RuntimeConfig:
    """Return where the work is done, with absolute paths; the file of a table lies beside the store."""
    own = {key: value for key, value in changes if key in {"runtime.store", "runtime.cache", "runtime.runs"}}
    given = {key.rpartition(".")[2]: _plain(value) for key, value in own.items()}
    return in_work_folder(parse_config(given, RuntimeConfig, "runtime"))


def _is_toml(source: Any) -> bool:  # noqa: ANN401  (whatever the caller has)
    return isinstance(source, str | Path) and str(source).lower().endswith(".toml")


def _from_here(path: str | Path) -> str:
    """Return a path as an absolute one; a URL stays."""
    return str(path) if "://" in str(path) else str(Path(path).expanduser().absolute())
