"""Config files: TOML and dotted overrides -> a validated config, or one line for each problem.

This module imports nothing of the project except the config models, so its errors are `ValueError`s; the command line
and the flows turn them into `ConfigError`.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from topicflow.configs.fields.secrets import HIDDEN, holds_credentials, shown
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.paths import absolute_paths
from topicflow.configs.sections.shaping import with_file_beside

ConfigT = TypeVar("ConfigT", bound=BaseModel)

MAX_SHOWN = 3
"""Keys of other sections with the name of an unknown key that an error lists; a name in more of them says little."""

_TYPE_TAGS = {"str", "tuple[str, ...]", "function-after", "number", "auto"}
"""Names that pydantic puts into an error's location for the types of a union; no config key has these names."""


def load_config(
    path: Path,
    overrides: Iterable[str] = (),
    model: type[ConfigT] = TopicModelConfig,  # type: ignore[assignment]
) -> ConfigT:
    """Return the config of a TOML file with `key=value` overrides applied.

    Parameters
    ----------
    path : Path
        A TOML file.
    overrides : iterable of str
        Dotted keys with TOML values, such as `cluster.min_cluster_size=50`; a value that is not TOML is a string.
    model : type
        The pydantic model that the file must fit.

    Raises
    ------
    ValueError
        When the file is missing or not TOML, or a key or value is wrong; the message has one line for each problem.

    Notes
    -----
    Paths in the file, and those of overrides, are relative to the file's folder; they come back absolute. A file of
    edits beside the config belongs to it.
    """
    values = read_values(path)
    for override in overrides:
        apply_override(values, override, model)
    config = absolute_paths(parse_config(values, model, source=str(path)), path.parent)
    if isinstance(config, TopicSections):
        config = config.model_copy(update={"edits": with_file_beside(config.edits, path.parent)})
    return config


