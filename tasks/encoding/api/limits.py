"""Limits: what a server takes in one request and reads of one text, as configured and as learnt from its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from topicflow.tasks.servers.refusals import Refusal

BYTES_PER_TOKEN = 3
"""UTF-8 bytes of a token, a low estimate: English has 4.2, Chinese and Japanese 2 to 4, numbers and code 2 to 3."""


def estimated_tokens(n_bytes: Any) -> Any:  # noqa: ANN401  (a number, or an array of them)
    """Return about how many tokens texts of so many UTF-8 bytes have; more rather than fewer."""
    return n_bytes // BYTES_PER_TOKEN + 1


@dataclass
class Limits:
    """What one request and one text may hold; the threads of a client share it.

    Attributes
    ----------
    texts, tokens : int
        Maximum number of texts and of estimated tokens in a request.
    text_tokens : int or None
        Tokens that the server reads of one text; None if no limit is known.
    source : str
        Where `text_tokens` comes from: `configured` (a longer text is cut here, although the server might take it),
        `stated` (the server refused a longer text and named it), or `silent` (the server cuts without an error).
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
        self.texts = max(self.texts, n_texts)  # what was learnt from a smaller batch was too low
        self._most_tokens = max(self._most_tokens, n_tokens)

    def refused(self, n_texts: int, n_tokens: int, refusal: Refusal) -> None:
        """Lower the limits after a request was refused of which every part was answered.

        Parameters
        ----------
        n_texts, n_tokens : int
            Size of the request.
        refusal : Refusal
            What the server said. If it names neither texts nor tokens, the number of texts is the cause if it is
            greater than in any request that was answered, or else the tokens.
        """
        if refusal.is_about_count or (not refusal.is_about_length and n_texts > self._most_texts):
            self.texts = max(1, min(self.texts, n_texts - 1, self._most_texts))
        else:
            self.tokens = max(1, min(self.tokens, n_tokens - 1, max(self._most_tokens, n_tokens // 2)))

    def states(self, text_tokens: int | None) -> None:
        """Take the limit of one text that the server names, unless the config has one."""
        if text_tokens is not None and self.source != "configured":
            self.text_tokens = min(text_tokens, self.text_tokens or text_tokens)
            self.source = "stated"
