"""Silent cuts: a server and a long text -> the number of tokens that the server reads, if it ignores the rest.

TEI and Ollama answer 200 to a text of any length and embed only its beginning. A text and the same text with another
end then have the same vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from topicflow.tasks.encoding.api.answers import Answer
from topicflow.tasks.encoding.api.limits import estimated_tokens

LEAST_TOKENS = 200
"""Texts with fewer estimated tokens are not tested: models read at least 256."""

TAIL_SHARE = 0.1
"""Share of the text that is replaced at its end."""

TAIL = "seventeen blue herons counted the invoices at dawn; 40 31 22 13 "

SAME = 1 - 1e-5
"""Minimum cosine of two vectors of the same tokens; another last tenth of a text gives at most .99."""

STEPS = 7
"""Number of requests for finding the place of the cut, to a hundredth of the text."""


def tokens_read(ask: Callable[[Sequence[str]], Answer], text: str) -> int | None:
    """Return how many tokens of a long text a server reads; None if it reads the whole text.

    Parameters
    ----------
    ask : callable
        Sends texts to the server; raises an error if it refuses them.
    text : str
        The longest text to embed.

    Notes
    -----
    One request with two texts. If they have the same vector, some more, each with a part of the text, unless the
    server says how many tokens it read. A cut within the last tenth of the text is not found.
    """
    kept = int(len(text) * (1 - TAIL_SHARE))
    other = text[:kept] + (TAIL * (len(text) // len(TAIL) + 1))[: len(text) - kept]
    found = ask([text, other])
    if not found.usable.all() or _cosine(found, 0, found, 1) < SAME:
        return None
    alone = ask([text])
    estimate = int(estimated_tokens(len(text.encode())))
    half = ask([text[: len(text) // 2]])
    if alone.n_tokens and half.n_tokens and alone.n_tokens < 1.8 * half.n_tokens:
        return (
            alone.n_tokens
        )  # it counts the tokens that it reads: the whole text has not twice those of its half
    low, high = 0.0, 1 - TAIL_SHARE
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _cosine(ask([text[: int(middle * len(text))]]), 0, alone, 0) >= SAME:
            high = middle
        else:
            low = middle
    return max(8, int(high * estimate))


def _cosine(a: Answer, i: int, b: Answer, j: int) -> float:
    x, y = a.vectors[i].astype(np.float64), b.vectors[j].astype(np.float64)
    return float(x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-300))
