"""In use: the begin of the oldest run that is using a store, so that `gc` keeps what the runs made and found.

A run has a lease with its begin in the name. The lease ends with the process: with its lock in a local folder, by its
expiry in a bucket. So a killed run does not keep artifacts for long.
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
"""Artifacts are kept from this many seconds before the begin of a run: clocks differ, and a bucket renews the time of
an artifact that was found at most once an hour."""


@contextlib.contextmanager
def in_use(backend: Backend) -> Iterator[None]:
    """Hold the lease of a run while the block runs; if the place has no locks, only the age protects artifacts."""
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
    """Return the Unix time since when artifacts may be used by a running run; None if no run is running."""
    begun = [float(key.partition(".")[0]) for key in backend.holders(KIND)]
    return min(begun) - MARGIN_S if begun else None
