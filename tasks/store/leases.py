"""Leases: a stage that finds no artifact takes the right to make it; another run that wants it waits, and finds it.

A lease saves work and decides nothing: where the place of the store knows no locks, or a lease is lost, both compute
and the commit lets the first win. A thread that is writing one artifact never waits for another, and one that waits
holds nothing, so that no two runs wait for each other.
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
"""Seconds between two looks at a lease that another holds."""

SAY_AFTER_S = 10.0
"""Seconds of waiting after which a line says so."""

_Place = tuple[str, str, str]
_Found = TypeVar("_Found")


class _Held(threading.local):
    """What a thread holds: how to let go of each lease, and how many artifacts it is writing."""

    def __init__(self) -> None:
        self.leases: dict[_Place, Callable[[], None]] = {}
        self.n_writing = 0


_held = _Held()
"""The leases of each thread of this process."""


def find_or_claim(backend: Backend, kind: str, key: str, find: Callable[[], _Found | None]) -> _Found | None:
    """Return what `find` gives once nobody else is making it; None with the lease taken, where there is one.

    Parameters
    ----------
    backend : Backend
        Where the artifact would be.
    kind, key : str
        Its name.
    find : callable
        Returns the artifact, or None where it is not there.

    Notes
    -----
    Waits as long as the other computes. It ends with the other's process on a local folder, and with the expiry of its
    lease in a bucket. What this thread claimed earlier and never wrote is let go of.
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
    """Return what lets go of a lease, None where there is none to be had."""
    waited_s = 0.0
    with contextlib.suppress(OSError, ArtifactError):  # a place without locks, or one that may only be read
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
    """Let go of an artifact's lease, where this thread has it, when the block that writes it ends."""
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
