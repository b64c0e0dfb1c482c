"""Sections: what every section of a config is, and how a choice between variants of one is read and drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, GetJsonSchemaHandler
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class IsPath:
    """Mark of a field that holds a path or URL; `configs.paths` makes relative ones absolute.

    Attributes
    ----------
    default_too : bool
        The field's default is relative to the config's file, too; else that of the folder where a command is started.
    """

    default_too: bool = False


class Section(BaseModel):
    """Base of every config section: frozen, unknown keys are errors, and forms say each field's bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", title=None)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema with bounds in the descriptions: Prefect's form shows these and not the bounds."""
        json_schema = handler(schema)
        for field in handler.resolve_ref_schema(json_schema).get("properties", {}).values():
            for variant in (field, *field.get("anyOf", [])):
                low, high = variant.get("minimum"), variant.get("maximum")
                if low is not None or high is not None:
                    said = (
                        f"at least {low}"
                        if high is None
                        else f"at most {high}"
                        if low is None
                        else f"{low} to {high}"
                    )
                    field["description"] = f"{field.get('description', '')} [{said}]".strip()
        return json_schema


class AnyOf:
    """Give a tagged union's JSON schema as `anyOf`, which the Prefect form draws as tabs, and its bounds beside it.

    A value that fits no variant of an `anyOf` is refused with the reason of any one of them (`'kmeans' was expected`,
    for an HDBSCAN whose topics are too small). So the tabs say which fields there are, and what `method` asks for is
    held against the variant itself: the refusal names the field.
    """

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        json_schema = handler(schema)
        refs = json_schema.pop("oneOf", [])
        json_schema.pop("discriminator", None)
        variants = [handler.resolve_ref_schema(ref) for ref in refs]
        if variants:
            json_schema["anyOf"] = [_without_bounds(variant) for variant in variants]
            chain: dict[str, Any] = {}  # if, then, else: an `allOf` hides the tabs
            for variant, ref in reversed(list(zip(variants, refs, strict=True))):
                chain = {**_asked_for(variant, ref), **({"else": chain} if chain else {})}
            json_schema |= chain
        return json_schema


def _without_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Return title, description, type and fields of a variant, whose values are not bounded, but for its method."""
    kept = {
        key: schema[key] for key in schema.keys() - {"minimum", "maximum", "required", "additionalProperties"}
    }
    if "anyOf" in schema:
        kept["anyOf"] = [_without_bounds(variant) for variant in schema["anyOf"]]
    if "properties" in schema:
        kept["properties"] = {name: _without_bounds(field) for name, field in schema["properties"].items()}
    return kept


def _asked_for(variant: dict[str, Any], ref: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that holds a value against a variant if its method is named, or none and it is the default."""
    named = {"properties": {"method": {"const": variant["properties"]["method"]["const"]}}}
    is_default = "method" not in variant.get("required", ())
    return {"if": named if is_default else {**named, "required": ["method"]}, "then": ref}


def method_or(default: str) -> Discriminator:
    """Return a discriminator that reads `method` and falls back to `default` where it is not given."""

    def method(value: Any) -> str:  # noqa: ANN401  (pydantic hands a dict or a model)
        found = value.get("method", default) if isinstance(value, dict) else getattr(value, "method", default)
        return str(found)

    return Discriminator(method)


def without_credentials(value: str | None) -> str | None:
    """Return a path or URL; raise ValueError where it holds a user's name, as configs and records are shown around."""
    if value is not None and re.match(r"[a-z0-9]+://[^/]*@", value):
        msg = "expected a URL without credentials, which belong into the environment (AWS_ACCESS_KEY_ID, …)"
        raise ValueError(msg)
    return value
