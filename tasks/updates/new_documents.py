"""Arrive: rows of an input and what is known of earlier ones -> the documents that are new, an artifact of their own.

arrivals: `documents.json` names the documents' key (null where nothing is new) and counts what was left and why;
`identities.npy` and `texts.npy` (n,) uint64, sorted, are what later runs know these documents by.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.update import ArriveConfig
from topicflow.tasks.documents.load import Occurrences, join_texts, may_help, write_documents
from topicflow.tasks.documents.sources import Source, check_columns, fingerprint, open_source, text_columns
from topicflow.tasks.documents.timestamps import Timestamps
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.states import cached
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.resources import measured
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.topic_state import TopicState

Digests = NDArray[np.uint64]
_LAST = datetime(9999, 1, 1)  # noqa: DTZ001  (times here are UTC without a zone)
"""What is dated later, by a slip, moves no watermark: Python has no such date."""


@dataclass
class Sieve:
    """Lets new rows through, chunk by chunk, and counts the others.

    Parameters
    ----------
    loading : LoadConfig
        Which columns hold what.
    config : ArriveConfig
        What is new.
    source : Source
        The opened input.
    known : sequence of ndarray, uint64
        Sorted identities of the documents of each run before.
    watermark : str or None
        The highest one seen.
    """

    loading: LoadConfig
    config: ArriveConfig
    source: Source
    known: Sequence[Digests] = ()
    watermark: str | None = None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("rows", "empty", "known", "early", "later", "late"), 0)
    )
    identities: list[Digests] = field(default_factory=list)
    texts: list[Digests] = field(default_factory=list)
    _seen: Occurrences = field(default_factory=Occurrences)

    def __post_init__(self) -> None:
        self.highest = self.watermark
        self.n_inside = 0
        self._times = Timestamps(f"load: {self.source.name}: column {self.config.watermark!r}")

    @property
    def id_column(self) -> str | None:
        """The column that identifies documents, where there is one."""
        return self.loading.id_column or self.source.id_column

    def __call__(self, chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the new rows of each chunk that has any."""
        for chunk in chunks:
            if (fresh := self.fresh(chunk)).height:
                yield fresh

    def fresh(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that no run has told yet, within the bounds."""
        texts = rows.select(join_texts(text_columns(self.loading), self.loading.text_separator)).to_series()
        written = (texts.str.strip_chars() != "").fill_null(value=False).to_numpy()
        identities = self.identify(rows, texts)
        unknown = written & self.unknown(identities, written)
        times = self.times(rows)
        early = unknown & _bounded(times, self.config.since, "before")
        later = unknown & ~early & _bounded(times, self.config.until, "from")
        inside = unknown & ~early & ~later
        self.n_inside += int(inside.sum())
        late = inside & _bounded(times, self.watermark, "until")
        taken = inside & ~late if self.config.late == "leave" else inside
        for name, found in (
            ("empty", ~written), ("known", written & ~unknown), ("early", early), ("later", later), ("late", late),
        ):  # fmt: skip
            self.counts[name] += int(found.sum())
        self.counts["rows"] += rows.height
        self.identities.append(identities[taken])
        self.texts.append(text_digests(texts.filter(taken))[:, 0])
        top = times.filter(taken & (times < _LAST).fill_null(value=False).to_numpy()).max()
        if isinstance(top, datetime):
            self.highest = max(self.highest or "", f"{top:%Y-%m-%dT%H:%M:%S.%f}")
        return rows.filter(taken)

    def identify(self, rows: pl.DataFrame, texts: pl.Series) -> Digests:
        """Return what each row (n,) is known by: its id, or else its text and its time."""
        if self.id_column is not None:
            return text_digests(rows[self.id_column].cast(pl.String).fill_null(""))[:, 0]
        time = self.loading.timestamp_column or self.config.watermark
        if time is None:
            return text_digests(texts.fill_null(""))[:, 0]
        parts = [texts.fill_null("").alias("text"), rows[time].cast(pl.String).fill_null("").alias("time")]
        joined = pl.DataFrame(parts).select(pl.concat_str("text", "time", separator="\0")).to_series()
        return text_digests(joined)[:, 0]

    def unknown(self, identities: Digests, written: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows (n,) no run before has told.

        Of rows without ids that are alike, as many are known as runs have told: the next one is another document.
        """
        told = np.zeros(len(identities), np.int64)
        for run in self.known:
            told += np.searchsorted(run, identities, "right") - np.searchsorted(run, identities, "left")
        if self.id_column is not None:
            return np.asarray(told == 0)
        earlier = np.zeros(len(identities), np.int64)
        earlier[written] = self._seen.count(identities[written])
        return np.asarray(earlier >= told)

    def times(self, rows: pl.DataFrame) -> pl.Series:
        """Return the watermarks (n,) as times; nulls where there is no such column."""
        if self.config.watermark is None:
            return pl.Series([None] * rows.height, dtype=pl.Datetime("us"))
        first = self.counts["rows"]
        numbers = pl.Series(np.arange(first, first + rows.height, dtype=np.uint32))
        return self._times.parse(rows[self.config.watermark], numbers)


def _bounded(times: pl.Series, bound: str | None, side: str) -> NDArray[np.bool_]:
    """Return which times lie `before` a bound, `until` it (inclusive) or `from` it on; none without both."""
    if bound is None:
        return np.zeros(len(times), bool)
    limit = datetime.fromisoformat(bound)
    found = {"before": times < limit, "until": times <= limit, "from": times >= limit}[side]
    return found.fill_null(value=False).to_numpy()


@task(
    name="load",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=may_help,
)
def arrive(
    store: ArtifactStore,
    state: TopicState | None,
    loading: LoadConfig,
    config: ArriveConfig,
    runtime: RuntimeConfig,
) -> ArtifactRef:
    """Return what is new in the input; `rows` are its documents, 0 where there are none."""
    before = fingerprint(loading)
    state_key = state.key if state else ""
    if before and (found := store.find(recipes.new_documents(loading, config, before, state_key))):
        named = store.json(found, "documents")["documents"]
        if named is None or store.state("documents", named) == "hit":
            return cached(found)
    with measured() as usage, open_source(loading, runtime.chunk_rows) as source:
        _check(source, loading, config)
        known = [_array(store, key, "identities") for key in state.arrivals] if state else []
        sieve = Sieve(loading, config, source, known, state.watermark if state else None)
        documents = _write(store, loading, source, sieve, state)
    same = before is not None and fingerprint(loading) == before  # else it changed meanwhile
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


def new_documents(store: ArtifactStore, arrivals: ArtifactRef) -> ArtifactRef:
    """Return the documents that arrived; there must be some."""
    key = store.json(arrivals, "documents")["documents"]
    return ArtifactRef("documents", key, "load", rows=arrivals.rows)


def _write(
    store: ArtifactStore, loading: LoadConfig, source: Source, sieve: Sieve, state: TopicState | None
) -> ArtifactRef | None:
    """Return the documents of the rows that the sieve lets through, None where there is none."""
    fresh = sieve(source.chunks)
    first = next(fresh, None)
    if first is None:
        if sieve.counts["rows"] == sieve.counts["empty"] and state is None:  # the plain load says why
            return write_documents(store, loading, replace(source, chunks=iter(())))
        return None
    rest = replace(source, chunks=itertools.chain([first], fresh), n_rows=None)
    taken = [_array(store, key, "texts") for key in state.arrivals] if state and not sieve.id_column else []
    documents = write_documents(store, loading, rest, taken)
    _check_types(store, documents, source, state)
    return documents


def _array(store: ArtifactStore, key: str, name: str) -> Digests:
    found: Digests = store.array(ArtifactRef("arrivals", key, "arrive"), name)
    return found


def _content(documents: ArtifactRef | None) -> str:
    """Return what stands for an input that has no fingerprint: its new documents."""
    return f"documents {documents.key if documents else 'none'}"


def _check(source: Source, loading: LoadConfig, config: ArriveConfig) -> None:
    check_columns(source, loading)
    if config.watermark is not None and config.watermark not in source.schema:
        there = ", ".join(repr(name) for name in source.schema)
        msg = f"load: {source.name}: no column {config.watermark!r} (arrive.watermark); there are: {there}"
        raise DataError(msg)


def _own_schema(store: ArtifactStore, documents: str) -> pl.Schema:
    return store.table(ArtifactRef("documents", documents, "load"), "columns").collect_schema()


def _check_types(
    store: ArtifactStore, documents: ArtifactRef, source: Source, state: TopicState | None
) -> None:
    """Raise DataError where a column's type has changed so that old and new values cannot stand in one column."""
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
                    f"load: {source.name}: column {name!r} was {then[name]} in the runs before and is {now[name]}; "
                    "mend the input, or carry the other columns only (load.columns)"
                )
                raise DataError(msg) from None


def _summary(
    store: ArtifactStore, sieve: Sieve, documents: ArtifactRef | None, state: TopicState | None
) -> dict[str, Any]:
    """Return what the record says of the arrivals."""
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
        **{f"n_{name}": sieve.counts[name] for name in ("empty", "known", "early", "later", "late")},
        "watermark": sieve.highest,
        "clock_went_back": bool(sieve.counts["late"] and sieve.counts["late"] == sieve.n_inside),
        "schema": {**before, **schema},
        "schema_changes": changes,
        "has_label": sieve.loading.label_column is not None,
    }


def _say(summary: dict[str, Any], config: ArriveConfig) -> None:
    """Log what a person should know of the arrivals."""
    if summary["n_late"]:
        verb = {"take": "taken", "leave": "left"}[config.late]
        LOG.info("%s late documents %s (arrive.late)", f"{summary['n_late']:,}", verb)
    if summary["clock_went_back"]:
        LOG.warning("none of the new documents is dated after the last run's: has a clock gone back?")
    if summary["schema_changes"]:
        LOG.warning("columns changed since the last run: %s", "; ".join(summary["schema_changes"]))
