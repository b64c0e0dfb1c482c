"""Load: rows of an input -> documents (row, doc_id, text, …) in parts, keyed by their content.

documents/part-*.parquet  row (UInt32), doc_id, text, and, if configured, label, timestamp, parent
columns/part-*.parquet    the input's own columns, row for row
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.load import LoadConfig, SplitConfig
from topicflow.tasks.documents import recipes
from topicflow.tasks.documents.sources import (
    Source,
    check_columns,
    find_documents,
    fingerprint,
    open_source,
)
from topicflow.tasks.documents.texts import EmptyRows, is_filled, join_texts, text_columns, texts_of
from topicflow.tasks.documents.timestamps import Order, Timestamps
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter, canonical_json
from topicflow.tasks.store.digests import text_digests
from topicflow.tasks.store.resources import measured

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun

PART_ROWS = 20_000
"""Input rows of a part. Constant, because settings in `runtime` must not change an artifact's bytes."""

_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")
"""A word: characters without white space. In Chinese and Japanese, which have no spaces, a character is a word."""

_TEXT_AS_STRING = (pl.Categorical, pl.Enum, pl.Decimal, pl.Int128, pl.UInt128)
"""Types whose memory layout has no meaning, or that NumPy lacks; they are digested as text."""


# --- texts and ids ------------------------------------------------------------------------------------------


def split_text(text: str, config: SplitConfig) -> list[str]:
    """Return the passages of a text, with their original characters; a text that is short enough stays whole.

    Parameters
    ----------
    text : str
        Any text.
    config : SplitConfig
        Longest passage and overlap, in words.

    Returns
    -------
    list of str
        Passages of at most `max_words` words; each passage except the first begins with the last `overlap_words` of the
        previous one.
    """
    words = [match.span() for match in _WORD.finditer(text)]
    if len(words) <= config.max_words:
        return [text]
    passages, start = [], 0
    while True:
        end = min(start + config.max_words, len(words))
        passages.append(text[words[start][0] : words[end - 1][1]])
        if end == len(words):
            return passages
        start = end - config.overlap_words


def split_documents(documents: pl.DataFrame, config: SplitConfig) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return passages, with the document's id as `parent`, and the position of each passage's document."""
    passages = [split_text(text, config) for text in documents["text"]]
    counts = [len(found) for found in passages]
    places = np.repeat(np.arange(len(counts)), counts)
    numbers = pl.Series([str(number) for count in counts for number in range(count)], dtype=pl.String)
    repeated = documents[places]
    return repeated.with_columns(
        doc_id=repeated["doc_id"] + "#" + numbers,
        text=pl.Series([passage for found in passages for passage in found], dtype=pl.String),
        parent=repeated["doc_id"],
    ), places


@dataclass
class Occurrences:
    """Counts how often a 64-bit digest occurred before, in 8 bytes for each digest.

    Notes
    -----
    Sorted runs, merged when they have equal sizes: O(n log² n) time in total. Two texts with the same digest (for ten
    million texts 3 in a million) only get ids that look like those of a repeated text.
    """

    runs: list[NDArray[np.uint64]] = field(default_factory=list)

    def count(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return for each digest how many equal ones came before it, and add all of them."""
        frame = pl.DataFrame({"digest": digests})
        earlier = frame.select(pl.int_range(pl.len()).over("digest")).to_series().to_numpy().astype(np.int64)
        for run in self.runs:
            earlier += np.searchsorted(run, digests, "right") - np.searchsorted(run, digests, "left")
        self.runs.append(np.sort(digests))
        while len(self.runs) > 1 and len(self.runs[-2]) <= len(self.runs[-1]):
            self.runs.append(np.sort(np.concatenate([self.runs.pop(), self.runs.pop()])))
        return earlier

    def any_twice(self) -> bool:
        """Return whether any digest occurred more than once."""
        digests = np.sort(np.concatenate(self.runs)) if self.runs else np.empty(0, np.uint64)
        return bool((digests[1:] == digests[:-1]).any())


def content_ids(digests: NDArray[np.uint64], earlier: NDArray[np.int64]) -> list[str]:
    """Return ids made from text digests: 16 hexadecimal digits, with -2, -3, … for a repeated text."""
    names = digests.astype("<u8").tobytes().hex()
    return [
        names[16 * i : 16 * i + 16] + (f"-{count + 1}" if count else "")
        for i, count in enumerate(earlier.tolist())
    ]


# --- content digest -----------------------------------------------------------------------------------------


