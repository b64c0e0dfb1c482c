"""Request cost: documents and a server -> how many texts, requests and tokens a run would send."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topicflow.configs.sections.embed import ApiEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

if TYPE_CHECKING:
    import polars as pl

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of a token on average, of English; other languages and code have more tokens."""

PART_ROWS = 65_536


@dataclass(frozen=True)
class RequestCost:
    """What embedding would send to a server; tokens and price are estimates, retries are not counted."""

    n_texts: int
    n_requests: int
    n_tokens: int
    price: float | None

    def __str__(self) -> str:
        """Return the cost in one line."""
        price = "" if self.price is None else f", price about {self.price:,.2f}"
        asked = f"about {self.n_requests:,} requests and {self.n_tokens:,} tokens{price}"
        return f"{self.n_texts:,} new texts, {asked}"

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as JSON values."""
        return {name: value for name, value in vars(self).items() if value is not None}


def request_cost(
    store: ArtifactStore, documents: ArtifactRef, config: ApiEmbed, runtime: RuntimeConfig
) -> RequestCost:
    """Return what embedding the documents would send: only texts that the store has no vector of.

    Notes
    -----
    Reads all texts once, about a million a second.
    """
    import numpy as np

    from topicflow.tasks.encoding.encoder_files import find_encoder
    from topicflow.tasks.encoding.vector_store import VectorStore
    from topicflow.tasks.store.digests import DigestIndex, text_digests

    vectors = VectorStore(store, find_encoder(config, runtime.device, store, keep=False).key)
    seen, prompt = DigestIndex(), len((config.prompt or "").encode())
    n_texts = n_bytes = 0
    for texts in _parts(store, documents):
        digests, first = np.unique(text_digests(texts), axis=0, return_index=True)
        new = np.maximum(vectors.locate(digests), seen.locate(digests))[:, 0] < 0
        seen.add(digests[new], np.zeros((int(new.sum()), 2), np.int64))
        sizes = texts.gather(first[new]).str.len_bytes()
        n_texts += int(new.sum())
        n_bytes += int(sizes.sum()) + prompt * int(new.sum())
    n_tokens = math.ceil(n_bytes / BYTES_PER_TOKEN)
    n_requests = max(math.ceil(n_texts / config.batch_texts), math.ceil(n_tokens / config.batch_tokens))
    price = None if config.price is None else n_tokens * config.price / 1e6
    return RequestCost(n_texts, n_requests, n_tokens, price)


def _parts(store: ArtifactStore, documents: ArtifactRef) -> Iterator[pl.Series]:
    """Yield the documents' texts."""
    texts = store.table(documents, "documents").select("text")
    for part in texts.collect_batches(chunk_size=PART_ROWS):
        yield part["text"]
