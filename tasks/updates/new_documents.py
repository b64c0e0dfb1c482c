"""New documents: rows of an input and the known documents -> the documents that are new, as an artifact.

arrivals: `documents.json` has the documents' key (null if nothing is new) and counts of the other rows by reason;
`identities.npy` and `texts.npy` (n,) uint64, sorted, let later runs recognize these documents. Version 1 made the
identities from the printed form of ids and times, and so does the stage `adopt`, which says `printed`;
`documents.identity` knows both forms.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.update import NewDocumentsConfig
from topicflow.tasks.documents import recipes as documents_recipes
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.identity import Digests, KnownDocuments
from topicflow.tasks.documents.load import may_help, no_documents, write_documents
from topicflow.tasks.documents.sources import Source, check_columns, fingerprint, open_source
from topicflow.tasks.documents.timestamps import FIRST, Order
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.resources import measured
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.sieve import Sieve
from topicflow.tasks.updates.topic_state import TopicState


@stage(
    "load",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=may_help,
)
def new_documents(
    context: Context,
    state: TopicState | None,
    loading: LoadConfig,
    config: NewDocumentsConfig,
) -> ArtifactRef:
    """Return the new documents of the input; `rows` is their number, 0 if there are none."""
    store = context.store
    before = fingerprint(loading)
    state_key = state.key if state else ""
    if before and (found := store.find(recipes.new_documents(loading, config, before, state_key))):
        named = store.json(found, "documents")["documents"]
        if named is None or store.find(documents_recipes.documents(loading), key=named, claim=False):
            return found
    orders = known_orders(store, state)
    _check_orders(orders, loading)
    with measured() as usage, open_source(loading, context.runtime.chunk_rows) as source:
        _check(source, loading, config)
        known = known_documents(store, state)
        sieve = Sieve(loading, config, source, known, state.watermark if state else None, orders)
        documents = _write(store, loading, source, sieve, state)
    same = before is not None and fingerprint(loading) == before  # otherwise it changed meanwhile
    recipe = recipes.new_documents(
        loading, config, before if before and same else _content(documents), state_key
    )
    summary = _summary(store, sieve, documents, state)
    with store.writing(recipe) as writer:
        writer.save_json("documents", {"documents": documents.key if documents else None})
        writer.save_array("identities", np.sort(np.concatenate([*sieve.identities, _NOTHING])))
        writer.save_array("texts", np.sort(np.concatenate([*sieve.texts, _NOTHING])))
        writer.rows = documents.rows if documents else 0
        writer.meta = summary
    _say(summary, config)
    return replace(store.committed(recipe, writer), seconds=usage.seconds)


_NOTHING = np.empty(0, np.uint64)


def arrived_documents(store: ArtifactStore, arrivals: ArtifactRef) -> ArtifactRef:
    """Return the documents of arrivals, of which there must be some."""
    key = store.json(arrivals, "documents")["documents"]
    return ArtifactRef("documents", key, "load", rows=arrivals.rows)


def _write(
    store: ArtifactStore, loading: LoadConfig, source: Source, sieve: Sieve, state: TopicState | None
) -> ArtifactRef | None:
    """Return the documents of the rows that the sieve lets through, None if there are none."""
    fresh = sieve(source.chunks)
    first = next(fresh, None)
    if first is None:
        if sieve.counts["rows"] == sieve.empty.n and state is None:
            raise no_documents(source.name, loading, sieve.counts["rows"], sieve.empty.n)
        return None
    rest = replace(source, chunks=itertools.chain([first], fresh), n_rows=None)
    taken = [_array(store, key, "texts") for key in state.arrivals] if state and not sieve.id_column else []
    documents = write_documents(store, loading, rest, taken, sieve.readers.get(str(loading.timestamp_column)))
    _check_types(store, documents, source, state)
    return documents


def known_documents(store: ArtifactStore, state: TopicState | None) -> KnownDocuments:
    """Return the identities of the documents of a chain, those from printed forms separately."""
    known = KnownDocuments()
    for key in state.arrivals if state else ():
        manifest = store.manifest("arrivals", key)
        is_printed = manifest["meta"].get("printed", int(manifest["recipe"]["version"]) == 1)
        (known.printed if is_printed else known.values).append(_array(store, key, "identities"))
    return known


def known_orders(store: ArtifactStore, state: TopicState | None) -> dict[str, Order]:
    """Return the order of dates of a chain of updates, by column; the last arrivals have all of them."""
    if state is None:
        return {}
    found: dict[str, Order] = store.manifest("arrivals", state.arrivals[-1])["meta"].get("date_orders", {})
    return found


def _check_orders(orders: Mapping[str, Order], loading: LoadConfig) -> None:
    """Raise ConfigError if the config asks for another order of dates than the documents so far were read with."""
    for column, order in orders.items():
        if loading.date_order not in {"auto", order}:
            msg = (
                f"load.date_order={loading.date_order!r}, but earlier runs read column {column!r} {FIRST[order]} "
                f"({order}), which dated their documents; leave it out, or give the config another name to begin again"
            )
            raise ConfigError(msg)


def _array(store: ArtifactStore, key: str, name: str) -> Digests:
    found: Digests = store.array(ArtifactRef("arrivals", key, "new_documents"), name)
    return found


def _content(documents: ArtifactRef | None) -> str:
    """Return a replacement for the fingerprint of an input that has none: its new documents."""
    return f"documents {documents.key if documents else 'none'}"


def _check(source: Source, loading: LoadConfig, config: NewDocumentsConfig) -> None:
    check_columns(source, loading)
    if config.watermark is not None:
        require_column(f"load: {source.name}", config.watermark, source.schema, "new_documents.watermark")


def _own_schema(store: ArtifactStore, documents: str) -> pl.Schema:
    return store.table(ArtifactRef("documents", documents, "load"), "columns").collect_schema()


def _check_types(
    store: ArtifactStore, documents: ArtifactRef, source: Source, state: TopicState | None
) -> None:
    """Raise DataError if a column's type has changed so that old and new values cannot be in one column."""
    now = _own_schema(store, documents.key)
    for batch in state.batches if state else ():
        then = _own_schema(store, batch.documents)
        for name in [name for name in then if name in now and then[name] != now[name]]:
            try:
                pl.concat(
                    [pl.DataFrame(schema={name: each[name]}) for each in (then, now)], how="vertical_relaxed"
                )
            except pl.exceptions.PolarsError:
                msg = (
                    f"load: {source.name}: column {name!r} was {then[name]} in earlier runs and is {now[name]} now; "
                    "correct the input, or select only the other columns (load.columns)"
                )
                raise DataError(msg) from None


