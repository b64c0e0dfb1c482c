"""Refusals: an error -> the status, the code and the line that a client receives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic_core

from topicflow.flows.running.watching import say_line
from topicflow.tasks.errors import ConfigError, PipelineError, first_line
from topicflow.tasks.servers.endpoint import EndpointError

HEADERS = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    "busy": {"Retry-After": "1"},
    "too_large": {"Connection": "close"},
    "too_slow": {"Connection": "close"},
}
"""Headers of the answers with some codes."""

EXPECTED = {
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_long": "at most {max_length:,} characters",
    "string_too_short": "a text that is not empty",
    "list_type": "a list",
    "too_long": "at most {max_length:,} values",
    "too_short": "a value at least",
}
"""What was expected, by pydantic's name for the fault; others are said in its own words."""

SHOWN_VALUE = 60
"""Characters of a wrong value in a message."""


class Refusal(Exception):  # noqa: N818  (most of them are faults of the request)
    """A request that gets no result.

    Parameters
    ----------
    status : int
        The HTTP status.
    code : str
        A name for programs.
    message : str
        One line for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def headers(self) -> dict[str, str]:
        """The headers that its answer has besides."""
        return HEADERS.get(self.code, {})

    def json(self) -> bytes:
        """Return the body of the answer."""
        message = self.message.encode(errors="replace").decode()
        return pydantic_core.to_json({"error": {"code": self.code, "message": message}})


def invalid(errors: Sequence[Any]) -> Refusal:
    """Return the refusal of a request whose values are wrong, from pydantic's list of errors."""
    first, more = errors[0], len(errors) - 1
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        said = f"unknown value {where!r}; remove it"
    elif first["type"] == "missing":
        said = f"{where} is missing" if where else "the body is empty; send a JSON object"
    elif first["type"] == "value_error":
        said = f"{where}: {what}" if where else what
    elif (expected := EXPECTED.get(first["type"])) is not None:
        ctx = first.get("ctx", {})
        if isinstance(most := ctx.get("le"), int | float):
            ctx = {**ctx, "le": f"{most:,}" if isinstance(most, int) else f"{most:g}"}
        named = {**ctx, "expected": str(ctx.get("expected", "")).replace("'", "").replace(" or ", ", ")}
        said = f"{where}={_short(first.get('input'))}, expected {expected.format(**named)}".removeprefix("=")
    else:
        said = f"{where}={_short(first.get('input'))}: {what}".removeprefix("=")
    return Refusal(400, "invalid", f"request: {said}" + (f" (and {more} more)" if more else ""))


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the refusal for an error that is raised on purpose; None for any other."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, EndpointError):  # of the server's own config, which the client cannot mend
        return Refusal(503, "unavailable", first_line(error))
    if isinstance(error, ConfigError):
        return Refusal(400, "invalid", first_line(error))
    if isinstance(error, PipelineError):
        return Refusal(503, "unavailable", first_line(error))
    if isinstance(error, TimeoutError):
        return Refusal(504, "timeout", "the search took too long; ask for less, or again later")
    return None


def unexpected(error: BaseException, where: str) -> Refusal:
    """Return the refusal for a fault of the server, after printing it in one line; the client does not see it."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    say_line(f"error: {where}: {type(error).__name__}: {first_line(error)} ({place})")
    return Refusal(500, "internal", "the server failed at this request; its log has the reason")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN_VALUE else f"{shown[:SHOWN_VALUE]}…"
