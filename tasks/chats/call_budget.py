"""Call budget: how many calls and tokens a run may still send; a call that might exceed it is not sent."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from topicflow.configs.fields.chat import BudgetedChat


class SpentError(Exception):
    """The calls or tokens that the config allows are used up."""


class CallBudget:
    """Counts the calls and tokens of a run; threads share it.

    Parameters
    ----------
    config : BudgetedChat
        `max_calls` and `max_tokens`.

    Notes
    -----
    A call reserves the tokens that it may need at most before it is sent, and gives back what it did not need. So
    `max_tokens` holds with several calls at a time, as long as the estimate of the prompt is not too low.
    """

    def __init__(self, config: BudgetedChat) -> None:
        self._max_calls, self._max_tokens = config.max_calls, config.max_tokens
        self._section = config.section
        self._lock = threading.Lock()
        self.n_calls = self.n_tokens = self._n_reserved = 0

    def call(self, n_tokens: int) -> Call:
        """Return what counts the sending of one request that needs at most `n_tokens`."""
        return Call(self, n_tokens)

    def reserve(self, n_tokens: int) -> None:
        """Count a call; raise SpentError if it might exceed the budget."""
        with self._lock:
            if self._max_calls is not None and self.n_calls >= self._max_calls:
                msg = f"the {self._max_calls:,} calls of {self._section}.max_calls are sent"
                raise SpentError(msg)
            if (
                self._max_tokens is not None
                and self.n_tokens + self._n_reserved + n_tokens > self._max_tokens
            ):
                msg = (
                    f"another call might exceed the {self._max_tokens:,} tokens of {self._section}.max_tokens"
                )
                raise SpentError(msg)
            self.n_calls += 1
            self._n_reserved += n_tokens

    def settle(self, n_reserved: int, n_used: int) -> None:
        """Give back what was reserved and count what was used."""
        with self._lock:
            self._n_reserved -= n_reserved
            self.n_tokens += n_used


@dataclass
class Call:
    """One request, which may be sent several times after faults."""

    budget: CallBudget
    n_tokens: int
    _n_reserved: int = 0

    def spend(self) -> None:
        """Count a sending."""
        self.settle(0)  # an answer that did not come counts no tokens
        self.budget.reserve(self.n_tokens)
        self._n_reserved = self.n_tokens

    def settle(self, n_used: int) -> None:
        """Count the tokens of the answer."""
        self.budget.settle(self._n_reserved, n_used)
        self._n_reserved = 0
