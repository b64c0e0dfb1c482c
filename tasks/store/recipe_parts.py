"""Recipe parts: a section of the config, and libraries -> their part of a recipe."""

from __future__ import annotations

import functools
from collections.abc import Collection
from importlib import metadata
from typing import Any

from pydantic import BaseModel

version = functools.cache(metadata.version)
"""Returns the version of an installed package; many recipes of a plan ask for the same few, at 1 to 2 ms each."""


def fields_of(config: BaseModel, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a section as JSON values, without those that do not decide the result."""
    return config.model_dump(mode="json", exclude=set(leave_out))


def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide the numbers of a stage."""
    return {name: version(name) for name in names}
