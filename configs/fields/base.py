"""Base of all config sections, and the JSON schema of a section that is a choice between methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from topicflow.configs.fields.secrets import PATTERN, holds_credentials


@dataclass(frozen=True)
class IsPath:
    """Marks a field with a path or URL; `configs.paths` makes relative ones absolute.

    Attributes
    ----------
    default_too : bool
        Whether the field's default is relative to the config's file; otherwise to the folder where a command starts.
    """

    default_too: bool = False


class Section(BaseModel):
    """Base of every config section: frozen, unknown keys are errors, and forms show the bounds of each field.

    No text in a config may contain credentials, in any field: configs are part of records and logs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title=None, hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _has_no_credentials(cls, value: Any) -> Any:  # noqa: ANN401  (a field's value has any type)
        return without_credentials(value)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema with the bounds in the descriptions, because Prefect's form shows only those."""
        json_schema = handler(schema)
        for field in handler.resolve_ref_schema(json_schema).get("properties", {}).values():
            for variant in (field, *field.get("anyOf", [])):
                if variant.get("type") == "string" and not variant.keys() & {"const", "enum"}:
                    variant.setdefault("pattern", PATTERN)
                low, high = variant.get("minimum"), variant.get("maximum")
                if low is not None or high is not None:
                    bounds = (
                        f"at least {low}"
                        if high is None
                        else f"at most {high}"
                        if low is None
                        else f"{low} to {high}"
                    )
                    field["description"] = f"{field.get('description', '')} [{bounds}]".strip()
        return json_schema


class AnyOf:
    """Write a tagged union's JSON schema as `anyOf`, which the Prefect form draws as tabs, with the bounds next to it.

    A value that fits no variant of an `anyOf` is rejected with the reason of an arbitrary variant (`'kmeans' was
    expected`, for an HDBSCAN whose topics are too small). The tabs therefore only list the fields, and `if`/`then`
    checks the value against the variant of its `method`, so that the error names the field.
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
            chain: dict[str, Any] = {}  # `if`/`then`/`else`, because an `allOf` hides the tabs
            for variant, ref in reversed(list(zip(variants, refs, strict=True))):
                chain = {**_asked_for(variant, ref), **({"else": chain} if chain else {})}
            json_schema |= chain
        return json_schema


def _without_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a variant's title, description, type and fields without bounds; the value of `method` stays fixed.

    What is required stays, because the form writes "(Optional)" beside everything else.
    """
    kept = {key: schema[key] for key in schema.keys() - {"minimum", "maximum", "additionalProperties"}}
    if "anyOf" in schema:
        kept["anyOf"] = [_without_bounds(variant) for variant in schema["anyOf"]]
    if "properties" in schema:
        kept["properties"] = {name: _without_bounds(field) for name, field in schema["properties"].items()}
    return kept


def _asked_for(variant: dict[str, Any], ref: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that checks a value against a variant if `method` names it (or is absent, for the default)."""
    named = {"properties": {"method": {"const": variant["properties"]["method"]["const"]}}}
    is_default = "method" not in variant.get("required", ())
    return {"if": named if is_default else {**named, "required": ["method"]}, "then": ref}


def method_or(default: str) -> Discriminator:
    """Return a discriminator that reads `method` and uses `default` if it is absent."""

    def method(value: Any) -> str:  # noqa: ANN401  (pydantic hands a dict or a model)
        found = value.get("method", default) if isinstance(value, dict) else getattr(value, "method", default)
        return str(found)

    return Discriminator(method)


def without_credentials(value: Any) -> Any:  # noqa: ANN401  (a field's value has any type)
    """Return a value; raise ValueError if it contains a URL with credentials, because other people see configs."""
    texts = value if isinstance(value, tuple) else (value,)
    if any(isinstance(text, str) and holds_credentials(text) for text in texts):
        msg = "expected a URL without credentials; set them in the environment (AWS_ACCESS_KEY_ID, …)"
        raise ValueError(msg)
    return value
