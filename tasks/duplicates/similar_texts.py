"""Shingle: texts of n_docs documents -> pairs with a Jaccard similarity of at least `jaccard_floor`, by MinHash.

Rows, `pairs`, `similarities` and `first` are those of `tasks.duplicates.similar_vectors`; here, documents with the
same shingles are equal.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.deduplicate import WordMatchConfig
from topicflow.tasks.core.duplicates.minhash import (
    Bands,
    choose_bands,
    equal_sets,
    pairs_of_band,
    shingled,
    signed,
)
from topicflow.tasks.core.duplicates.pairs import Pairs, bounded, union
from topicflow.tasks.core.vectors.blocks import workers
from topicflow.tasks.duplicates import recipes
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.parts import discard_all, made_parts
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.execution.word_pairs import say_if_pairs_were_used
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe

SHINGLED_ROWS = 2**15
"""Documents shingled between two commits: a second for messages of 200 words."""

SLICE_ROWS = 2**10
"""Documents that a thread shingles at a time."""

BANDS_A_PART = 8
"""Bands searched between two commits."""

Sets = tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.int64]]
"""Signatures (n, n_hashes), shingles, and the range of each document's shingles (n + 1,)."""


@stage("similar_texts")
def similar_texts(
    context: Context,
    documents: ArtifactRef,
    against: ArtifactRef | None,
    config: WordMatchConfig,
) -> ArtifactRef:
    """Return the pairs' artifact, searching on a miss."""
    store = context.store
    texts = [str(store.meta(ref)["texts"]) for ref in (documents, against) if ref is not None]
    recipe = recipes.similar_texts(config, texts[0], texts[1] if against else None, context.seed)
    if found := store.find(recipe):
        return found
    bands = choose_bands(config.jaccard_floor, config.jaccard_recall, config.n_hashes)
    with store.writing(recipe) as writer:
        started = time.perf_counter()
        corpora = tuple(
            shingle_texts(context, ref, config.shingle_words, bands.n_hashes)
            for ref in (against, documents)
            if ref is not None
        )
        _, shingles, ranges = open_sets(store, corpora)
        first = equal_sets(shingles, ranges)
        pairs, parts = _search_bands(context, corpora, first, bands, config)
        writer.save_array("pairs", pairs.rows)
        writer.save_array("similarities", pairs.similarities)
        writer.save_array("first", first)
        writer.rows = documents.rows
        writer.meta = {
            "bands": vars(bands),
            "n_base": n_base_rows(corpora),
            "n_pairs": len(pairs),
            "beside": [[ref.kind, ref.key] for ref in corpora],
            "search_s": time.perf_counter() - started,
        }
    discard_all(store, parts)
    return store.committed(recipe, writer)


def open_sets(store: ArtifactStore, corpora: tuple[ArtifactRef, ...]) -> Sets:
    """Return the sets of one corpus, mapped, or of two corpora, one after the other."""
    found: list[Sets] = [
        (store.array(ref, "signatures"), store.array(ref, "shingles"), store.array(ref, "ranges"))
        for ref in corpora
    ]
    if len(found) == 1:
        return found[0]
    (signatures, shingles, ranges), (more_signatures, more_shingles, more_ranges) = found
    return (
        np.concatenate([signatures, more_signatures]),
        np.concatenate([shingles, more_shingles]),
        np.concatenate([ranges, more_ranges[1:] + ranges[-1]]),
    )


# --- bands --------------------------------------------------------------------------------------------------


def n_base_rows(corpora: tuple[ArtifactRef, ...]) -> int:
    """Return the number of documents of the other corpus, whose sets come first; 0 if there is one corpus."""
    return corpora[0].rows if len(corpora) > 1 else 0


