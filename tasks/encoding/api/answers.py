"""Answers: the body of a `/v1/embeddings` answer -> vectors (n_texts, dim), in the order of the texts, checked."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.servers.refusals import UnreadableAnswerError

GREATEST = 1e6
"""Maximum plausible value of a vector: bytes in another order than little-endian give values of any size."""


@dataclass(frozen=True)
class Answer:
    """The answer of a server.

    Attributes
    ----------
    vectors : ndarray of shape (n_texts, dim), float32
        The server's vectors; a row may contain NaN.
    n_tokens : int or None
        Number of tokens that the server counted in all texts.
    model : str
        The server's name for its model.
    """

    vectors: NDArray[np.float32]
    n_tokens: int | None
    model: str

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether each row (n_texts,) is finite and not zero."""
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        found: NDArray[np.bool_] = np.isfinite(norms) & (norms > 0)
        return found


def read_answer(content: bytes, n_texts: int) -> Answer:
    """Return the vectors of an answer in the order of the texts.

    Raises
    ------
    UnreadableAnswerError
        If the body is not JSON, there is not one vector per text, or the vectors differ in width.

    Notes
    -----
    A vector is a list of numbers, or base64 of little-endian float32. `index` gives the order; without it, the
    vectors are in the order of the texts.
    """
    try:
        body = json.loads(content)
        data = body["data"]
        if len(data) != n_texts:
            msg = f"{len(data)} vectors for {n_texts} texts"
            raise UnreadableAnswerError(msg)
        vectors = [_vector(item["embedding"]) for item in data]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the answer is not a list of embeddings ({type(error).__name__}: {str(error)[:80]})"
        raise UnreadableAnswerError(msg) from None
    widths = {len(vector) for vector in vectors}
    if len(widths) > 1 or 0 in widths:
        msg = f"vectors of {', '.join(map(str, sorted(widths)))} dimensions in one answer"
        raise UnreadableAnswerError(msg)
    stacked = np.stack(vectors)[_order(data)]
    finite = stacked[np.isfinite(stacked)]
    if len(finite) and float(np.abs(finite).max()) > GREATEST:
        msg = f"vectors with values up to {float(np.abs(finite).max()):.1e}; these are not little-endian float32"
        raise UnreadableAnswerError(msg)
    return Answer(stacked, _tokens(body.get("usage")), str(body.get("model") or ""))


def _vector(given: Any) -> NDArray[np.float32]:  # noqa: ANN401  (JSON)
    """Return one vector (dim,)."""
    if isinstance(given, str):
        try:
            raw = base64.b64decode(given, validate=True)
        except binascii.Error as error:
            msg = f"base64 of a vector cannot be read ({error})"
            raise UnreadableAnswerError(msg) from None
        if len(raw) % 4:
            msg = f"base64 of {len(raw)} bytes, which is not float32"
            raise UnreadableAnswerError(msg)
        return np.frombuffer(raw, dtype="<f4")
    if len(given) == 1 and isinstance(given[0], list):  # older versions of llama.cpp nest a pooled vector
        given = given[0]
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, which is checked
        return np.array([np.nan if value is None else value for value in given], dtype=np.float32)


def _order(data: list[dict[str, Any]]) -> NDArray[np.intp]:
    """Return the position of the vector of each text."""
    numbers: list[Any] = [item.get("index") for item in data]
    if None in numbers:
        return np.arange(len(data))
    if sorted(numbers) != list(range(len(data))):
        msg = f"the numbers of the vectors are {str(sorted(numbers))[:60]}, expected 0 to {len(data) - 1}"
        raise UnreadableAnswerError(msg)
    return np.argsort(numbers)


def _tokens(usage: Any) -> int | None:  # noqa: ANN401  (JSON)
    """Return the tokens of a usage block; None if the server counts no tokens."""
    if not isinstance(usage, dict):
        return None
    counted = usage.get("prompt_tokens") or usage.get("total_tokens")
    return int(counted) if isinstance(counted, int | float) and counted > 0 else None
