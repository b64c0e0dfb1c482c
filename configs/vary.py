"""Vary: the values of a key in a sweep, as a person writes them -> a list of values.

| written | values |
|---|---|
| `10,20,50` | 10, 20, 50 |
| `10..100:5` | 10, 18, 32, 56, 100: at equal ratios, whole numbers if both ends are whole |
| `0..1:5:linear` | 0.0, 0.25, 0.5, 0.75, 1.0: at equal steps |
| `unset,20` | the key left out, and 20 |
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from topicflow.configs.sections.sweep import Value

UNSET = "unset"
"""Written for a value: the key is left out of the config."""

MOST_VALUES = 1000
"""Maximum number of values in a range."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER}):(\d+)(:linear)?")


def values_of(key: str, given: Value | Sequence[Value]) -> list[Value | None]:
    """Return the different values of a key in order, None for a key that is left out.

    Raises
    ------
    ValueError
        If a range cannot be read; the message is one line.
    """
    written: Sequence[Value] = given.split(",") if isinstance(given, str) else _listed(given)
    found: list[Value | None] = []
    for each in written:
        found += [each] if not isinstance(each, str) else _read(key, each.strip())
    kept: list[Value | None] = []
    for value in found:
        if not any(value == other and type(value) is type(other) for other in kept):
            kept.append(value)
    return kept


def _listed(given: Value | Sequence[Value]) -> Sequence[Value]:
    return [given] if isinstance(given, bool | int | float | str) else given


def _read(key: str, text: str) -> Sequence[Value | None]:
    """Return the value, or the values, that a text means."""
    if text == UNSET:
        return [None]
    if found := _RANGE.fullmatch(text):
        return _range(key, text, found)
    if ".." in text:
        msg = f"--vary {key}={text}: expected FROM..TO:N, such as 10..100:5, or 0..1:5:linear"
        raise ValueError(msg)
    if not text:
        msg = f"--vary {key}: a value is missing; write values with commas between them, such as 10,20,50"
        raise ValueError(msg)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [text]
    return [value if isinstance(value, bool | int | float | str) else text]


def _range(key: str, text: str, found: re.Match[str]) -> list[Value | None]:
    """Return the values of a range, both ends included."""
    low, high, n = float(found[1]), float(found[2]), int(found[3])
    is_linear = found[4] is not None
    if not low < high or not 2 <= n <= MOST_VALUES:
        msg = f"--vary {key}={text}: expected a smaller number first and 2 to {MOST_VALUES} values"
        raise ValueError(msg)
    if low <= 0.0 and not is_linear:
        msg = (
            f"--vary {key}={text}: values at equal ratios begin above 0; write {text}:linear for equal steps"
        )
        raise ValueError(msg)
    shares = [place / (n - 1) for place in range(n)]
    if is_linear:
        values = [low + share * (high - low) for share in shares]
    else:
        values = [low * (high / low) ** share for share in shares]
    if all(re.fullmatch(r"-?\d+", end) for end in found.group(1, 2)) and not (
        is_linear and high - low < n - 1
    ):
        return [round(value) for value in values]
    return [float(f"{value:.4g}") for value in values]
