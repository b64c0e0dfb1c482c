"""Batches: rows of texts -> their vectors, request by request; a refused request is split.

A request fails completely for one bad text, and no server says which text it is. So a refused request is halved until
the bad text is alone: it is shortened to the server's limit, or set aside with the server's message. All other texts
get their vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.api.answers import Answer
from topicflow.tasks.encoding.api.client import ApiClient
from topicflow.tasks.encoding.api.limits import BYTES_PER_TOKEN, Limits, estimated_tokens
from topicflow.tasks.errors import StageError
from topicflow.tasks.servers.client import RefusedError, UnreachableError
from topicflow.tasks.servers.pace import Budget
from topicflow.tasks.servers.refusals import Refusal

MAX_CUTS = 8
"""Maximum number of times that one text is shortened before it is set aside."""

SHORT_TOKENS = 48
"""A text with fewer estimated tokens is not refused for its length."""

MAX_FAILED = 50
"""Number of texts without a vector that ends a run: the fault is then not in the texts."""

ALIVE = "Spin waves in two-dimensional antiferromagnets"
"""A text that every server accepts: a server that refuses it does not work."""


@dataclass(frozen=True)
class Done:
    """Texts with their vectors.

    Attributes
    ----------
    rows : list of int
        The rows of the texts.
    vectors : numpy.ndarray of float32, shape (n, dim)
        Their vectors, of any length.
    n_tokens : list of int
        Tokens of each text; negative if the vector represents only the beginning of the text.
    """

    rows: list[int]
    vectors: NDArray[np.float32]
    n_tokens: list[int]


@dataclass
class Batches:
    """Texts to embed through one server; several threads take batches.

    Attributes
    ----------
    client, budget, limits : ApiClient, Budget, Limits
        The client, the maximum number of requests, and the limits of a request.
    texts : sequence of str
        The texts to embed.
    prompt : str
        Text before each text; it is never shortened.
    dim : int
        Number of dimensions of every vector.
    """

    client: ApiClient
    budget: Budget
    limits: Limits
    texts: Sequence[str]
    prompt: str
    dim: int
    n_tokens: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Estimate the sizes of the texts and sort them, the shortest first."""
        sizes = np.array([len((self.prompt + text).encode()) for text in self.texts], np.int64)
        self.estimates: NDArray[np.int64] = estimated_tokens(sizes)
        self._order = np.argsort(self.estimates, kind="stable")
        self._start, self._lock = 0, threading.Lock()

    def take(self) -> list[int]:
        """Return the rows of the next batch; none at the end. A text that may be too long is its own batch."""
        with self._lock:
            rows = self._order[self._start : self._start + self.limits.texts]
            sizes = self.estimates[rows]
            fits = np.cumsum(sizes) <= self.limits.tokens
            if self.limits.text_tokens is not None:
                fits &= sizes <= self.limits.text_tokens
            taken: list[int] = rows[: max(1, int(fits.sum()))].tolist()  # in ascending order of size
            self._start += len(taken)
        return taken

    def embed(self, rows: list[int], emit: Callable[[Done], None], *, is_part: bool = False) -> bool:
        """Call `emit` with the vectors of a batch, or of its parts if it is refused.

        Parameters
        ----------
        rows : list of int
            The texts.
        emit : callable
            Takes what is done.
        is_part : bool
            True for a part of a refused batch: the server was alive a moment ago.

        Returns
        -------
        bool
            False if a text was shortened or set aside: that text caused the refusal, not the batch's size.
        """
        found = self._try([self.texts[row] for row in rows])
        if isinstance(found, Refusal):
            if not found.is_about_size and (not is_part or len(rows) == 1):
                self._check_alive(found)
            return self._shortened(rows[0], found, emit) if len(rows) == 1 else self._apart(rows, found, emit)
        if len(rows) == 1:
            return self._alone(rows[0], found, emit)
        self.limits.accepted(len(rows), int(self.estimates[rows].sum()))
        good = np.flatnonzero(found.usable)
        counts = _shares(found.n_tokens, self.estimates[rows])
        emit(Done([rows[i] for i in good], found.vectors[good], [counts[i] for i in good]))
        others = [self.embed([rows[i]], emit, is_part=True) for i in np.flatnonzero(~found.usable)]
        return all(others)

    def _try(self, texts: Sequence[str]) -> Answer | Refusal:
        """Return the server's answer; an empty text is sent as a space, because some servers refuse it.

        Raises
        ------
        StageError
            If the vectors have other dimensions than at the start of the run.
        """
        try:
            answer = self.client.ask([self.prompt + text or " " for text in texts], self.budget)
        except RefusedError as error:
            return error.refusal
        if answer.vectors.shape[1] != self.dim:
            msg = (
                f"embed: {self.client.endpoint.url} gives {answer.vectors.shape[1]} dimensions and gave {self.dim} "
                "before; its model has changed: run again"
            )
            raise StageError(msg)
        self.n_tokens += answer.n_tokens or 0
        return answer

    def _check_alive(self, refusal: Refusal) -> None:
        """Raise UnreachableError if the server refuses a text that every server accepts."""
        try:
            self.client.ask([ALIVE], self.budget)
        except RefusedError as error:
            msg = (
                f"embed: {self.client.endpoint.url} refuses every text (now {error.refusal}; before that {refusal}); "
                "run again when it works"
            )
            raise UnreachableError(msg) from None

    def _apart(self, rows: list[int], refusal: Refusal, emit: Callable[[Done], None]) -> bool:
        """Embed a refused batch in halves, or in parts of the size that the server names; return as `embed` does."""
        allowed = refusal.allowed_texts(len(rows))
        if allowed is not None:
            self.limits.texts = min(self.limits.texts, allowed)
        size = allowed or -(-len(rows) // 2)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        are_fine = [self.embed(part, emit, is_part=True) for part in parts]
        is_by_size = refusal.is_about_size or refusal.timed_out or refusal.status < 500
        if all(are_fine) and is_by_size:
            self.limits.refused(len(rows), int(self.estimates[rows].sum()), refusal)
        return all(are_fine)

    # --- one text ---

    def _alone(self, row: int, answer: Answer, emit: Callable[[Done], None]) -> bool:
        """Emit the vector of a text that was sent alone, as cut if it exceeds the limit; return as `embed` does."""
        estimate, limit = int(self.estimates[row]), self.limits.text_tokens
        if not answer.usable[0]:
            return self._set_aside(row, "its vector is zero or not finite")
        count = answer.n_tokens or estimate
        if limit is not None and estimate > limit and self.limits.source != "stated":
            if count > limit and self.limits.source == "configured":
                return self._shortened(row, _too_long(count, limit), emit)
            if count >= limit:  # a server that cuts without an error counts the tokens that it read
                count = -max(count, estimate)
        emit(Done([row], answer.vectors, [count]))
        return True

    def _shortened(self, row: int, refusal: Refusal, emit: Callable[[Done], None]) -> bool:
        """Emit the vector of the beginning of a text that is too long, or set the text aside; return False."""
        text, why = self.texts[row], str(refusal)
        n_tokens = refusal.tokens()[0] or int(self.estimates[row])
        for _ in range(MAX_CUTS):
            estimate = int(estimated_tokens(len((self.prompt + text).encode())))
            if estimate < SHORT_TOKENS and not refusal.is_about_length:
                break
            counted, allowed = refusal.tokens()
            self.limits.states(allowed)
            text = self._cut(text, counted or estimate, allowed)
            found = self._try([text])
            limit = self.limits.text_tokens if self.limits.source == "configured" else None
            if isinstance(found, Refusal):
                refusal = found
            elif limit is not None and (found.n_tokens or 0) > limit:
                refusal = _too_long(found.n_tokens or 0, limit)
            elif not found.usable[0]:
                break
            else:
                emit(Done([row], found.vectors, [-n_tokens]))
                return False
        return self._set_aside(row, why)

    def _cut(self, text: str, counted: int, allowed: int | None) -> str:
        """Return the beginning of a text of `counted` tokens with at most `allowed`; half of it if that is unknown.

        Equal texts are cut in the same way, independent of the other texts.
        """
        share = 0.5 if allowed is None else min(0.9, 0.98 * allowed / counted)
        prompt = len(self.prompt) if allowed is not None else 0
        return text[: max(1, int(share * (prompt + len(text))) - prompt)]

    def _set_aside(self, row: int, why: str) -> bool:
        """Record that a text has no vector and return False; raise StageError if there are too many such texts."""
        self.failed.append((row, why))
        if len(self.failed) >= MAX_FAILED:
            msg = (
                f"embed: {self.client.endpoint.url} gives no vector for {len(self.failed)} texts, the last is "
                f"{self.texts[row][:60]!r} ({why})"
            )
            raise StageError(msg)
        return False


def _too_long(counted: int, allowed: int) -> Refusal:
    """Return how a server would refuse a text that exceeds `embed.max_tokens`."""
    return Refusal(413, f"{counted} tokens, embed.max_tokens allows {allowed}")


def _shares(n_tokens: int | None, estimates: NDArray[np.int64]) -> list[int]:
    """Return the tokens of each text: its share, by estimate, of the server's total."""
    if n_tokens is None:
        return [max(1, int(each)) for each in estimates * BYTES_PER_TOKEN // 4]
    return [max(1, round(n_tokens * each / int(estimates.sum()))) for each in estimates.tolist()]
