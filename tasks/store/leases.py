"""Leases: a stage that finds no artifact takes the right to make it; another run that needs it waits for it.

A lease only saves work: if the store has no locks, or a lease is lost, both runs compute and the first commit wins.
A thread that is writing an artifact never waits for another lease, and a waiting thread has no lease, so that two runs
never wait for each other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.log import LOG
from topicflow.tasks.store.protocol import Backend

POLL_S = 0.2
"""Seconds between two checks of a lease that another run has."""

SAY_AFTER_S = 10.0
"""Seconds of waiting after which a line is logged."""

_Place = tuple[str, str, str]
_Found = TypeVar("_Found")


class _Held(threading.local):
    """What a thread has: a function that releases each lease, and the number of artifacts that it is writing."""

    def __init__(self) -> None:
        self.leases: dict[_Place, Callable[[], None]] = {}
        self.n_writing = 0


_held = _Held()
"""The leases of each thread of this process."""


def find_or_claim(backend: Backend, kind: str, key: str, find: Callable[[], _Found | None]) -> _Found | None:
    """Return the result of `find` as soon as no other run makes the artifact; None if this thread has the lease now.

    Parameters
    ----------
    backend : Backend
        Where the artifact would be stored.
    kind, key : str
        The kind and key of the artifact.
    find : callable
        Returns the artifact, or None if it does not exist.

    Notes
    -----
    Waits while the other run computes: until its process ends on a local folder, until its lease expires in a bucket.
    Leases that this thread claimed earlier, and for which it wrote nothing, are released.
    """
    place = (backend.location, kind, key)
    if place in _held.leases:
        return None
    if not _held.n_writing:
        _let_go_of_all()
    release = _claimed(backend, kind, key, may_wait=not _held.n_writing)
    if release is None:
        return None
    _held.leases[place] = release
    found = find()
    if found is not None:
        _let_go(place)
    return found


def _claimed(backend: Backend, kind: str, key: str, *, may_wait: bool) -> Callable[[], None] | None:
    """Return the function that releases a lease, None if no lease can be taken."""
    waited_s = 0.0
    with contextlib.suppress(OSError, ArtifactError):  # a place without locks, or a read-only one
        while (release := backend.claim(kind, key)) is None:
            if not may_wait:
                return None
            if waited_s < SAY_AFTER_S <= waited_s + POLL_S:
                LOG.info("%s/%s: another run is making it; waiting for that", kind, key[:12])
            time.sleep(POLL_S)
            waited_s += POLL_S
        return release
    return None


@contextlib.contextmanager
def writing(backend: Backend, kind: str, key: str) -> Iterator[None]:
    """Release an artifact's lease, if this thread has it, at the end of the block that writes it."""
    _held.n_writing += 1
    try:
        yield
    finally:
        _held.n_writing -= 1
        _let_go((backend.location, kind, key))


def _let_go(place: _Place) -> None:
    if release := _held.leases.pop(place, None):
        with contextlib.suppress(OSError, ArtifactError):
            release()


def _let_go_of_all() -> None:
    for place in tuple(_held.leases):
        _let_go(place)
