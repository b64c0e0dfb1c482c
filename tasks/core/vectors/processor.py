"""Processor: which instructions it has, as far as they decide how numbers of 8 and 16 bits are multiplied."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

VNNI = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni"})
"""Flags of a processor that adds products of integers of 8 and of 16 bits in one instruction, 64 bytes wide."""

NEEDED = VNNI | {"amx_tile", "amx_bf16", "amx_int8", "avx512_bf16"}
"""Flags of a processor that computes products of bfloat16 and of int8 in tiles; all processors with AMX have them."""

OTHER_CODE = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT")
"""Settings with which numba compiles for another processor, or not at all."""

_ARCH_PRCTL, _ASK_FOR, _TILE_DATA = 158, 0x1023, 18


@cache
def has_tiles() -> bool:
    """Return whether this process may use tiles; Linux lets each process ask for them once, for all of its threads."""
    return (
        has_vnni()
        and flags(CPUINFO) >= NEEDED
        and ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR, _TILE_DATA) == 0
    )


@cache
def has_vnni() -> bool:
    """Return whether this processor adds products of integers by AVX-512 VNNI, and numba compiles for it."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or any(map(os.environ.get, OTHER_CODE)):
        return False
    return flags(CPUINFO) >= VNNI


def flags(cpuinfo: Path) -> set[str]:
    """Return the flags of the first processor; none if the file cannot be read."""
    try:
        found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return set()
    return set(found[1].split()) if found else set()


def x86_features() -> Mapping[str, bool] | None:
    """Return whether an x86 processor has each instruction set, by LLVM's names; None for other processors."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return None
    from llvmlite.binding import get_host_cpu_features

    return dict(get_host_cpu_features())