def feed_column(hasher: hashlib.blake2b, column: pl.Series) -> None:
    """Add a column's name, type and values to a hash; different columns add different bytes.

    Notes
    -----
    Values, lengths and nulls are added separately, by their meaning and not by the column's buffers, so that neither
    chunks nor bytes under a null matter. All NaN bit patterns count as one value.
    """
    hasher.update(canonical_json([column.name, str(column.dtype), len(column)]))
    _feed_values(hasher, column)


def _feed_values(hasher: hashlib.blake2b, column: pl.Series) -> None:
    hasher.update(column.is_null().to_numpy().tobytes())
    dtype = column.dtype
    if isinstance(dtype, _TEXT_AS_STRING):
        _feed_values(hasher, column.cast(pl.String))
    elif isinstance(dtype, pl.String):
        hasher.update(column.str.len_bytes().fill_null(0).to_numpy().tobytes())
        hasher.update(column.str.join("").item().encode())
    elif isinstance(dtype, pl.Binary):
        hasher.update(column.bin.size().fill_null(0).to_numpy().tobytes())
        hasher.update(b"".join(column.drop_nulls()))
    elif isinstance(dtype, pl.Struct):
        for name in [each.name for each in dtype.fields]:
            feed_column(hasher, column.struct.field(name))
    elif isinstance(dtype, pl.Array):
        _feed_values(hasher, column.arr.to_list())
    elif isinstance(dtype, pl.List):
        hasher.update(column.list.len().fill_null(0).to_numpy().tobytes())
        _feed_values(hasher, column.explode(empty_as_null=False, keep_nulls=False))
    elif not isinstance(dtype, pl.Null):
        _feed_numbers(hasher, column)


def _feed_numbers(hasher: hashlib.blake2b, column: pl.Series) -> None:
    """Add numbers, booleans or times to a hash; a null counts as zero."""
    if column.dtype.is_float():
        column = column.fill_nan(float("nan"))
    column = column.cast(pl.UInt8) if isinstance(column.dtype, pl.Boolean) else column.to_physical()
    hasher.update(column.fill_null(0).to_numpy().tobytes())


# --- rows to documents --------------------------------------------------------------------------------------


