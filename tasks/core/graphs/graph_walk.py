"""Graph walk: the nearest codes of a mapped HNSW graph, by a beam whose next codes are asked for ahead of time.

A search waits for memory: a code lies anywhere, and each step compares up to 2 M of them. Here a step first notes all
neighbours that are new and asks for their codes, and compares them after that. Ties aside, it finds what usearch finds
with the same `ef`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.graphs.graph_file import GRAPH, HEAD, HEAD_BYTES, KNOWN, kinds_of
from topicflow.tasks.core.vectors.blocks import here, n_cores, threads

KINDS_OF_INT8 = kinds_of("int8")

MOST_NODES = 2**31
"""Nodes that an entry of a beam can name."""

QUERIES = 16
"""Queries that a thread searches at a time at most: they share the room for what was seen."""


@dataclass(frozen=True)
class MappedGraph:
    """A graph file of int8 codes in memory.

    Attributes
    ----------
    codes : ndarray of shape (n, dim), int8
        The code of each slot.
    nodes : ndarray of shape (n_bytes,), uint8
        Keys, levels and neighbours of the slots; see `graph_file`.
    starts : ndarray of shape (n,), int64
        Where each slot begins in `nodes`.
    levels : ndarray of shape (n,), int16
        Level of each slot.
    m, entry : int
        Neighbours of a node on upper levels, and the slot where a search begins.
    """

    codes: NDArray[np.int8]
    nodes: NDArray[np.uint8]
    starts: NDArray[np.int64]
    levels: NDArray[np.int16]
    m: int
    entry: int

    def nearest(
        self, queries: NDArray[np.int8], count: int, ef: int, n_threads: int | None = None
    ) -> NDArray[np.int64]:
        """Return the keys (m, count) of the nearest codes of queries (m, dim), best first; -1 if fewer were found.

        Raises
        ------
        ValueError
            If the queries have another width than the codes, or `count` is less than one: the kernel checks nothing.
        """
        from topicflow.tasks.core.graphs.graph_kernels import walk_graph

        if queries.ndim != 2 or queries.shape[1] != self.codes.shape[1] or count < 1:
            asked = f"{count} nearest of queries of shape {queries.shape}"
            msg = f"{asked}, but the codes have {self.codes.shape[1]} dimensions"
            raise ValueError(msg)
        queries = np.ascontiguousarray(queries)
        found = np.full((len(queries), count), -1, np.int64)

        def block(start: int, stop: int) -> None:
            walk_graph(
                self.codes, self.nodes, self.starts, self.levels, self.m, self.entry, queries[start:stop],
                max(ef, count), found[start:stop],
            )  # fmt: skip

        if len(queries) == 1:
            here(block, 1, 1)
        else:
            with threads(n_threads) as run:
                run(block, len(queries), min(QUERIES, -(-len(queries) // (n_threads or n_cores()))))
        return found


def mapped_graph(path: Path, dim: int) -> MappedGraph | None:
    """Return the graph of a file; None if it is not of int8 codes, inner products and the known format.

    The file must have passed `check_graph_file`. Without compiled code it is None, too.
    """
    if os.environ.get("NUMBA_DISABLE_JIT"):
        return None
    raw: Any = np.memmap(path, np.uint8, mode="r")
    n, vector_bytes = struct.unpack_from("<2I", raw, 0)
    start = 8 + n * vector_bytes
    if vector_bytes != dim or n == 0 or len(raw) < start + HEAD_BYTES + GRAPH.size + 2 * n:
        return None
    magic, major, minor, _, *kinds, present, deleted, _, _ = HEAD.unpack_from(raw, start)
    known = (magic, (major, minor), tuple(kinds)) == (b"usearch", KNOWN, KINDS_OF_INT8)
    size, m, m_base, _, entry = GRAPH.unpack_from(raw, start + HEAD_BYTES)
    if not known or (present, deleted, size, m_base) != (n, 0, n, 2 * m) or entry >= n or n >= MOST_NODES:
        return None
    first = start + HEAD_BYTES + GRAPH.size
    levels = np.frombuffer(raw, "<i2", n, first).astype(np.int16)
    sizes = 14 + 8 * m + levels.astype(np.int64) * (4 + 4 * m)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    nodes = np.asarray(raw[first + 2 * n :])
    if len(nodes) != starts[-1]:
        return None
    codes = np.asarray(raw[8:start]).view(np.int8).reshape(n, dim)
    return MappedGraph(codes, nodes, starts[:-1], levels, m, entry)
