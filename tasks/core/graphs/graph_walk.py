"""Graph walk: the nearest codes of a mapped HNSW graph, by a beam whose next codes are asked for ahead of time.

A search waits for memory: a code lies anywhere, and each step compares up to 2 M of them. Here a step first notes all
neighbours that are new and asks for their codes, and compares them after that. The result is the one that a search with
a list of `ef` gives in any order of ties.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.graphs.graph_file import GRAPH, HEAD, HEAD_BYTES, KINDS, KNOWN
from topicflow.tasks.core.vectors.blocks import here, threads

QUERIES = 16
"""Queries that a thread searches at a time: they share the room for what was seen."""


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
        """Return the keys (m, count) of the nearest codes of queries (m, dim), best first; -1 if fewer were found."""
        from topicflow.tasks.core.graphs.graph_kernels import walk_graph

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
                run(block, len(queries), QUERIES)
        return found


def mapped_graph(path: Path, dim: int) -> MappedGraph | None:
    """Return the graph of a file; None if it has other codes than int8, or is of another version of the format."""
    raw: Any = np.memmap(path, np.uint8, mode="r")
    n, vector_bytes = struct.unpack_from("<2I", raw, 0)
    start = 8 + n * vector_bytes
    if vector_bytes != dim or n == 0 or len(raw) < start + HEAD_BYTES + GRAPH.size + 2 * n:
        return None
    magic, major, minor, _, _, kind, *_, present, deleted, _, _ = HEAD.unpack_from(raw, start)
    known = (magic, (major, minor), kind, present, deleted) == (b"usearch", KNOWN, KINDS["int8"], n, 0)
    size, m, m_base, _, entry = GRAPH.unpack_from(raw, start + HEAD_BYTES)
    if not known or (size, m_base) != (n, 2 * m) or entry >= n:
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
