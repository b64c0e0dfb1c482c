"""In use: the runs that are at work on a store -> since when, so that `gc` keeps what they made and found.

A run holds a lease whose name says when it began. It ends with its process, on a local folder by the lock and in a
bucket by its expiry, so that a killed run holds nothing back for long.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.store.process import process_token
from topicflow.tasks.store.protocol import Backend

KIND = "run"
"""Kind of these leases, beside those of artifacts."""

MARGIN_S = 7200.0
"""Seconds before a run's begin from which on its artifacts are kept: clocks differ, and a bucket renews the time of an
artifact that is found at most once an hour."""


@contextlib.contextmanager
def in_use(backend: Backend) -> Iterator[None]:
    """Hold the lease of a run while the block is at work; where the place knows no locks, age alone protects it."""
    release = None
    with contextlib.suppress(OSError, ArtifactError):
        release = backend.claim(KIND, f"{int(time.time())}.{process_token()}.{uuid.uuid4().hex[:8]}")
    try:
        yield
    finally:
        if release is not None:
            with contextlib.suppress(OSError, ArtifactError):
                release()


def in_use_since(backend: Backend) -> float | None:
    """Return the Unix time before which nothing that a run at work uses was made or found; None if none is."""
    begun = [float(key.partition(".")[0]) for key in backend.holders(KIND)]
    return min(begun) - MARGIN_S if begun else None
