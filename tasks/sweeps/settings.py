"""Settings: the keys that a sweep varies -> every combination as the config of a topic model, and why some are skipped.

A key that is not varied has the value of the config. A varied method has only its own keys: a key that it lacks is left
out of the setting, and settings that are then equal are one setting.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import parse_config
from topicflow.configs.sections.sweep import VARIED, Value
from topicflow.configs.vary import values_of
from topicflow.tasks.errors import ConfigError, StageError, first_line
from topicflow.tasks.store.artifacts import canonical_json

Values = Mapping[str, Value | None]
"""The values of the varied keys; None for a key that is left out of the config."""


@dataclass(frozen=True)
class Setting:
    """One combination: its number, the values of the varied keys that it has, and its config."""

    number: int
    values: Values
    config: TopicModelConfig

    def __str__(self) -> str:
        """Return the values in one line."""
        return shown(self.values)


@dataclass(frozen=True)
class Skipped:
    """A combination that is not computed, and why."""

    values: Values
    reason: str


@dataclass(frozen=True)
class Grid:
    """The settings of a sweep, and the combinations that are skipped."""

    settings: tuple[Setting, ...]
    skipped: tuple[Skipped, ...]


def grid_of(config: SweepConfig) -> Grid:
    """Return every combination of the varied values.

    Raises
    ------
    ConfigError
        If nothing is varied, a key or value fits no setting, or there are more settings than `sweep.max_settings`.
    """
    try:
        varied = {key: values_of(key, given) for key, given in config.sweep.vary.items()}
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not varied:
        msg = "sweep: nothing is varied; give --vary KEY=VALUES, such as --vary cluster.min_cluster_size=10,20,50"
        raise ConfigError(msg)
    if (n := math.prod(map(len, varied.values()))) > config.sweep.max_settings:
        most = config.sweep.max_settings
        msg = f"sweep: {n:,} settings exceed sweep.max_settings={most}; vary fewer values, or raise it"
        raise ConfigError(msg)
    base = _sections_of(config)
    for key in varied:
        _check_key(config, base, key, varied)
    grid = _combined(config, base, varied)
    _check_values(grid, varied)
    return grid


def without_misfits(grid: Grid, n_docs: int) -> Grid:
    """Return the grid with the settings skipped that need more documents."""
    from topicflow.tasks.requirements.sizes import check_size

    settings, skipped = [], list(grid.skipped)
    for setting in grid.settings:
        try:
            check_size(setting.config.cluster, n_docs)
        except StageError as error:
            skipped.append(Skipped(setting.values, first_line(error)))
        else:
            settings.append(setting)
    return Grid(tuple(settings), tuple(skipped))


def shown(values: Values) -> str:
    """Return values as `key=value` in one line."""
    return " ".join(f"{key}={'unset' if value is None else _text(value)}" for key, value in values.items())


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _combined(
    config: SweepConfig, base: dict[str, dict[str, Any]], varied: Mapping[str, Sequence[Any]]
) -> Grid:
    """Return the combinations that fit a topic model, equal ones once, and the reasons of the others."""
    settings: dict[bytes, Setting] = {}
    skipped: dict[bytes, Skipped] = {}
    rest = config.model_dump(mode="json", exclude_none=True, exclude={*VARIED, "sweep", "names", "gates"})
    for combination in itertools.product(*varied.values()):
        values = dict(zip(varied, combination, strict=True))
        sections, own = _with_values(base, values)
        key = canonical_json(sections)
        if key in settings or key in skipped:
            continue
        try:
            made = parse_config({**rest, **sections}, TopicModelConfig, "sweep")
        except ValueError as error:
            skipped[key] = Skipped(own, "; ".join(_reasons(error)))
            continue
        made = made.model_copy(update={"name": config.name, "runtime": config.runtime})
        same = canonical_json({name: getattr(made, name).model_dump(mode="json") for name in VARIED})
        settings.setdefault(same, Setting(len(settings) + 1, own, made))
    return Grid(tuple(settings.values()), tuple(skipped.values()))


def _sections_of(config: SweepConfig) -> dict[str, dict[str, Any]]:
    """Return the sections that may be varied without values that are their method's defaults, but with the method.

    A default belongs to its method: another method then has its own.
    """
    found = {}
    for name in VARIED:
        section = getattr(config, name)
        method = {"method": section.method} if name in {"reduce", "cluster"} else {}
        found[name] = {**section.model_dump(mode="json", exclude_defaults=True, exclude_none=True), **method}
    return found


def _with_values(
    base: Mapping[str, dict[str, Any]], values: Values
) -> tuple[dict[str, dict[str, Any]], Values]:
    """Return the sections with these values, and the values without keys that a setting's methods lack."""
    sections = {name: dict(section) for name, section in base.items()}
    for name, section in sections.items():
        method = values.get(f"{name}.method")
        if method is not None and method != section.get("method"):
            known = _fields(name, str(method))
            kept = {field: value for field, value in section.items() if not known or field in known}
            sections[name] = {**kept, "method": method}
    own = {}
    for key, value in values.items():
        name, field = key.split(".")
        known = _fields(name, sections[name].get("method"))
        if known and field not in known:
            continue
        own[key] = value
        if value is None:
            sections[name].pop(field, None)
        else:
            sections[name][field] = value
    return sections, own


def _fields(section: str, method: object) -> set[str]:
    """Return the fields of a section with this method; empty if there is no such method."""
    model = _methods(section).get(None if section not in {"reduce", "cluster"} else str(method))
    return set() if model is None else set(model.model_fields)


def _methods(section: str) -> dict[str | None, type[BaseModel]]:
    """Return the models of a section by method; a section without methods has one, None."""
    annotation = TopicModelConfig.model_fields[section].annotation
    if isinstance(annotation, type):
        return {None: annotation}
    variants = [get_args(each)[0] for each in get_args(annotation)]
    return {variant.model_config["title"]: variant for variant in variants}


def _check_key(
    config: SweepConfig, base: Mapping[str, dict[str, Any]], key: str, varied: Mapping[str, Sequence[Any]]
) -> None:
    """Raise ConfigError, as `--set` does, if none of the methods of a sweep has this key."""
    name, field = key.split(".")
    methods = varied.get(f"{name}.method", [base[name].get("method")])
    if any(field in _fields(name, method) for method in methods):
        return
    section = {**base[name], "method": methods[0]} if methods[0] is not None else base[name]
    values = {
        "load": config.load.model_dump(mode="json", exclude_none=True),
        name: {**section, field: varied[key][0]},
    }
    try:
        parse_config(values, TopicModelConfig, "sweep")
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_values(grid: Grid, varied: Mapping[str, Sequence[Any]]) -> None:
    """Raise ConfigError if a value fits no setting: it is wrong itself, not in a combination."""
    for key, values in varied.items():
        for value in values:
            has = [each for each in grid.settings if key in each.values and each.values[key] == value]
            failed = [each for each in grid.skipped if key in each.values and each.values[key] == value]
            if failed and not has:
                raise ConfigError(f"sweep: {failed[0].reason}")


def _reasons(error: ValueError) -> Iterator[str]:
    """Yield the lines of an error without the name of the source."""
    for line in str(error).splitlines():
        yield line.removeprefix("sweep: ")
