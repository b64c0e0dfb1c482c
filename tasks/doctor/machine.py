"""Machine: the processor and its instructions for small numbers, the memory, the device, the compiled kernels."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.doctor.finding import Finding
from topicflow.tasks.execution.compiled import cache_folders
from topicflow.tasks.execution.devices import missing_device, resolve_device

CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")

INSTRUCTIONS: Mapping[str, str] = {
    "avx2": "AVX2", "avx512f": "AVX-512", "avx_vnni": "VNNI", "avx512_vnni": "VNNI (512)", "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX bfloat16", "amx_int8": "AMX int8", "asimd": "NEON", "i8mm": "int8 products",
}  # fmt: skip
"""The flags of a processor that make encoders faster, and their names."""

KERNEL = re.compile(r"^@(?:numba\.)?njit\([^)]*cache=True[^)]*\)[^\n]*\ndef (\w+)", re.MULTILINE)


def machine(device: str = "auto") -> Iterator[Finding]:
    """Yield the processor, its instructions, the device that `device` means, and the kernels."""
    yield Finding("machine", f"{_processor()}, {n_cores()} cores, {_memory()}, {platform.system()}")
    yield instructions(_read(CPUINFO))
    missing = missing_device(device)
    if missing is not None:
        yield Finding("device", f"runtime.device={device!r}: {missing}", "problem")
    else:
        yield Finding("device", f"{resolve_device(device)}{_gpu()}")
    yield kernels(Path(__file__).parents[1])


def instructions(cpuinfo: str) -> Finding:
    """Return what the processor computes fast, from the text of /proc/cpuinfo."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    if flags is None:
        return Finding("instructions", "not known on this system")
    has = set(flags[1].split())
    found = [name for flag, name in INSTRUCTIONS.items() if flag in has]
    slow = not has & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}
    said = ", ".join(found) or "none of AVX2, VNNI and AMX"
    return Finding("instructions", said + ('; embed.precision = "int8" gains little' if slow else ""))


def kernels(folder: Path) -> Finding:
    """Return how many of the compiled functions below a folder are in numba's cache."""
    wanted = [(path, name) for path in folder.rglob("*.py") for name in KERNEL.findall(_read(path))]
    there = sum(_is_compiled(path, name) for path, name in wanted)
    if there == len(wanted):
        return Finding("kernels", f"all {there} are compiled")
    return Finding(
        "kernels",
        f"{there} of {len(wanted)} are compiled; a first run compiles what it needs, up to a minute",
        "note",
    )


def _is_compiled(path: Path, name: str) -> bool:
    """Return whether numba's cache has a function of a file as it is now."""
    written = path.stat().st_mtime
    return any(
        index.stat().st_mtime >= written
        for folder in cache_folders(path.parent)
        for index in folder.glob(f"{path.stem}.{name}-*.nbi")
    )


def _processor() -> str:
    named = re.search(r"^model name\s*:\s*(.+)$", _read(CPUINFO), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def _memory() -> str:
    sizes = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", _read(MEMINFO), re.MULTILINE))
    if len(sizes) < 2:
        return "memory not known"
    free, total = (int(sizes[name]) / 2**20 for name in ("MemAvailable", "MemTotal"))
    return f"{free:.1f} of {total:.1f} GiB memory free"


def _gpu() -> str:
    """Return the NVIDIA GPUs of this machine and torch's CUDA; torch is imported only if there may be one."""
    if not Path("/dev/nvidiactl").exists():
        return "; no NVIDIA GPU"
    import torch

    if not torch.cuda.is_available():
        return f"; an NVIDIA driver is there, but torch {torch.__version__} finds no GPU"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"; {', '.join(names)}, CUDA {torch.version.cuda}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
