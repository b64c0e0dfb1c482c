"""Process: a token for this process that no other process has, on this machine, in a container or on another host.

A process id is not enough: two containers that share a store both have a process 1.
"""

from __future__ import annotations

import os
import re
import socket
import uuid

_tokens: dict[int, str] = {}
"""The token by process id: a forked child inherits its parent's tokens and makes its own."""


def process_token() -> str:
    """Return `<host>-<process id>-<random>`, always the same for this process."""
    pid = os.getpid()
    if pid not in _tokens:
        host = re.sub(r"[^A-Za-z0-9.]+", "-", socket.gethostname())[:60] or "host"
        _tokens[pid] = f"{host}-{pid}-{uuid.uuid4().hex[:12]}"
    return _tokens[pid]


def staging_name(purpose: str = "") -> str:
    """Return a new name for something that this process writes; `interrupt` deletes by the token at its beginning."""
    return "-".join(part for part in (process_token(), purpose, uuid.uuid4().hex) if part)
