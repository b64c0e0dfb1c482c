"""Sections: what every section of a config is, and how a choice between variants of one is read and drawn."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Section(BaseModel):
    """Base of every config section: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", title=None)


class AnyOf:
    """Give a tagged union's JSON schema as `anyOf`, which the Prefect form draws as tabs."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        json_schema = handler(schema)
        if "oneOf" in json_schema:
            json_schema["anyOf"] = json_schema.pop("oneOf")
            json_schema.pop("discriminator", None)
        return json_schema


def method_or(default: str) -> Discriminator:
    """Return a discriminator that reads `method` and falls back to `default` where it is not given."""

    def method(value: Any) -> str:  # noqa: ANN401  (pydantic hands a dict or a model)
        found = value.get("method", default) if isinstance(value, dict) else getattr(value, "method", default)
        return str(found)

    return Discriminator(method)