def rebatched(chunks: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the same rows in frames of exactly `rows` rows; the last one may be shorter."""
    pending: list[pl.DataFrame] = []
    n_pending = 0
    for chunk in chunks:
        pending.append(chunk)
        n_pending += chunk.height
        if n_pending < rows:
            continue
        frame = pl.concat(pending)
        n_whole = n_pending - n_pending % rows
        for start in range(0, n_whole, rows):
            yield frame.slice(start, rows).rechunk()
        pending, n_pending = [frame.slice(n_whole)], n_pending - n_whole
    if n_pending:
        yield pl.concat(pending).rechunk()


def times_of(config: LoadConfig, source: Source, column: str, known: Order | None = None) -> Timestamps:
    """Return the reader of a column of dates; `known` is the order of dates in the earlier runs, if any."""
    again = source.column
    times = Timestamps(
        f"load: {source.name}: column {column!r}",
        order=known if config.date_order == "auto" else config.date_order,
        column=None if again is None else lambda: again(column),
        is_said=True,
        form=config.time_format,
    )
    if known is not None:
        times.given_by = "the earlier runs read it"
        times.remedy += ", or give the config another name and load.date_order to begin again"
    return times


@dataclass
class DocumentParts:
    """Makes documents from input rows part by part, and keeps the state across parts: counts, ids, digests."""

    config: LoadConfig
    source: Source
    timestamps: Timestamps | None = None
    n_input_rows: int = 0
    n_replaced: int = 0
    n_documents: int = 0
    n_cleaned_away: int = 0
    empty: EmptyRows = field(default_factory=EmptyRows)
    own_columns: tuple[str, ...] = ()
    occurrences: Occurrences = field(default_factory=Occurrences)
    texts: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    content: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def __post_init__(self) -> None:
        config = self.config
        self.own_columns = tuple(self.source.schema) if config.columns is None else config.columns
        if self.timestamps is None and config.timestamp_column is not None:
            self.timestamps = times_of(config, self.source, config.timestamp_column)

    @property
    def id_column(self) -> str | None:
        """The column of the ids; None if ids are made from the texts."""
        return self.config.id_column or self.source.id_column

    def part(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the documents of the next input rows, and the input's own columns, aligned.

        Raises
        ------
        DataError
            If an id is missing or a timestamp cannot be read.
        """
        config = self.config
        numbers = np.arange(self.n_input_rows, self.n_input_rows + rows.height, dtype=np.uint32)
        texts = texts_of(rows, config)
        kept = is_filled(texts)
        self.empty.add(self.n_input_rows, (~kept).to_numpy())
        self._count_cleaned_away(rows.filter(~kept))
        self.n_input_rows += rows.height
        rows, texts, numbers = rows.filter(kept), texts.filter(kept), numbers[kept.to_numpy()]
        self.n_documents += rows.height
        if config.encoding_errors == "replace":
            self.n_replaced += int(texts.str.contains("\ufffd", literal=True).sum())
        documents = self._documents(rows, texts, pl.Series("row", numbers, dtype=pl.UInt32))
        own = rows.select(self.own_columns).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
        if config.split is not None:
            documents, places = split_documents(documents, config.split)
            own = own[places]
        self._digest(documents, own)
        return documents.rechunk(), own.rechunk()

    def _count_cleaned_away(self, left_out: pl.DataFrame) -> None:
        """Count the rows that have text, and none after cleaning."""
        if self.config.clean and left_out.height:
            joined = join_texts(text_columns(self.config), self.config.text_separator)
            self.n_cleaned_away += int(is_filled(left_out.select(joined).to_series()).sum())

    def _documents(self, rows: pl.DataFrame, texts: pl.Series, numbers: pl.Series) -> pl.DataFrame:
        columns = [numbers, self._ids(rows, texts, numbers).alias("doc_id"), texts.alias("text")]
        if self.config.label_column is not None:
            columns.append(rows[self.config.label_column].cast(pl.String).alias("label"))
        if self.config.timestamp_column is not None and self.timestamps is not None:
            times = self.timestamps.parse(rows[self.config.timestamp_column], numbers)
            columns.append(times.alias("timestamp"))
        return pl.DataFrame(columns)

    def _ids(self, rows: pl.DataFrame, texts: pl.Series, numbers: pl.Series) -> pl.Series:
        """Return the ids of the id column, or ids made from the texts."""
        if self.id_column is None:
            digests = text_digests(texts)[:, 0]
            return pl.Series(content_ids(digests, self.occurrences.count(digests)), dtype=pl.String)
        ids = rows[self.id_column].cast(pl.String)
        blank = (ids.str.strip_chars() == "").fill_null(value=True)
        if blank.any():
            row = numbers.filter(blank)[0]
            msg = (
                f"load: {self.source.name}: column {self.id_column!r}: no id in row {row:,}; "
                "fill it, or remove load.id_column to make ids from the texts"
            )
            raise DataError(msg)
        self.occurrences.count(ids.hash().to_numpy())
        return ids

    def _digest(self, documents: pl.DataFrame, own: pl.DataFrame) -> None:
        self.texts.update(text_digests(documents["text"]).tobytes())
        for column in (*documents, *own):
            feed_column(self.content, column)

    def finished(self) -> tuple[str, dict[str, Any]]:
        """Return the content key and the record of the documents.

        The record is part of the key: documents with equal rows from inputs with different numbers of rows are
        different for precomputed vectors, which are in the order of the input. The order of dates is not part of it,
        because the times already depend on it.
        """
        columns = text_columns(self.config)
        meta = {
            "texts": self.texts.hexdigest(),
            "n_input_rows": self.n_input_rows,
            "n_empty": self.empty.n,
            "n_replaced": self.n_replaced,
            "n_documents": self.n_documents,
            "text_column": columns[0] if len(columns) == 1 else "text",
            "has_label": self.config.label_column is not None,
            "has_timestamp": self.config.timestamp_column is not None,
            "has_passages": self.config.split is not None,
            "columns": list(self.own_columns),
        }
        self.content.update(canonical_json(meta))
        return self.content.hexdigest(), meta | self._beside_the_key()

    def _beside_the_key(self) -> dict[str, Any]:
        """Return what the record says and the documents already show, so that it is not part of the key."""
        times = self.timestamps
        found = {
            "date_order": times.order if times else None,
            "n_implausible_dates": times.n_implausible if times else 0,
            "implausible_date": times.example if times else None,
            "n_cleaned_away": self.n_cleaned_away,
            "empty_rows": self.empty.first,
            "notes": list(self.source.notes),
        }
        return {name: value for name, value in found.items() if value}


# --- writing ------------------------------------------------------------------------------------------------


def write_documents(
    store: ArtifactStore,
    config: LoadConfig,
    source: Source,
    taken: Sequence[NDArray[np.uint64]] = (),
    timestamps: Timestamps | None = None,
) -> ArtifactRef:
    """Return the documents artifact of a source's rows.

    Parameters
    ----------
    store : ArtifactStore
        The store to write to.
    config : LoadConfig
        The columns and their meaning.
    source : Source
        The opened input.
    taken : sequence of ndarray, uint64
        Sorted digests of texts that already have ids; ids made from texts continue their counts.
    timestamps : Timestamps, optional
        The reader of `config.timestamp_column`, if the caller already knows the order of its dates.

    Raises
    ------
    DataError
        If a column is missing or has a wrong type, an id is missing or repeated, or there is no document.

    Notes
    -----
    Memory is one part, one chunk, and 8 bytes for each document's id.
    """
    for note in source.notes:
        LOG.info("load: %s: %s", source.name, note)
    check_columns(source, config)
    recipe = recipes.documents(config)
    parts = DocumentParts(config, source, timestamps, occurrences=Occurrences(list(taken)))
    with store.writing(recipe) as writer, contextlib.ExitStack() as stack:
        progress = stack.enter_context(track("load", source.n_rows, unit="rows")) if source.n_rows else None
        for number, rows in enumerate(rebatched(source.chunks, PART_ROWS)):
            documents, own = parts.part(rows)
            _write_part(writer, "documents", number, documents)
            _write_part(writer, "columns", number, own)
            writer.rows += documents.height
            if progress is not None:
                progress.advance(rows.height)
        _check_whole(writer, parts)
        writer.key, writer.meta = parts.finished()
    return store.committed(recipe, writer)


def _write_part(writer: ArtifactWriter, name: str, number: int, part: pl.DataFrame) -> None:
    """Write a part from memory: if polars writes the file, a full disk gives an error without an errno."""
    buffer = io.BytesIO()
    part.write_parquet(buffer, compression="zstd")
    writer.path(f"{name}/part-{number:05d}.parquet").write_bytes(buffer.getbuffer())


def _check_whole(writer: ArtifactWriter, parts: DocumentParts) -> None:
    """Raise DataError if there is no document, or an id repeats."""
    if not writer.rows:
        raise no_documents(parts.source.name, parts.config, parts.n_input_rows, parts.empty.n)
    if parts.id_column is not None and parts.occurrences.any_twice():
        _refuse_repeats(writer.folder, parts)


def no_documents(name: str, config: LoadConfig, n_rows: int, n_empty: int) -> DataError:
    """Return the error for an input without any document."""
    columns = ", ".join(repr(column) for column in text_columns(config))
    return DataError(
        f"load: {name}: no documents: {n_rows:,} rows, {n_empty:,} without text in column {columns}; check "
        "load.text_column and the input"
    )


def _refuse_repeats(folder: Path, parts: DocumentParts) -> None:
    """Raise DataError with the first repeated id; there may be none if two ids only have the same hash."""
    column = "parent" if parts.config.split is not None else "doc_id"
    documents = pl.scan_parquet(sorted((folder / "documents").glob("*.parquet")), glob=False)
    rows = documents.group_by(column).agg(n=pl.col("row").n_unique(), first=pl.col("row").min())
    repeats = rows.filter(pl.col("n") > 1).sort("first").collect()
    if repeats.is_empty():
        return
    n_rows = int(repeats["n"].sum()) - repeats.height
    msg = (
        f"load: {parts.source.name}: column {parts.id_column!r} repeats an id in {n_rows:,} rows, first "
        f"{repeats[column][0]!r}; choose a column of unique ids, or remove load.id_column to make ids from the texts"
    )
    raise DataError(msg)


# --- the stage ----------------------------------------------------------------------------------------------


def may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a retry may help, that is, whether the failure is one of input or output."""
    error = state.result(raise_on_failure=False)
    cause = error.__cause__ if isinstance(error, DataError) else error
    return isinstance(cause, OSError)


@stage(
    "load",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=may_help,
)
def load(context: Context, config: LoadConfig) -> ArtifactRef:
    """Return the documents artifact, reading the input only if it is new or changed."""
    store = context.store
    before = fingerprint(config)
    if found := find_documents(store, config, before, claim=True):
        return found
    with measured() as usage, open_source(config, context.runtime.chunk_rows) as source:
        documents = write_documents(store, config, source)
    if (
        before is not None and fingerprint(config) == before
    ):  # otherwise it changed in the meantime and is read again
        with store.writing(recipes.load(config, before)) as writer:
            writer.save_json("documents", {"documents": documents.key})
            writer.rows = documents.rows
    return replace(documents, seconds=usage.seconds)  # opening a source may take longer than writing its rows
