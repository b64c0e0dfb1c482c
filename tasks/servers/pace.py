"""Pace: the time of the next request: rate, pauses that the server asks for, and the maximum number of requests."""

from __future__ import annotations

import random
import threading
import time

from topicflow.tasks.errors import StageError
from topicflow.tasks.servers.refusals import Refusal

FIRST_WAIT_S = 0.5
"""Seconds before the first retry; they double with each retry."""

LONGEST_WAIT_S = 60.0
"""Maximum number of seconds between two attempts, if the server names none."""

LONGEST_PAUSE_S = 900.0
"""If a server asks for a longer pause, the run ends; it can be started again later."""


class StoppedError(Exception):
    """Another thread has failed or the run was interrupted: no more requests are sent."""


class BudgetSpentError(StageError):
    """The maximum number of requests that the config allows is reached."""


class Budget:
    """Counts the requests of a run, up to a maximum.

    Parameters
    ----------
    most : int or None
        Maximum number of requests.
    section : str
        Section of the config whose `max_requests` it is.
    """

    def __init__(self, most: int | None, section: str) -> None:
        self.most, self._section = most, section
        self.n_sent = 0
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Count a request; raise BudgetSpentError if no more are allowed."""
        with self._lock:
            if self.most is not None and self.n_sent >= self.most:
                msg = (
                    f"{self._section}: the {self.most:,} requests of {self._section}.max_requests are sent; run again "
                    "to send the same number again, or raise it"
                )
                raise BudgetSpentError(msg)
            self.n_sent += 1


class Pace:
    """Delays the requests of all threads of a client.

    Parameters
    ----------
    requests_per_minute : int or None
        Maximum rate of requests.
    section : str
        Section of the config that names the server.
    """

    def __init__(self, requests_per_minute: int | None, section: str) -> None:
        self._section = section
        self._spacing_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._lock = threading.Lock()
        self._free_at = self._next_at = 0.0
        self.stopped = threading.Event()

    def wait(self) -> None:
        """Return when a request may be sent; raise StoppedError if no more requests should be sent."""
        while True:
            with self._lock:
                now = time.monotonic()
                begin = max(self._free_at, self._next_at)
                if begin <= now:
                    self._next_at = now + self._spacing_s
            if self.stopped.is_set():
                raise StoppedError
            if begin <= now:
                return
            self.stopped.wait(begin - now)

    def after(self, refusal: Refusal, attempt: int) -> None:
        """Wait before the next attempt; a pause that the server asks for delays all threads.

        Raises
        ------
        StageError
            If the server asks for a pause of more than `LONGEST_PAUSE_S`.
        """
        asked = refusal.retry_after_s
        if asked is not None and asked > LONGEST_PAUSE_S:
            msg = f"{self._section}: the server asks for a pause of {asked:,.0f} s ({refusal}); run again after that"
            raise StageError(msg)
        grown = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  (threads must not continue at the same moment)
        if asked is None:
            self.stopped.wait(grown * jitter)
            return
        with (
            self._lock
        ):  # a little longer than asked: the clocks differ, and all threads wait for the same moment
            self._free_at = max(self._free_at, time.monotonic() + asked + 0.1 * jitter)
