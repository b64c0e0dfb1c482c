"""Grouped options: options that several commands share stand once, as the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from inspect import Parameter
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer in which each field of a dataclass parameter is an option or argument of its own.

    Typer reads the signature of a function and knows no groups. The returned function has the signature that typer
    needs, and gives the values of a group to `command` as one object.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    groups = {name: each.annotation for name, each in parameters.items() if _is_group(each)}

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401  (what typer has parsed)
        for name, group in groups.items():
            fields = dataclasses.fields(group)
            given[name] = group(**{field.name: given.pop(field.name) for field in fields})
        command(**given)

    vars(run)["__signature__"] = inspect.Signature(list(_options(parameters.values(), groups)))
    return run


def _is_group(parameter: Parameter) -> bool:
    return dataclasses.is_dataclass(parameter.annotation)


def _options(parameters: Iterable[Parameter], groups: dict[str, type]) -> Iterator[Parameter]:
    """Yield the parameters with those of each group in its place; all by keyword, so that defaults may come first."""
    for parameter in parameters:
        if parameter.name not in groups:
            yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
            continue
        group: Any = groups[parameter.name]
        hints = get_type_hints(group, include_extras=True)
        for field in dataclasses.fields(group):
            default = Parameter.empty if field.default is dataclasses.MISSING else field.default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