def read_values(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file; raise ValueError, one line, if it is missing or not TOML."""
    if holds_credentials(str(path)):
        msg = "CONFIG: expected the path of a TOML file without credentials"
        raise ValueError(msg)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        is_lost = isinstance(error, FileNotFoundError)
        msg = f"{path}: no such config file" if is_lost else f"{path}: {reason}{_no_config(path)}"
        raise ValueError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 text ({error.reason} at byte {error.start}){_no_config(path)}"
        raise ValueError(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: not valid TOML: {error}{_no_config(path)}"
        raise ValueError(msg) from None


def _no_config(path: Path) -> str:
    """Return what to do with a file, or a folder, that is not named as a config."""
    if path.suffix.lower() == ".toml":
        return ""
    return f"; if it holds documents, `topicflow init {path}` writes a config for them"


def parse_config(values: Mapping[str, Any], model: type[ConfigT], source: str) -> ConfigT:
    """Return `values` as a `model`; raise ValueError with one line for each problem that names `source`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [f"{source}: {_describe(detail, model)}" for detail in _one_a_value(error.errors())]
        raise ValueError("\n".join(problems)) from None


def apply_override(values: dict[str, Any], override: str, model: type[BaseModel] = TopicModelConfig) -> None:
    """Set one dotted `key=value` in `values` in place; raise ValueError if it has no `=`.

    Another `method` has other fields. Fields of the old method that the new one lacks are deleted, because the model
    would reject them.
    """
    key, equals, raw = override.partition("=")
    said = HIDDEN if holds_credentials(override) else override
    if not equals or not key.strip():
        msg = f"--set {said}: expected key=value, such as cluster.min_cluster_size=50"
        raise ValueError(msg)
    set_value(values, key.strip().split("."), _toml_value(raw), model, f"--set {said}")


def set_value(
    values: dict[str, Any],
    parts: Sequence[str],
    value: Any,  # noqa: ANN401  (a TOML value has any type)
    model: type[BaseModel],
    said: str,
) -> None:
    """Set the value of a key, given by its parts, in `values` in place; `said` begins a message.

    Another `method` has other fields, as in `apply_override`.

    Raises
    ------
    ValueError
        If a part of the key is a value and not a section.
    """
    section = values
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            msg = f"{said}: {part} is a value, not a section"
            raise ValueError(msg)
    section[parts[-1]] = value
    if parts[-1] == "method" and (known := _fields_of_method(list(parts[:-1]), str(value), model)):
        for foreign in section.keys() - known:
            del section[foreign]


def dump_config(config: BaseModel) -> str:
    """Return the config as TOML that `load_config` reads back to an equal config."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True), multiline_strings=False)


def explain(model: type[BaseModel] = TopicModelConfig) -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type and bounds, default, description) of every field of a config, in order."""
    schema = _schema_of(model)
    yield from _explain_object(schema, schema.get("$defs", {}), prefix="")


def _toml_value(raw: str) -> Any:  # noqa: ANN401  (a TOML value has any type)
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _fields_of_method(section: list[str], method: str, model: type[BaseModel]) -> set[str]:
    """Return the fields of one variant of a section that is a union on `method`; empty for other sections."""
    schema = _schema_of(model)
    definitions = schema.get("$defs", {})
    node = schema
    for part in section:
        node = _resolve(node.get("properties", {}).get(part, {}), definitions)
    variants = {_tag_of(variant, definitions): variant for variant in _variants(node)}
    return set(_resolve(variants.get(method, {}), definitions).get("properties", {}))


def _one_a_value(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the deepest error of each value; the other errors come from the other types of a union."""
    deepest: dict[tuple[str, ...], ErrorDetails] = {}
    for error in errors:
        cut = next((i for i, part in enumerate(error["loc"]) if part in _TYPE_TAGS), len(error["loc"]))
        value = tuple(str(part) for part in error["loc"][:cut])
        if value not in deepest or len(error["loc"]) > len(deepest[value]["loc"]):
            deepest[value] = error
    return list(deepest.values())


@functools.cache
def _schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the JSON schema of a config, only to read; it is made once, because that takes long."""
    return model.model_json_schema()


def _describe(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return one line for one pydantic error: the key, what was found, what was expected."""
    location = [str(part) for part in detail["loc"]]
    section, known = _section_of(location, model)
    key = ".".join(section)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {shown(key)}{_hint(section, location[-1], known, model)}"
    if detail["type"] == "union_tag_invalid":
        expected = str(detail.get("ctx", {}).get("expected_tags", ""))
        return f"{key}.method: found {shown(detail.get('ctx', {}).get('tag'))}, expected one of {expected}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "model_type":
        return f"{key}: expected a section, found {shown(detail['input'])}"
    if "str" in location:  # a union of text and a list of texts
        return f"{key}: expected text or a list of texts, found {shown(detail['input'])}"
    is_secret = holds_credentials(str(detail["input"]))
    found = "" if isinstance(detail["input"], dict) or is_secret else f", found {detail['input']!r}"
    return f"{key}: {message[0].lower() + message[1:]}{found}" if key else message


def _hint(section: list[str], name: str, known: list[str], model: type[BaseModel]) -> str:
    """Return what to write instead of an unknown key: the method that has it, the nearest name, or all names."""
    if methods := _methods_with(section, model):
        named = " or ".join(f'{section[0]}.method = "{method}"' for method in methods)
        return f" for this method; it needs {named}"
    elsewhere = dict.fromkeys(key for key, *_ in explain(model) if key.rpartition(".")[2] == name)
    if 0 < len(elsewhere) <= MAX_SHOWN:
        return f"; did you mean {' or '.join(elsewhere)}?"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _methods_with(section: list[str], model: type[BaseModel]) -> list[str]:
    """Return the methods of a section that is a union on `method` which have a key; none for other sections."""
    if len(section) != 2:
        return []
    schema = _schema_of(model)
    definitions = schema.get("$defs", {})
    node = _resolve(schema.get("properties", {}).get(section[0], {}), definitions)
    variants = [
        (_tag_of(variant, definitions), _resolve(variant, definitions)) for variant in _variants(node)
    ]
    return [tag for tag, variant in variants if section[1] in variant.get("properties", {})]


def _section_of(location: list[str], model: type[BaseModel]) -> tuple[list[str], list[str]]:
    """Return an error location without union tags, and the names known in its innermost section."""
    schema = _schema_of(model)
    definitions = schema.get("$defs", {})
    node, path = schema, []
    known: list[str] = list(schema.get("properties", {}))
    for part in location:
        variants = {_tag_of(variant, definitions): variant for variant in _variants(node)}
        if part in variants:
            node = _resolve(variants[part], definitions)
            known = list(node.get("properties", {}))
            continue
        path.append(part)
        of_list = node.get("items", {}) if part.isdigit() else {}
        node = _resolve(of_list or node.get("properties", {}).get(part, {}), definitions)
        if "properties" in node:
            known = list(node["properties"])
    return [part for part in path if part not in _TYPE_TAGS], known


def _variants(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the variants of a union; a tagged union has its bounds in `if`/`then`/`else` and not in `anyOf`."""
    if "then" not in node:
        return list(node.get("anyOf", []))
    return [node["then"], *(_variants(node["else"]) if "else" in node else [])]


def _tag_of(variant: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the name that pydantic gives a variant of a union in an error's location."""
    resolved = _resolve(variant, definitions)
    method = resolved.get("properties", {}).get("method", {})
    return str(method.get("const", resolved.get("title", resolved.get("type", ""))))


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return `node` with its `$ref` followed; an optional section becomes the section itself."""
    if "$ref" in node:
        return dict(definitions[node["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in node:
        variants = [v for v in node["anyOf"] if v.get("type") != "null"]
        if len(variants) == 1:
            return _resolve(variants[0], definitions)
    return dict(node)


def _shown_default(default: Any) -> str:  # noqa: ANN401  (a default has any type)
    """Return a default on one line; text with a line break or another control character as TOML writes it."""
    if isinstance(default, str) and not default.isprintable():
        return tomli_w.dumps({"v": default}).removeprefix("v = ").rstrip("\n")
    return str(default)


def _explain_object(
    node: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in node.get("properties", {}).items():
        resolved = _resolve(field, definitions)
        variants = [_resolve(v, definitions) for v in _variants(resolved)]
        if "properties" in resolved:
            yield f"{prefix}{name}", "section", "", str(resolved.get("description", ""))
            yield from _explain_object(resolved, definitions, f"{prefix}{name}.")
        elif any("properties" in v for v in variants):
            for variant in variants:  # a choice of methods, without the null of an optional section
                yield (
                    f"{prefix}{name}",
                    f"section, method = {variant['title']}",
                    "",
                    variant.get("description", ""),
                )
                yield from _explain_object(variant, definitions, f"{prefix}{name}.")
        else:
            yield (
                f"{prefix}{name}",
                _kind(resolved),
                _shown_default(field.get("default", "")),
                re.sub(r" \[[^]]*\]$", "", str(field.get("description", ""))),  # the type shows the bounds
            )


def _kind(node: Mapping[str, Any]) -> str:
    """Return a field's type and bounds in a few words."""
    if "const" in node:
        return repr(node["const"])
    if "enum" in node:
        return " | ".join(repr(value) for value in node["enum"])
    if "anyOf" in node:
        beside = {
            key: node[key] for key in ("minimum", "maximum") if key in node
        }  # the bounds of its numbers
        return " | ".join(_kind(v if "const" in v else {**v, **beside}) for v in node["anyOf"])
    low, high = node.get("minimum"), node.get("maximum")
    bounds = (
        f" {low if low is not None else ''}..{high if high is not None else ''}"
        if low is not None or high is not None
        else ""
    )
    return f"{node.get('type', 'any')}{bounds}"
