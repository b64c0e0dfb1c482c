"""Config file: what a run that Prefect starts can be given instead of all fields: a file beside the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from topicflow.configs.fields.base import IsPath, Section


class ConfigFile(Section):
    """A config file on the machine that runs the flow: a worker's, or that of `topicflow serve`."""

    model_config = ConfigDict(title="Config file on the server")

    file: Annotated[str, IsPath()] = Field(
        min_length=1,
        description="The TOML file, such as reviews.toml: an absolute path, or one relative to the folder where "
        "`topicflow serve` was started or the deployments were made.",
    )
    set: tuple[str, ...] = Field(
        default=(),
        description="Values to change for this run, as with --set: cluster.min_cluster_size=50.",
    )

    @property
    def name(self) -> str:
        """The name of the run in Prefect, before the file is read."""
        return Path(self.file).stem


class FileOrFields:
    """Write the JSON schema of a config file or a config so that an error names the field.

    The form draws a tab for each part of the `anyOf`; `if`/`then` says which part a value is checked against.
    """

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        json_schema = handler(schema)
        file, fields = json_schema["anyOf"]
        has_no_file: dict[str, Any] = {
            "properties": {"file": {"not": {}}}
        }  # Prefect removes every `required` before it validates
        return {**json_schema, "if": has_no_file, "then": fields, "else": file}
