"""Devices: the meaning of `runtime.device` on this machine."""

from __future__ import annotations

import sys
from pathlib import Path


def missing_device(device: str) -> str | None:
    """Return why a device that a config names is not there; None if it is, or if `auto` chooses one."""
    if device == "cuda" and sys.platform == "linux" and not Path("/dev/nvidiactl").exists():
        return "this machine has no NVIDIA GPU"
    if device == "mps" and sys.platform != "darwin":
        return "only Apple's machines have it"
    if device not in {"cuda", "mps"}:
        return None
    import torch

    if device == "cuda":
        return (
            None if torch.cuda.is_available() else "torch finds no GPU; its build or the driver does not fit"
        )
    return None if torch.backends.mps.is_available() else "torch does not find it"


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
