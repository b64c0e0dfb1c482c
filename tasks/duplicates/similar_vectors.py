"""Similar vectors: embeddings (n_docs, dim) -> pairs of documents (n_pairs, 2) with a cosine of at least `floor`.

With a corpus `against`, its n_base rows come first and the documents' rows after them; no pair has both rows in it.
The artifact contains `pairs` int32, `similarities` float32 and `first` (n_base + n_docs,), the first row with the same
vector, whose pairs are also its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.deduplicate import VectorMatchConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.duplicates.exact_pairs import exact_pairs, exact_pairs_by_torch
from topicflow.tasks.core.duplicates.hashed_pairs import (
    TwoCorpora,
    equal_firsts,
    pairs_of_table,
    pairs_of_tables,
    plan_tables,
)
from topicflow.tasks.core.duplicates.lsh_plan import TablePlan
from topicflow.tasks.core.duplicates.pairs import Pairs, bounded, union
from topicflow.tasks.core.duplicates.signatures import hyperplanes, sign_bits
from topicflow.tasks.core.vectors.blocks import workers
from topicflow.tasks.duplicates import recipes
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.devices import resolve_device
from topicflow.tasks.execution.parts import discard_all, made_parts
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe

EXACT_UP_TO = {"cpu": 20_000, "mps": 20_000, "cuda": 2_000_000}
"""Up to this many documents `auto` compares all pairs: on two CPU cores 20,000 x 384 take a second, as long as the
tables; on an H100 the products of 2,000,000 take about a minute."""

SIGNED_ROWS = 2**18
"""Rows signed between two commits: a second on one core."""

TABLES_A_PART = 8
"""Tables searched between two commits: 1 to 2 s at a million documents."""


@stage("similar_vectors")
def similar_vectors(
    context: Context,
    embeddings: ArtifactRef,
    against: ArtifactRef | None,
    config: VectorMatchConfig,
) -> ArtifactRef:
    """Return the pairs' artifact, searching on a miss."""
    store, seed, runtime = context.store, context.seed, context.runtime
    recipe = recipes.similar_vectors(config, embeddings.key, against.key if against else None, seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        corpora = open_corpora(store, embeddings, against)
        started = time.perf_counter()
        with workers(runtime.n_threads) as run:
            first = equal_firsts(corpora, run)
        rows = np.flatnonzero(first == np.arange(len(first))).astype(np.int32)
        device = resolve_device(runtime.device)
        parts: list[ArtifactRef]
        signed: tuple[ArtifactRef, ...]
        if is_exact(config, len(rows), device):
            pairs, plan = _compare_all(corpora, rows, config, device, runtime), None
            parts, signed = [], ()
        else:
            vectors = _signed(context, embeddings, against, config.n_bits)
            signed = vectors.signatures
            pairs, plan, parts = _search_tables(context, vectors, corpora, first, config)
        searched = time.perf_counter()
        writer.save_array("pairs", pairs.rows)
        writer.save_array("similarities", pairs.similarities)
        writer.save_array("first", first)
        writer.rows = embeddings.rows
        writer.meta = {
            "search": "exact" if plan is None else "lsh",
            "device": device if plan is None else "cpu",
            "plan": vars(plan) if plan else None,
            "n_base": corpora.n_base,
            "n_distinct": len(rows),
            "n_pairs": len(pairs),
            "beside": [[ref.kind, ref.key] for ref in signed],
            "search_s": searched - started,
        }
    discard_all(store, parts)
    return store.committed(recipe, writer)


def is_exact(config: VectorMatchConfig, n_rows: int, device: str) -> bool:
    """Return whether all pairs of this number of distinct vectors are compared."""
    return config.search == "exact" or (config.search == "auto" and n_rows <= EXACT_UP_TO[device])


def read_plan(meta: Mapping[str, Any]) -> TablePlan | None:
    """Return the tables with which an artifact's pairs were found; None for exact search."""
    return TablePlan(**meta["plan"]) if meta["plan"] else None


def open_corpora(store: ArtifactStore, embeddings: ArtifactRef, against: ArtifactRef | None) -> TwoCorpora:
    """Return the vectors of the documents and of the documents that they are compared with.

    Raises
    ------
    DataError
        If the two have different dimensions.
    """
    own = store.array(embeddings, "embeddings")
    if against is None:
        return TwoCorpora(np.empty((0, own.shape[1]), np.float32), own)
    base = store.array(against, "embeddings")
    if base.shape[1] != own.shape[1]:
        msg = (
            f"similar_vectors: vectors have {own.shape[1]} dimensions, those of [against] {base.shape[1]}; "
            "embed both in one way"
        )
        raise DataError(msg)
    return TwoCorpora(base, own)


def check_directions(vectors: NDArray[np.float32], start: int, where: str) -> None:
    """Raise DataError if a vector has no direction: only zeros, NaN or infinite values."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    bad = np.flatnonzero(~np.isfinite(largest) | (largest == 0))
    if len(bad):
        found = "only zeros" if largest[bad[0]] == 0 else "NaN or infinite values"
        place = f"{where} row {start + int(bad[0]):,}"
        msg = f"similar_vectors: {place} contains {found}; correct or leave out that document"
        raise DataError(msg)


def _compare_all(
    corpora: TwoCorpora,
    rows: NDArray[np.int32],
    config: VectorMatchConfig,
    device: str,
    runtime: RuntimeConfig,
) -> Pairs:
    for where, vectors in (("against", corpora.base), ("embeddings", corpora.own)):
        for start in range(0, len(vectors), SIGNED_ROWS):
            check_directions(vectors[start : start + SIGNED_ROWS], start, where)
    if device == "cuda":
        return exact_pairs_by_torch(corpora, rows, config.floor, config.max_partners, device, half=True)
    with workers(runtime.n_threads) as run:
        return exact_pairs(corpora, rows, config.floor, config.max_partners, run)


# --- tables -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignedVectors:
    """The embeddings of the corpus, those of the other corpus if there is one, and the signatures of both."""

    embeddings: ArtifactRef
    against: ArtifactRef | None
    signatures: tuple[ArtifactRef, ...]


def _search_tables(
    context: Context,
    signed: SignedVectors,
    corpora: TwoCorpora,
    first: NDArray[np.int32],
    config: VectorMatchConfig,
) -> tuple[Pairs, TablePlan, list[ArtifactRef]]:
    """Return the pairs that the tables find, the tables, and the artifacts of the parts of the work."""
    store, seed, own, against = context.store, context.seed, signed.embeddings, signed.against
    rows = np.flatnonzero(first == np.arange(len(first))).astype(np.int32)
    signatures = _joined_signatures(store, signed.signatures)
    plan = plan_tables(signatures, rows, config.floor, config.recall, corpora.n_pairs(), seed)
    del signatures
    inputs = {"embeddings": own.key} | ({"against": against.key} if against else {})
    recipe = Recipe(
        "similar_vectors", "table-plans", recipes.VERSIONS["similar_vectors"], vars(plan), inputs, seed=seed
    )
    with store.writing(recipe) as writer:
        writer.save_array("rows", rows)
        writer.rows = len(rows)
    planned = store.committed(recipe, writer)
    make = partial(search_part, context, planned, signed, plan, config)
    parts = made_parts(
        "similar_vectors", make, -(-plan.n_tables // TABLES_A_PART), context.runtime, unit="tables"
    )
    found = union(
        Pairs(*(np.asarray(store.array(part, name)) for name in ("pairs", "similarities"))) for part in parts
    )
    return bounded(found, corpora.n_rows, config.max_partners), plan, [planned, *parts]


def search_part(
    context: Context,
    planned: ArtifactRef,
    signed: SignedVectors,
    plan: TablePlan,
    config: VectorMatchConfig,
    number: int,
) -> ArtifactRef:
    """Return the artifact of the pairs from a part's tables."""
    store, seed = context.store, context.seed
    tables = range(number * TABLES_A_PART, min(plan.n_tables, (number + 1) * TABLES_A_PART))
    fields = config.model_dump(mode="json", include={"floor", "window", "max_partners"})
    where = {"tables": [tables.start, tables.stop], **fields}
    recipe = Recipe(
        "similar_vectors",
        "pair-parts",
        recipes.VERSIONS["similar_vectors"],
        where,
        {"plan": planned.key},
        seed=seed,
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer, workers(context.runtime.n_threads) as run:
        corpora = open_corpora(store, signed.embeddings, signed.against)
        signatures, rows = (
            _joined_signatures(store, signed.signatures),
            np.asarray(store.array(planned, "rows")),
        )

        def find(bits: NDArray[np.int64]) -> Pairs:
            return pairs_of_table(
                corpora, signatures, rows, bits, plan, config.floor, config.window, config.max_partners
            )

        pairs = pairs_of_tables(tables, plan, seed, find, run)
        writer.save_array("pairs", pairs.rows)
        writer.save_array("similarities", pairs.similarities)
        writer.rows = len(pairs)
    return store.committed(recipe, writer)


def _signed(
    context: Context, embeddings: ArtifactRef, against: ArtifactRef | None, n_bits: int
) -> SignedVectors:
    """Return the vectors with their signatures; those of the other corpus, if there is one, come first."""
    corpora = (("against", against), ("embeddings", embeddings))
    signed = (sign(context, ref, n_bits, where) for where, ref in corpora if ref is not None)
    return SignedVectors(embeddings, against, tuple(signed))


def _joined_signatures(store: ArtifactStore, signed: tuple[ArtifactRef, ...]) -> NDArray[np.uint64]:
    """Return the signatures of all rows; mapped if there is only one corpus."""
    found: list[NDArray[np.uint64]] = [store.array(ref, "signatures") for ref in signed]
    return found[0] if len(found) == 1 else np.concatenate(found)


# --- signatures ---------------------------------------------------------------------------------------------


def sign(context: Context, embeddings: ArtifactRef, n_bits: int, where: str = "embeddings") -> ArtifactRef:
    """Return the signatures' artifact (n_docs, n_bits / 64) uint64; later corpora are compared with it, too."""
    store = context.store
    recipe = recipes.vector_signatures(n_bits, embeddings.key, context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        make = partial(sign_part, context, embeddings, n_bits, where)
        parts = made_parts("sign", make, -(-embeddings.rows // SIGNED_ROWS), context.runtime)
        signatures = writer.open_array("signatures", (embeddings.rows, n_bits // 64), "uint64")
        for number, part in enumerate(parts):
            signatures[number * SIGNED_ROWS : (number + 1) * SIGNED_ROWS] = store.array(part, "signatures")
        writer.rows = embeddings.rows
    discard_all(store, parts)
    return store.committed(recipe, writer)


def sign_part(context: Context, embeddings: ArtifactRef, n_bits: int, where: str, number: int) -> ArtifactRef:
    """Return the artifact of a part's signatures; `where` names the vectors in an error."""
    store, seed = context.store, context.seed
    start, stop = number * SIGNED_ROWS, min(embeddings.rows, (number + 1) * SIGNED_ROWS)
    recipe = Recipe(
        stage="similar_vectors",
        kind="signature-parts",
        version=recipes.VERSIONS["similar_vectors"],
        config={"n_bits": n_bits, "rows": [start, stop]},
        inputs={"embeddings": embeddings.key},
        seed=seed,
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer, workers(context.runtime.n_threads) as run:
        vectors = np.asarray(store.array(embeddings, "embeddings")[start:stop])
        check_directions(vectors, start, where)
        writer.save_array("signatures", sign_bits(vectors, hyperplanes(vectors.shape[1], n_bits, seed), run))
        writer.rows = len(vectors)
    return store.committed(recipe, writer)
