"""Compiled: whether the kernels of a stage have been compiled on this machine; the first run waits for that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

COMPILING = "the first run compiles, once on this machine"

KERNELS: Mapping[str, str] = MappingProxyType({
    "neighbors": "vectors", "reduce": "layout", "map": "layout", "cluster": "clusters", "count": "words",
    "assign": "vectors", "index": "words", "similar_texts": "duplicates", "similar_vectors": "duplicates",
})  # fmt: skip
"""The folder of `tasks.core` with the kernels of each stage that has some."""


def is_compiled(stage: str) -> bool:
    """Return whether numba has kept a kernel of the stage; true for a stage without kernels."""
    folder = KERNELS.get(stage)
    if folder is None:
        return True
    kernels = Path(__file__).resolve().parents[1] / "core" / folder
    return any(any(cache.glob("*.nbi")) for cache in cache_folders(kernels))


def cache_folders(folder: Path) -> list[Path]:
    """Return the folders in which numba keeps the kernels of a folder: with NUMBA_CACHE_DIR only those there."""
    kept = os.environ.get("NUMBA_CACHE_DIR")
    return list(Path(kept).glob(f"{folder.name}_*")) if kept else [folder / "__pycache__"]
