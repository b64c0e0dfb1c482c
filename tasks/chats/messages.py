"""Messages: pieces of prompts, the schema of an answer, and the JSON objects in an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Messages = list[dict[str, str]]

OPEN, CLOSE = "<<<", ">>>"
"""Marks around each document; a document cannot hold them."""


def schema_of(names: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema of an object with a text under each of the `names`."""
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


def with_fault(messages: Sequence[Mapping[str, str]], answer: str, fault: str) -> Messages:
    """Return the messages followed by an answer that cannot be used, and by what is wrong with it."""
    said = [{"role": "assistant", "content": answer}] if answer else []
    told = {
        "role": "user",
        "content": f"This answer cannot be used: {fault}. Answer again, only with the JSON.",
    }
    return [*map(dict, messages), *said, told]


def as_data(text: str) -> str:
    """Return a text of the corpus without the marks around documents, and in one line."""
    return " ".join(text.replace(OPEN, "<").replace(CLOSE, ">").split())


def marked(text: str) -> str:
    """Return a document between its marks."""
    return f"{OPEN}{as_data(text)}{CLOSE}"


def json_objects(text: str) -> list[Any]:
    """Return the JSON objects in a text, the last first: a model that thinks aloud ends with its answer."""
    decoder, found, start = json.JSONDecoder(), [], text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        else:
            found.append(value)
        start = text.find("{", end)
    return found[::-1]
