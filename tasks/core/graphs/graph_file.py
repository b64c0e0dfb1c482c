"""Graph file: a check of the bytes of a saved graph, so that they cannot lead a search out of the file.

usearch trusts every number of a file that it maps. A digest proves that a file is what was written, but not that it
is a graph; a file from somebody else may be complete and still name neighbours that do not exist.

- u32 rows, u32 bytes per vector; the vectors
- 64 bytes: "usearch", version, kinds of metric, vectors, keys and slots, number of nodes
- u64 nodes, u64 M, u64 M of the lowest level, u64 highest level, u64 slot where a search begins
- i16 level of each node
- for each node: u64 key, i16 level, and for each of its levels the u32 number of neighbours and space for their u32
  slots
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

KNOWN = (2, 26)
"""Version of usearch for this format; a file of another version needs a newer usearch and is not checked."""

KINDS = {"int8": 23, "float16": 12, "float32": 11}
"""The file's numbers for the types of vectors."""

_BYTES = {"int8": 1, "float16": 2, "float32": 4}

_INNER_PRODUCT, _U64_KEYS, _U32_SLOTS = ord("i"), 14, 15
HEAD, GRAPH = struct.Struct("<7s3H4B3QB"), struct.Struct("<5Q")
"""What follows the vectors: 64 bytes that begin with the first of them, then the second."""

HEAD_BYTES = 64


@dataclass(frozen=True)
class GraphShape:
    """The expected shape of a graph: nodes, width of the vectors, their codes, and neighbours of a node."""

    n: int
    dim: int
    codes: str
    M: int

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector."""
        return self.dim * _BYTES[self.codes]


def kinds_of(codes: str) -> tuple[int, int, int, int]:
    """Return the file's numbers for inner products, and for the types of vectors, keys and slots."""
    return _INNER_PRODUCT, KINDS[codes], _U64_KEYS, _U32_SLOTS


def check_graph_file(path: Path, shape: GraphShape) -> None:
    """Raise ValueError if a file is not a graph of a shape, or leads out of itself.

    Notes
    -----
    Reads the levels and neighbours of all nodes: .2 s for a million.
    """
    from topicflow.tasks.core.graphs.graph_kernels import first_bad_node

    raw: Any = np.memmap(path, np.uint8, mode="r")
    start = 8 + shape.n * shape.vector_bytes
    if len(raw) < start + HEAD_BYTES + GRAPH.size + 2 * shape.n:
        raise ValueError(f"it has {len(raw):,} bytes, too few for {shape.n:,} nodes")
    rows, vector_bytes = struct.unpack_from("<2I", raw, 0)
    magic, major, minor, _, metric, kind, keys, slots, present, deleted, dim, several = HEAD.unpack_from(
        raw, start
    )
    if (rows, vector_bytes, magic) != (shape.n, shape.vector_bytes, b"usearch"):
        raise ValueError(f"it is not a graph of {shape.n:,} vectors of {shape.vector_bytes:,} bytes")
    if (major, minor) != KNOWN:
        if version("usearch").split(".")[:2] == list(map(str, KNOWN)):
            raise ValueError(f"it was written by usearch {major}.{minor}")
        return
    if (metric, kind, keys, slots) != kinds_of(shape.codes) or (present, deleted, dim, several) != (
        shape.n,
        0,
        shape.dim,
        0,
    ):
        raise ValueError(f"it is not a graph of {shape.n:,} vectors of {shape.codes}")
    size, m, m_base, top, entry = GRAPH.unpack_from(raw, start + HEAD_BYTES)
    if (size, m, m_base) != (shape.n, shape.M, 2 * shape.M):
        raise ValueError(f"its nodes have {m:,} neighbours, expected {shape.M:,}")
    nodes = start + HEAD_BYTES + GRAPH.size
    levels = np.frombuffer(raw, "<i2", shape.n, nodes)
    if entry >= shape.n or levels[entry] != top or int(levels.min()) < 0 or int(levels.max()) > top:
        raise ValueError("its levels are impossible")
    bad = first_bad_node(np.asarray(raw[nodes + 2 * shape.n :]), np.array(levels), shape.M)
    if bad >= 0:
        raise ValueError(f"node {bad:,} of {shape.n:,} has impossible neighbours")
