"""Limits: the maximum size of a request and of a text, from the config or learnt from the server's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from topicflow.tasks.servers.refusals import Refusal

BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token, a low estimate: English has 4.2, Chinese and Japanese 2 to 4, numbers and code 2 to 3."""


def estimated_tokens(n_bytes: Any) -> Any:  # noqa: ANN401  (a number, or an array of them)
    """Return the estimated number of tokens in texts with these numbers of UTF-8 bytes; it is rather too high."""
    return n_bytes // BYTES_PER_TOKEN + 1


@dataclass
class Limits:
    """The limits of one request and of one text; the threads of a client share them.

    Attributes
    ----------
    texts, tokens : int
        Maximum number of texts and of estimated tokens in a request.
    text_tokens : int or None
        Tokens that the server reads of one text; None if no limit is known.
    source : str
        Origin of `text_tokens`: `configured` (a longer text is cut here, although the server might accept it),
        `stated` (the server refused a longer text and named the limit), or `silent` (the server cuts without an
        error).
    """

    texts: int
    tokens: int
    text_tokens: int | None = None
    source: Literal["configured", "stated", "silent"] = "stated"
    _most_texts: int = 0
    _most_tokens: int = 0

    def accepted(self, n_texts: int, n_tokens: int) -> None:
        """Note the size of a request that was answered."""
        self._most_texts = max(self._most_texts, n_texts)
        self.texts = max(self.texts, n_texts)  # the limit learnt from a smaller batch was too low
        self._most_tokens = max(self._most_tokens, n_tokens)

    def refused(self, n_texts: int, n_tokens: int, refusal: Refusal) -> None:
        """Lower the limits after a request was refused but each of its parts was answered.

        Parameters
        ----------
        n_texts, n_tokens : int
            Size of the request.
        refusal : Refusal
            The server's refusal. If it names neither texts nor tokens, the cause is the number of texts if that
            exceeds every answered request, otherwise the tokens.
        """
        if refusal.is_about_count or (not refusal.is_about_length and n_texts > self._most_texts):
            self.texts = max(1, min(self.texts, n_texts - 1, self._most_texts))
        else:
            self.tokens = max(1, min(self.tokens, n_tokens - 1, max(self._most_tokens, n_tokens // 2)))

    def states(self, text_tokens: int | None) -> None:
        """Use the limit of one text that the server names, unless the config sets one."""
        if text_tokens is not None and self.source != "configured":
            self.text_tokens = min(text_tokens, self.text_tokens or text_tokens)
            self.source = "stated"