def _summary(
    store: ArtifactStore, sieve: Sieve, documents: ArtifactRef | None, state: TopicState | None
) -> dict[str, Any]:
    """Return the values about the arrivals for a run's record."""
    schema = (
        {name: str(kind) for name, kind in _own_schema(store, documents.key).items()} if documents else {}
    )
    before = dict(state.schema) if state and documents else {}
    changes = [f"new column {name!r}" for name in schema if before and name not in before]
    changes += [f"column {name!r} is gone" for name in before if name not in schema]
    changes += [
        f"column {name!r} was {before[name]}, is {kind}"
        for name, kind in schema.items()
        if before.get(name, kind) != kind
    ]
    n_new = documents.rows if documents else 0
    return {
        "n_new": n_new,
        "n_input_rows": sieve.counts["rows"],
        "n_empty": sieve.empty.n,
        **{f"n_{name}": sieve.counts[name] for name in ("known", "early", "later", "late")},
        "empty_rows": sieve.empty.first,
        "watermark": sieve.highest,
        "date_orders": sieve.found_orders,
        "clock_went_back": bool(sieve.counts["late"] and sieve.counts["late"] == sieve.n_inside),
        "schema": {**before, **schema},
        "schema_changes": changes,
        "has_label": sieve.loading.label_column is not None,
    }


def _say(summary: dict[str, Any], config: NewDocumentsConfig) -> None:
    """Log what a person should know about the arrivals."""
    if summary["n_late"]:
        verb = {"take": "taken", "leave": "left"}[config.late]
        LOG.info("%s late documents %s (new_documents.late)", f"{summary['n_late']:,}", verb)
    if summary["clock_went_back"]:
        LOG.warning("no new document has a later date than the last run's documents: has a clock gone back?")
    if summary["schema_changes"]:
        LOG.warning("columns changed since the last run: %s", "; ".join(summary["schema_changes"]))
