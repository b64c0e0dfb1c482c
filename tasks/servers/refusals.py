"""Refusals: an answer without vectors -> whether to try again, and what it says about sizes.

Every server has its own status and message for the same fault. TEI answers 413 or 422 to more than 32 texts, vLLM 400
and llama.cpp 500 to a text that is too long, OpenAI 400 to both. The message decides, not only the status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

OVERLOADED = frozenset({0, 429, 503, 529})
"""Statuses of a server that is busy, starting or not reachable (0): the text is not the cause."""

TRANSIENT = frozenset({408, 409, 425, *OVERLOADED})
"""Statuses below 500, and overload, after which the same request may succeed."""

FEW_RETRIES = 2
"""Retries after an error inside the server: it may always give this answer to a text."""

_COUNT = re.compile(
    r"batch size \d+ >|allowed batch size|too many inputs|number of inputs|array too long|at most [\d,]+ items"
    r"|instances|list should have|too many (?:texts|items)",
    re.IGNORECASE,
)
_LENGTH = re.compile(
    r"token|context (?:length|size|window)|too (?:long|large)|physical batch|input length", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w.\[-])\d[\d,]*")
"""Numbers in a message, without those in `input[17]` and in names of models."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UnreadableAnswerError(Exception):
    """The answer has status 200 and still holds no usable result; the text says why."""


@dataclass(frozen=True)
class Refusal:
    """An answer without a result.

    Attributes
    ----------
    status : int
        HTTP status; 0 if there was no answer.
    message : str
        The server's message in one line.
    timed_out : bool
        True if no answer came in time.
    retry_after_s : float or None
        Seconds to wait, from the answer's headers.
    """

    status: int
    message: str
    timed_out: bool = False
    retry_after_s: float | None = None

    def __str__(self) -> str:
        """Return status and message."""
        return f"{self.status}: {self.message}" if self.status else self.message

    @property
    def is_about_count(self) -> bool:
        """True if the request contained too many texts."""
        return bool(_COUNT.search(self.message))

    @property
    def is_about_size(self) -> bool:
        """True if the request was too large, in texts or in tokens."""
        if self.status in OVERLOADED:  # a rate limit mentions tokens, too
            return False
        return self.status == 413 or self.is_about_count or self.is_about_length

    @property
    def is_about_length(self) -> bool:
        """True if the message is about tokens or length."""
        return self.status not in OVERLOADED and bool(_LENGTH.search(self.message))

    @property
    def is_out_of_quota(self) -> bool:
        """True if the account has no credit left: waiting does not help."""
        return self.status in {402, 429} and ("insufficient_quota" in self.message or self.status == 402)

    @property
    def is_overload(self) -> bool:
        """True if the server is busy, starting or unreachable, for any text."""
        return self.status in OVERLOADED and not self.timed_out

    def retries(self, most: int) -> int:
        """Return how many times the same request is sent again, at most `most`."""
        if self.is_out_of_quota or self.is_about_size:
            return 0
        if self.timed_out:
            return min(1, most)
        if self.status in TRANSIENT:
            return most
        return min(FEW_RETRIES, most) if self.status >= 500 or self.status in {200, 424} else 0

    def allowed_texts(self, n_texts: int) -> int | None:
        """Return the number of texts that the server allows, if it says so to a request of `n_texts`."""
        fitting = [number for number in self._numbers() if 1 <= number < n_texts]
        return max(fitting, default=None) if self.is_about_count else None

    def tokens(self) -> tuple[int | None, int | None]:
        """Return the tokens that the server counted in a single text and the allowed number, None if not stated."""
        if not self.is_about_size:
            return None, None
        numbers = sorted({number for number in self._numbers() if number >= 8})
        if len(numbers) < 2:
            return None, numbers[0] if numbers else None
        return numbers[-1], numbers[-2]

    def _numbers(self) -> list[int]:
        return [int(found.replace(",", "")) for found in _NUMBER.findall(self.message)]


def read_refusal(status: int, content: bytes, headers: Mapping[str, str]) -> Refusal:
    """Return the refusal in an answer without a result, as one line."""
    return Refusal(status, _words(content) or "no message", retry_after_s=wait_of(headers))


def _words(content: bytes) -> str:
    """Return the message of an error's body: OpenAI's nested form, FastAPI's `detail`, or the text itself."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        return _one_line(re.sub(r"<[^>]*>", " ", text))
    if isinstance(body, dict):
        error = body.get("error") or body.get("detail") or body.get("message") or body
        if isinstance(error, dict):
            numbers = {name: error[name] for name in ("n_prompt_tokens", "n_ctx") if name in error}
            kind = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
            said = error.get("message") or json.dumps(error)
            shown = [str(said), *([f"({kind})"] if kind else []), *(f"{n} {v}" for n, v in numbers.items())]
            return _one_line(" ".join(shown))
        return _one_line(error if isinstance(error, str) else json.dumps(error))
    return _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait from an answer's headers: Retry-After, or the reset of an exhausted limit."""
    if (found := headers.get("retry-after-ms", "")).replace(".", "", 1).isdigit():
        return float(found) / 1000
    if found := headers.get("retry-after", "").strip():
        return _seconds_until(found)
    waits = [
        _duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _seconds_until(given: str) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date."""
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _duration(given: str) -> float | None:
    """Return the seconds of a duration such as `6m0s` or `20ms`."""
    parts = _DURATION.findall(given)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None
