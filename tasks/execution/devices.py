"""Devices: the meaning of `runtime.device` on this machine."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from topicflow.tasks.core.vectors.processor import x86_features


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


@cache
def sums_of_int8_saturate() -> bool:
    """Return whether this processor adds two products of 8-bit integers in 16 bits, which cuts large sums off.

    x86 processors without VNNI do (AMD before Zen 4, Intel before Ice Lake and most before Alder Lake); products of 255
    and 127 do not fit twice. Their libraries lose digits without an error.
    """
    features = x86_features()
    return features is not None and not (features.get("avx512vnni") or features.get("avxvnni"))
