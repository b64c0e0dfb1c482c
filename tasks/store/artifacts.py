"""Artifacts: what an artifact is made from (recipe and key), the reference that tasks pass on, the writer of its files.

Imports no store: the backends (`local`, `bucket`) and `artifact_store` build on this file. Imports numpy only to write
an array: a plan writes none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def canonical_json(value: Any) -> bytes:  # noqa: ANN401  (any JSON value)
    """Return the one JSON text of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(data: bytes, size: int = 16) -> str:
    """Return the BLAKE2b digest of `data` as `2 * size` hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


NAMES_IN_KEYS: Mapping[str, str] = {
    "similar_vectors": "pair",
    "similar_texts": "shingle",
    "labelled_texts": "annotate",
    "compare_methods": "contest",
    "measure": "judge",
    "new_documents": "arrive",
    "merge_batches": "gather",
}
"""Stages with another name in recipes and keys, the one of 0.1.0: a key must not change because a name got better."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an artifact's bytes.

    Attributes
    ----------
    stage, kind : str
        The verb of the stage that makes it, and the plural noun under which it is stored.
    version : int
        Version of the stage's code.
    config : mapping
        The stage's section of the config, as JSON values.
    inputs : mapping of str to str
        Keys of the artifacts that it is computed from.
    identity : mapping of str to str
        Everything else that decides the numbers: weights, versions of numeric libraries.
    seed : int or None
        Seed, if the stage draws random numbers.
    """

    stage: str
    kind: str
    version: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values, with the stage's name in keys."""
        return {
            "stage": NAMES_IN_KEYS.get(self.stage, self.stage),
            "version": self.version,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "identity": dict(self.identity),
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        """The artifact's key: 32 hexadecimal digits of BLAKE2b over the canonical JSON."""
        return digest(canonical_json(self.as_dict()))


@dataclass(frozen=True)
class ArtifactRef:
    """A reference to an artifact, small enough to pass between tasks.

    Two references are equal if kind and key are; the other fields say how this run got the artifact.
    """

    kind: str
    key: str
    stage: str = field(compare=False)
    rows: int = field(default=0, compare=False)
    cached: bool = field(default=False, compare=False)
    seconds: float = field(default=0.0, compare=False)
    peak_rss_bytes: int = field(default=0, compare=False)
    peak_gpu_bytes: int = field(default=0, compare=False)


@dataclass
class ArtifactWriter:
    """Collects the files of one artifact in a staging folder; `store.writing` commits them."""

    folder: Path
    key: str
    rows: int = 0
    meta: dict[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where to write the file `name`, after making its folders."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save_array(self, name: str, array: NDArray[Any]) -> None:
        """Write `array` as `name`.npy, in this machine's byte order."""
        import numpy as np

        native = np.asarray(array, array.dtype.newbyteorder("="), order="C")
        np.save(self.path(f"{name}.npy"), native, allow_pickle=False)

    def open_array(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Return a writable memory map of a new `name`.npy, for results larger than memory.

        Its blocks are allocated immediately: on a full disk this raises; writing to the map would kill the process.
        """
        import numpy as np

        path = self.path(f"{name}.npy")
        mapped: NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate"):  # macOS has none
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return mapped

    @contextmanager
    def appended_array(
        self, name: str, shape: tuple[int, ...], dtype: str
    ) -> Iterator[Callable[[NDArray[Any]], None]]:
        """Yield a function that appends rows to a new `name`.npy, for results that are made in order.

        Unlike a memory map, no page of the file counts as memory of this process.

        Raises
        ------
        ValueError
            If the rows that were appended are not those of `shape`.
        """
        import numpy as np

        kind, n_rows = np.dtype(dtype), 0
        with self.path(f"{name}.npy").open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)

            def append(rows: NDArray[Any]) -> None:
                nonlocal n_rows
                n_rows += len(rows)
                file.write(np.ascontiguousarray(rows, kind).data)

            yield append
        if n_rows != shape[0]:
            msg = f"store: {name} has {n_rows} rows, expected {shape[0]}"
            raise ValueError(msg)

    def save_table(self, name: str, table: pl.DataFrame) -> None:
        """Write `table` as `name`.parquet."""
        table.write_parquet(self.path(f"{name}.parquet"), compression="zstd")

    def save_json(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Write `value` as `name`.json."""
        self.path(f"{name}.json").write_bytes(canonical_json(value))


def file_digest(path: Path) -> str:
    """Return the BLAKE2b digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
