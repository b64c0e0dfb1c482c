"""Devices: the meaning of `runtime.device` on this machine."""

from __future__ import annotations

import sys
from pathlib import Path


def resolve_device(device: str) -> str:
    """Return `cuda`, `mps` or `cpu` for `auto`; torch is imported only if there may be a GPU."""
    if device != "auto":
        return device
    if not Path("/dev/nvidiactl").exists() and sys.platform not in {"darwin", "win32"}:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
