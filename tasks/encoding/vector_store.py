"""Vector store: one vector for each distinct text and encoder, in append-only chunks in the artifact store.

A chunk is an artifact of kind `vectors-<encoder key>` with three aligned files: `digests` (n, 2) uint64, `vectors`
(n, dim) float32 and `n_tokens` (n,) int32, negative if the vector represents only the beginning of a text. The 128-bit
BLAKE2b digest of its UTF-8 bytes identifies a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.store.digests import DigestIndex, Digests, text_digests

__all__ = ["Digests", "VectorStore", "chunk_recipe", "is_cut", "save_chunk", "text_digests"]


def chunk_recipe(encoder: str, digests: Digests) -> Recipe:
    """Return the recipe of the chunk of an encoder's vectors for the texts with `digests` (n, 2)."""
    content = hashlib.blake2b(np.ascontiguousarray(digests).tobytes(), digest_size=16).hexdigest()
    return Recipe("embed", f"vectors-{encoder}", 1, inputs={"texts": content}, identity={"encoder": encoder})


def save_chunk(
    store: ArtifactStore,
    encoder: str,
    digests: Digests,
    vectors: NDArray[np.float32],
    n_tokens: NDArray[np.int32],
) -> str:
    """Commit a chunk with digests (n, 2), vectors (n, dim) and token counts (n,); return its key."""
    with store.writing(chunk_recipe(encoder, digests)) as writer:
        writer.rows = len(digests)
        writer.save_array("digests", digests)
        writer.save_array("vectors", vectors)
        writer.save_array("n_tokens", n_tokens)
    return writer.key


def is_cut(n_tokens: NDArray[np.int32], max_tokens: int | None) -> NDArray[np.bool_]:
    """Return which texts (n,) were longer than the encoder reads: by its limit, or by the record of each text."""
    found: NDArray[np.bool_] = n_tokens < 0
    return found if max_tokens is None else found | (n_tokens > max_tokens)


@dataclass
class VectorStore:
    """The vectors of one encoder.

    Parameters
    ----------
    store : ArtifactStore
        The store of the chunks.
    encoder : str
        The encoder's key.
    """

    store: ArtifactStore
    encoder: str
    _chunks: list[ArtifactRef] = field(default_factory=list)
    _places: DigestIndex = field(default_factory=DigestIndex)

    def __post_init__(self) -> None:
        """Read the digests of the existing chunks; damaged chunks are skipped, so their vectors are computed again."""
        self.refresh()

    @property
    def kind(self) -> str:
        """The kind of the artifacts."""
        return f"vectors-{self.encoder}"

    @property
    def dim(self) -> int:
        """Width of the vectors; 0 if there are none yet."""
        return int(self.store.array(self._chunks[0], "vectors").shape[1]) if self._chunks else 0

    def refresh(self) -> None:
        """Add the chunks that this or another process has written since."""
        known = {chunk.key for chunk in self._chunks}
        self._index([self._ref(key) for key in self.store.hits(self.kind, leave_out=known)])

    def add(self, digests: Digests, vectors: NDArray[np.float32], n_tokens: NDArray[np.int32]) -> None:
        """Store the vectors (n, dim) and token counts (n,) of the texts with `digests` (n, 2)."""
        self._index([self._ref(save_chunk(self.store, self.encoder, digests, vectors, n_tokens))])

    def locate(self, digests: Digests) -> NDArray[np.int64]:
        """Return the positions (n, 2) of texts as (chunk, row); (-1, -1) for texts without a vector."""
        return self._places.locate(digests)

    def gather(self, places: NDArray[np.int64], out: NDArray[np.float32]) -> NDArray[np.int32]:
        """Write the vectors at `places` (n, 2) into `out` (n, dim) and return their token counts (n,).

        Raises
        ------
        ArtifactError
            If a place is (-1, -1): the chunk of that text was deleted after it was embedded.
        """
        if n_gone := int((places[:, 0] < 0).sum()):
            msg = f"store: {self.store.name}: {self.kind}: the vectors of {n_gone:,} texts are gone; run it again"
            raise ArtifactError(msg)
        n_tokens = np.empty(len(places), np.int32)
        for chunk in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == chunk)
            inside = places[rows, 1]
            out[rows] = self.store.array(self._chunks[chunk], "vectors")[inside]
            n_tokens[rows] = self.store.array(self._chunks[chunk], "n_tokens")[inside]
        return n_tokens

    def keys(self, chunks: Sequence[int]) -> list[str]:
        """Return the sorted keys of chunks, so that an artifact can record its chunks."""
        return sorted(self._chunks[chunk].key for chunk in chunks)

    def _ref(self, key: str) -> ArtifactRef:
        return ArtifactRef(self.kind, key, stage="embed")

    def _index(self, fresh: Sequence[ArtifactRef]) -> None:
        """Add the digests of `fresh` chunks to the index."""
        if not fresh:
            return
        found, places = [], []
        for ref, digests in zip(fresh, self.store.arrays(fresh, "digests"), strict=True):
            found.append(np.asarray(digests))
            rows = np.arange(len(digests), dtype=np.int64)
            places.append(np.column_stack([np.full(len(digests), len(self._chunks), np.int64), rows]))
            self._chunks.append(ref)
        self._places.add(np.concatenate(found), np.concatenate(places))
