"""HNSW: unit vectors -> a graph over their codes, stored in one file, searched from a memory map, and extensible.

usearch makes and stores the graph; one of int8 codes is searched by `graph_walk`. Its vectors here are codes of one
byte for each dimension: a third of hnswlib's memory, and four times as many pass through the memory bus, which limits
the speed of a search. Comparing the best candidates again in float32 corrects the rounding of the codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.graphs.graph_walk import MappedGraph, mapped_graph
from topicflow.tasks.core.vectors.cells import code_scale, encode
from topicflow.tasks.core.vectors.nearest import FloatArray, Found, Parts, RowArray, rank_candidates

CODES = {"int8": "i8", "float16": "f16", "float32": "f32"}
"""Number formats of the codes and their names in usearch."""

ADD_ROWS = 65_536
"""Vectors that are encoded and added at a time."""

FIRST_ALONE = 1024
"""Vectors that one thread adds before others start: nodes that are added at the same time to a small graph do not see
each other, and parts of the graph may become unreachable."""

SPARE = 10
"""Additional candidates ranked in float32: the error of int8 codes rarely moves a document by more positions."""


class Graph:
    """An HNSW graph; its keys are rows of the index.

    Parameters
    ----------
    dim : int
        Width of the vectors.
    codes : str
        `int8`, `float16` or `float32`.
    scale : float
        int8 steps of one unit.
    M, ef_construction : int
        Neighbours of a node on the upper levels (twice as many on the lowest), and candidates compared when adding one.
    """

    def __init__(self, dim: int, codes: str, scale: float, M: int = 16, ef_construction: int = 128) -> None:
        from usearch.index import Index

        self.scale, self.codes, self._ef_construction = scale, codes, ef_construction
        self._mapped: MappedGraph | None = None
        self._index: Any = Index(
            ndim=dim,
            metric="ip",
            dtype=CODES[codes],
            connectivity=M,
            expansion_add=ef_construction,
            enable_key_lookups=False,  # rows are never looked up, and a table of them doubles the opening time
        )

    @classmethod
    def build(
        cls, parts: Parts, codes: str, M: int, ef_construction: int, seed: int, n_threads: int | None = None
    ) -> Graph:
        """Return the graph of all vectors of `parts`.

        Notes
        -----
        Threads insert at the same time, so the edges of a node depend on their timing; one thread gives the same graph
        each time. Recall is measured on the resulting graph.
        """
        scale = code_scale(parts.arrays[0], seed)
        graph = cls(parts.dim, codes, scale, M, ef_construction)
        graph.add(parts, 0, n_threads)
        return graph

    def add(self, parts: Parts, first: int, n_threads: int | None = None) -> None:
        """Add the vectors of `parts` from row `first`."""
        self._index.expansion_add = self._ef_construction  # it is not in the file
        for start, vectors in parts.blocks(None, ADD_ROWS):
            fresh = vectors[max(0, first - start) :]
            begin = start + len(vectors) - len(fresh)
            alone = FIRST_ALONE if len(self) == 0 else 0
            for some, threads in ((slice(0, alone), 1), (slice(alone, None), n_threads or 0)):
                if len(coded := self._coded(fresh[some])):
                    rows = np.arange(begin, begin + len(coded), dtype=np.uint64)
                    self._index.add(rows, coded, threads=threads)
                    begin += len(coded)

    def save(self, path: Path) -> None:
        """Write the graph to one file."""
        self._index.save(str(path))

    def read(self, path: Path, *, writable: bool = False) -> Graph:
        """Return this graph with the nodes of a file; memory-mapped unless `writable`.

        Raises
        ------
        ValueError
            If the file is not a graph of such vectors.
        """
        try:
            if writable:
                self._index.load(str(path))
            else:
                self._index.view(str(path))
                self._mapped = mapped_graph(path, self._index.ndim) if self.codes == "int8" else None
        except (RuntimeError, ValueError, OSError) as error:
            raise ValueError((str(error).splitlines() or ["no reason given"])[0]) from None
        return self

    def __len__(self) -> int:
        return len(self._index)

    def search(
        self, parts: Parts, queries: FloatArray, k: int, ef: int, n_threads: int | None = None
    ) -> Found:
        """Return about the `k` most similar rows (m, k) and their cosines, in the form of `exact_nearest`.

        Parameters
        ----------
        parts : Parts
            The vectors whose codes are in the graph.
        queries : ndarray of shape (m, dim), float32
            Unit vectors.
        k : int
            Number of results.
        ef : int
            Candidates kept during the search: more are better and slower.
        n_threads : int, optional
            Threads for several queries; default all cores.
        """
        n_kept = min(k + SPARE, len(self))
        candidates = self.candidates(queries, n_kept, max(ef, n_kept), n_threads)
        rows, similarities = rank_candidates(parts, queries, candidates, min(k, n_kept), n_threads)
        return rows, similarities

    def candidates(self, queries: FloatArray, count: int, ef: int, n_threads: int | None = None) -> RowArray:
        """Return the rows (m, count) nearest by their codes; -1 if fewer were found."""
        if self._mapped is not None:
            return self._mapped.nearest(self._coded(queries), count, ef, n_threads)
        self._index.expansion_search = ef
        threads = 1 if len(queries) == 1 else n_threads or 0
        found = self._index.search(self._coded(queries), count, threads=threads)
        keys: NDArray[Any] = np.atleast_2d(found.keys).astype(np.int64)
        if keys.shape[1] < count:
            keys = np.pad(keys, ((0, 0), (0, count - keys.shape[1])), constant_values=-1)
        counts = np.atleast_1d(np.asarray(getattr(found, "counts", keys.shape[1])))
        if (counts < count).any():
            keys[np.arange(count) >= counts[:, None]] = -1
        return keys

    def _coded(self, vectors: FloatArray) -> NDArray[Any]:
        if self.codes == "int8":
            return encode(vectors, self.scale)
        return vectors.astype(np.float16 if self.codes == "float16" else np.float32)
