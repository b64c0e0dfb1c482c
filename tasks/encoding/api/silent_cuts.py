"""Silent cuts: a server and a long text -> how many tokens of it the server reads, if it cuts the rest silently.

TEI and Ollama answer 200 to a text of any length and embed its beginning. A text and the same text with another end
then have the same vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from topicflow.tasks.encoding.api.answers import Answer
from topicflow.tasks.encoding.api.limits import estimated_tokens

LEAST_TOKENS = 200
"""Texts of fewer estimated tokens are not examined: models read 256 and more."""

TAIL_SHARE = 0.1
"""Share of the text that is replaced at its end."""

TAIL = "seventeen blue herons counted the invoices at dawn; 40 31 22 13 "

SAME = 1 - 1e-5
"""Cosine from which two vectors are of the same tokens; the replaced tenth of a text moves it to .99 and less."""

STEPS = 7
"""Requests that find the place of the cut, to a hundredth of the text."""


def tokens_read(ask: Callable[[Sequence[str]], Answer], text: str) -> int | None:
    """Return how many tokens a server reads of a long text; None if it reads the text to its end.

    Parameters
    ----------
    ask : callable
        Asks the server; raises if it refuses the text.
    text : str
        The longest text that is to be embedded.

    Notes
    -----
    One request of two texts. If they have one vector, some more, each of a part of the text, unless the server says how
    many tokens it read. A cut within the last tenth of the text is not found.
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
        return alone.n_tokens  # it counts what it reads: the whole text is not twice its half
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