def _search_bands(
    context: Context,
    corpora: tuple[ArtifactRef, ...],
    first: NDArray[np.int32],
    bands: Bands,
    config: WordMatchConfig,
) -> tuple[Pairs, list[ArtifactRef]]:
    """Return the pairs that share a band, and the artifacts of the parts of the work."""
    store = context.store
    inputs = {str(number): ref.key for number, ref in enumerate(corpora)}
    recipe = Recipe("similar_texts", "band-plans", recipes.VERSIONS["similar_texts"], vars(bands), inputs)
    with store.writing(recipe) as writer:
        writer.save_array("first", first)
        writer.rows = len(first)
    planned = store.committed(recipe, writer)
    make = partial(search_part, context, planned, corpora, bands, config)
    parts = made_parts(
        "similar_texts", make, -(-bands.n_bands // BANDS_A_PART), context.runtime, unit="bands"
    )
    found = union(
        Pairs(*(np.asarray(store.array(part, name)) for name in ("pairs", "similarities"))) for part in parts
    )
    return bounded(found, len(first), config.jaccard_max_partners), [planned, *parts]


def search_part(
    context: Context,
    planned: ArtifactRef,
    corpora: tuple[ArtifactRef, ...],
    bands: Bands,
    config: WordMatchConfig,
    number: int,
) -> ArtifactRef:
    """Return the artifact of the pairs from a part's bands."""
    store, n_base = context.store, n_base_rows(corpora)
    chosen = range(number * BANDS_A_PART, min(bands.n_bands, (number + 1) * BANDS_A_PART))
    fields = config.model_dump(
        mode="json", include={"jaccard_floor", "jaccard_window", "jaccard_max_partners"}
    )
    where = {"bands": [chosen.start, chosen.stop], **fields}
    recipe = Recipe(
        "similar_texts", "pair-parts", recipes.VERSIONS["similar_texts"], where, {"plan": planned.key}
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer, workers(context.runtime.n_threads) as run:
        signatures, shingles, ranges = open_sets(store, corpora)
        first = np.asarray(store.array(planned, "first"))
        rows = np.flatnonzero((first == np.arange(len(first))) & (np.diff(ranges) > 0)).astype(np.int32)

        def find(band: int, _stop: int) -> Pairs:
            return pairs_of_band(
                signatures, shingles, ranges, rows, n_base, bands, chosen.start + band, config.jaccard_floor,
                config.jaccard_window, config.jaccard_max_partners,
            )  # fmt: skip

        pairs = union(run(find, len(chosen), 1))
        writer.save_array("pairs", pairs.rows)
        writer.save_array("similarities", pairs.similarities)
        writer.rows = len(pairs)
    return store.committed(recipe, writer)


# --- sets ---------------------------------------------------------------------------------------------------


def shingle_texts(context: Context, documents: ArtifactRef, width: int, n_hashes: int) -> ArtifactRef:
    """Return the artifact of the documents' sets; later corpora are compared with it, too."""
    store = context.store
    recipe = recipes.text_shingles(width, n_hashes, str(store.meta(documents)["texts"]), context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        make = partial(shingle_part, context, documents, width, n_hashes)
        parts = made_parts("similar_texts", make, -(-documents.rows // SHINGLED_ROWS), context.runtime)
        sizes = [len(found) for found in store.arrays(parts, "shingles")]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        signatures = writer.open_array("signatures", (documents.rows, n_hashes), "uint32")
        shingles = writer.open_array("shingles", (int(starts[-1]),), "uint64")
        ranges = writer.open_array("ranges", (documents.rows + 1,), "int64")
        for number, part in enumerate(parts):
            row = number * SHINGLED_ROWS
            own = store.array(part, "ranges")
            signatures[row : row + SHINGLED_ROWS] = store.array(part, "signatures")
            shingles[starts[number] : starts[number + 1]] = store.array(part, "shingles")
            ranges[row : row + len(own)] = own + starts[number]
        writer.rows = documents.rows
    discard_all(store, parts)
    return store.committed(recipe, writer)


def shingle_part(
    context: Context, documents: ArtifactRef, width: int, n_hashes: int, number: int
) -> ArtifactRef:
    """Return the artifact of a part's sets."""
    store, seed = context.store, context.seed
    start, stop = number * SHINGLED_ROWS, min(documents.rows, (number + 1) * SHINGLED_ROWS)
    recipe = Recipe(
        "similar_texts", "shingle-parts", recipes.VERSIONS["similar_texts"],
        {"shingle_words": width, "n_hashes": n_hashes, "rows": [start, stop]}, {"documents": documents.key}, seed=seed,
    )  # fmt: skip
    if found := store.find(recipe):
        return found
    table = store.table(documents, "documents").select("text").slice(start, stop - start)
    texts = table.collect()["text"]
    with store.writing(recipe) as writer, workers(context.runtime.n_threads) as run:

        def make(start: int, stop: int) -> Sets:
            shingles, ranges = shingled(texts.slice(start, stop - start).to_list(), width)
            return signed(shingles, ranges, n_hashes, seed), shingles, ranges

        made = run(make, len(texts), SLICE_ROWS)
        say_if_pairs_were_used("similar_texts")
        counts = np.concatenate([np.diff(ranges) for _, _, ranges in made])
        writer.save_array("signatures", np.concatenate([signatures for signatures, _, _ in made]))
        writer.save_array("shingles", np.concatenate([shingles for _, shingles, _ in made]))
        writer.save_array("ranges", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        writer.rows = len(texts)
    return store.committed(recipe, writer)
