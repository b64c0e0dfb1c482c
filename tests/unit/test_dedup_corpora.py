"""Real text in two corpora, docstrings of installed packages: known documents of one are found in the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.fakes import HashEncoder, save, save_documents
from topicflow.configs.sections.deduplicate import BothDeduplicate, EmbeddingDeduplicate, MinhashDeduplicate
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.duplicates.minhash import shingled
from topicflow.tasks.documents.docstrings import collect
from topicflow.tasks.duplicates.deduplicate import deduplicate
from topicflow.tasks.duplicates.similar_texts import similar_texts
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

RUNTIME = RuntimeConfig(device="cpu", n_threads=2)
N_COPIES = 40


@dataclass(frozen=True)
class Corpora:
    """Known texts, new texts, and their vectors."""

    known: list[str]
    new: list[str]
    known_vectors: np.ndarray
    new_vectors: np.ndarray


@pytest.fixture(scope="module")
def corpora() -> Corpora:
    """Summaries of numpy and polars in turns, and after the new ones every tenth known one with one more word."""
    texts = collect(("numpy", "polars"))["text"].to_list()[:1600]
    known, new = texts[::2], texts[1::2]
    new += [f"{text} again" for text in known[::10][:N_COPIES]]
    encoder = HashEncoder(dim=64)
    return Corpora(known, new, encoder.encode(known)[0], encoder.encode(new)[0])


def found(store: ArtifactStore, texts: list[str], vectors: np.ndarray, base: Any, config: Any) -> Any:
    """Return the references of the documents, their embeddings, their pairs by search, and their duplicates."""
    documents = save_documents(store, texts, f"{len(texts)} texts")
    embeddings = save(store, "embeddings", {"embeddings": vectors}, name=f"{len(texts)} vectors")
    base_documents, base_embeddings = base[:2] if base else (None, None)
    pairs: dict[str, Any] = {}
    if config.method != "minhash":
        pairs["similar_vectors"] = similar_vectors.fn(
            Context(store, 1, RUNTIME), embeddings, base_embeddings, config
        )
    if config.method != "embedding":
        pairs["similar_texts"] = similar_texts.fn(
            Context(store, 1, RUNTIME), documents, base_documents, config
        )
    duplicates = deduplicate.fn(Context(store), documents, pairs, base_documents, config)
    assert isinstance(duplicates, ArtifactRef)
    return documents, embeddings, pairs, duplicates


def cosines(corpora: Corpora) -> np.ndarray:
    """Return the cosine of each new document (rows) to each known one, computed by numpy."""
    return corpora.new_vectors.astype(np.float64) @ corpora.known_vectors.T.astype(np.float64)


def jaccards(corpora: Corpora, width: int) -> np.ndarray:
    """Return the share of common shingles of each new document (rows) and each known one, from Python's sets."""
    sets = []
    for texts in (corpora.new, corpora.known):
        shingles, ranges = shingled(texts, width)
        sets.append([set(shingles[a:b].tolist()) for a, b in pairwise(ranges)])
    return np.array([[len(a & b) / max(1, len(a | b)) for b in sets[1]] for a in sets[0]])


@pytest.mark.parametrize(
    "config",
    [
        EmbeddingDeduplicate(search="exact"),
        EmbeddingDeduplicate(search="lsh", recall=0.999),
        MinhashDeduplicate(method="minhash", shingle_words=2, jaccard_recall=0.999),
        BothDeduplicate(method="both", search="exact", shingle_words=2, jaccard_recall=0.999),
    ],
    ids=["exact", "lsh", "minhash", "both"],
)
def test_new_documents_that_are_like_a_known_one_go(
    store: ArtifactStore, corpora: Corpora, config: Any
) -> None:
    base = found(store, corpora.known, corpora.known_vectors, None, config)
    duplicates = found(store, corpora.new, corpora.new_vectors, base, config)[3]
    like = np.zeros((len(corpora.new), len(corpora.known)), bool)
    if config.method != "minhash":
        like |= cosines(corpora) >= config.threshold
    if config.method != "embedding":
        like |= jaccards(corpora, config.shingle_words) >= config.jaccard_threshold
    base_row = np.asarray(store.array(duplicates, "base_row"))
    rows = np.flatnonzero(base_row >= 0)
    assert like[rows, base_row[rows]].all()  # what is called known is like the one that it names
    assert len(rows) >= 0.99 * like.any(axis=1).sum()
    assert len(rows) > N_COPIES / 2
    assert not store.array(duplicates, "kept")[rows].any()


@pytest.mark.parametrize(
    "config",
    [EmbeddingDeduplicate(search="exact"), MinhashDeduplicate(method="minhash", shingle_words=2)],
    ids=["exact", "minhash"],
)
def test_new_against_known_finds_the_pairs_of_a_search_of_all(
    store: ArtifactStore, corpora: Corpora, config: Any
) -> None:
    base = found(store, corpora.known, corpora.known_vectors, None, config)
    later = found(store, corpora.new, corpora.new_vectors, base, config)
    vectors = np.concatenate([corpora.known_vectors, corpora.new_vectors])
    everything = found(store, corpora.known + corpora.new, vectors, None, config)
    n_known = len(corpora.known)

    def pairs(run: Any) -> set[tuple[int, int]]:
        (ref,) = run[2].values()
        rows = np.asarray(store.array(ref, "pairs"))
        return {(int(i), int(j)) for i, j in rows if j >= n_known}

    assert len(pairs(later)) > N_COPIES / 2
    assert pairs(later) == pairs(everything)
