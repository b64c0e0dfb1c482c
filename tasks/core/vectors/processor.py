"""Processor: which instructions it has, as far as they decide how codes of 8 bits are multiplied."""

from __future__ import annotations

import platform
from collections.abc import Mapping


def x86_features() -> Mapping[str, bool] | None:
    """Return whether an x86 processor has each instruction set, by LLVM's names; None for other processors."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return None
    from llvmlite.binding import get_host_cpu_features

    return dict(get_host_cpu_features())
