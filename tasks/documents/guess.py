"""Guess: a file of documents -> a short commented config that runs as it is, with the reason for each choice.

The first rows suggest text, id, time and label columns by name, type and content. One pass over the whole file confirms
ids and times, so that the run does not stop at row 900,000, and counts what the texts contain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape, has_magic
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.cleaning import FOUND_BY, KINDS
from topicflow.tasks.documents.formats.encodings import WrongByteError
from topicflow.tasks.documents.formats.streams import is_compressed
from topicflow.tasks.documents.formats.tables_in_file import SeveralTablesError
from topicflow.tasks.documents.guess_columns import (
    guess_id,
    guess_label,
    guess_text,
    guess_time,
    id_reason,
    mean_words,
    remarks_on_columns,
    time_reason,
)
from topicflow.tasks.documents.nested import fields_of
from topicflow.tasks.documents.sources import Source, open_source
from topicflow.tasks.documents.texts import EmptyRows, is_filled, shown_rows, texts_of
from topicflow.tasks.documents.timestamps import FoundOrder, Timestamps
from topicflow.tasks.errors import DataError
from topicflow.tasks.store.digests import text_digests

HEAD_ROWS = 5_000
"""Rows that are read to choose columns."""

_CHUNK_ROWS = 50_000

_LONG_WORDS = 250
"""Mean words of long texts: an encoder reads only about 180 words."""

_CLEAN_FROM = {"html": 0.05, "urls": 0.2, "emails": 0.2, "quoted_replies": 0.1, "signatures": 0.1}
"""Share of the texts from which cleaning is proposed."""

_SHOWN = {
    "html": "tags or entities of HTML",
    "urls": "URLs",
    "emails": "e-mail addresses",
    "quoted_replies": "quoted replies",
    "signatures": "signatures",
}

FEW_ROWS = 30
FEW = "; topics need dozens of documents, expect none"
"""What is said of a file with fewer rows."""

TABLES = {".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"}
"""Endings of tables that are read together from a folder; a folder of texts or mails is read as it is."""

_FEWEST_LINES = 5
"""Minimum number of lines of a text file that is read line by line."""


@dataclass(frozen=True)
class Guess:
    """The likely meaning of a file's columns.

    Attributes
    ----------
    path, name : str
        The path of the file, and a name for the series of runs.
    text_columns : tuple of str
        The text column, or a title column and the text column, which are joined.
    id_column, timestamp_column, label_column : str or None
        None if no column fits.
    dates : FoundOrder or None
        The order of short dates in the column of times; None if it has no short dates.
    keys : mapping
        Other keys of the section `load` with their values: encoding, separator, header, clean, …
    n_rows : int
        Number of rows in the file.
    is_long : bool
        Whether texts are so long that passages are an option.
    reasons : tuple of str
        One sentence for each choice.
    """

    path: str
    name: str
    text_columns: tuple[str, ...]
    id_column: str | None
    timestamp_column: str | None
    label_column: str | None
    dates: FoundOrder | None
    n_rows: int
    is_long: bool
    reasons: tuple[str, ...]
    keys: Mapping[str, Any] = field(default_factory=dict)


def guess_config(path: str | Path) -> Guess:
    """Return the likely meaning of the columns of a file (or folder, or glob), with reasons.

    Raises
    ------
    DataError
        If the file cannot be read or no column contains text.
    """
    keys: dict[str, Any] = {"format": "lines"} if _is_list_of_texts(Path(path).expanduser()) else {}
    path = _tables_of(Path(path)) or path
    while True:
        try:
            return _guess(str(path), keys)
        except WrongByteError as error:
            if keys.get("encoding_errors") == "replace":
                raise
            is_new = error.likely is not None and "encoding" not in keys
            keys = {**keys, "encoding": error.likely} if is_new else _replacing(keys)
        except SeveralTablesError as error:
            keys["sheet"] = _best_table(str(path), keys, error.names)


def _tables_of(folder: Path) -> str | None:
    """Return the glob of a folder's tables, all of one kind; None for any other path."""
    if not folder.expanduser().is_dir():
        return None
    files = [
        each for each in folder.expanduser().iterdir() if each.is_file() and not each.name.startswith(".")
    ]
    endings = {each.suffix for each in files}
    if len(endings) == 1 and endings <= TABLES:
        return f"{escape(str(folder))}/*{endings.pop()}"
    return None


def _replacing(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys that replace wrong bytes, because no encoding reads them all."""
    return {**{key: keys[key] for key in keys if key != "encoding"}, "encoding_errors": "replace"}


def _is_list_of_texts(path: Path) -> bool:
    """Return whether a file is a text file with a document on each line: one document makes no topics."""
    if path.suffix.lower() not in {".txt", ".md"} or not path.is_file():
        return False
    with path.open("rb") as file:
        lines = (line for line in file if line.strip(b"\0 \t\r\n"))
        return sum(1 for _ in zip(range(_FEWEST_LINES), lines, strict=False)) == _FEWEST_LINES


def _best_table(path: str, keys: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the sheet or table with the most text in its first rows."""
    sizes = {}
    for name in names:
        config = LoadConfig(path=path, limit=HEAD_ROWS, **{**keys, "sheet": name})
        with open_source(config, HEAD_ROWS) as source:
            texts = [column for chunk in source.chunks for column in chunk if column.dtype == pl.String]
            sizes[name] = sum(int(column.str.len_chars().sum()) for column in texts)
    return max(sizes, key=lambda name: sizes[name])


def _guess(path: str, keys: dict[str, Any]) -> Guess:
    """Return the guess for a file that is read with these keys of the section `load`."""
    opened = _open(LoadConfig(path=path, limit=HEAD_ROWS, **keys))
    head, is_files = opened.head, opened.is_files
    texts, text_reason = guess_text(head, path)
    rest = [column for column in head.columns if column not in texts]
    candidates = {
        "id": None if is_files else guess_id(head, rest),
        "time": guess_time(head, rest),
    }
    config = LoadConfig(
        path=path,
        text_column=texts[0] if len(texts) == 1 else texts,
        id_column=candidates["id"],
        timestamp_column=candidates["time"],
        **keys,
    )
    whole = _confirm(config, candidates)
    id_column, time_column = (None if key in whole.refused else candidates[key] for key in ("id", "time"))
    label, label_reason = guess_label(
        head, [column for column in rest if column not in {id_column, time_column}]
    )
    n_words = mean_words(head, texts)
    clean, clean_reasons = _cleaning(whole)
    keys = {**keys, **opened.keys, **({"clean": clean} if clean else {})}
    reasons = (
        f"rows: {whole.n_rows:,}, {opened.n_columns:,} columns{FEW if whole.n_rows < FEW_ROWS else ''}",
        *_reading_reasons(keys, whole.notes),
        text_reason,
        *whole.empty_reasons,
        "id: the file's path in the folder" if is_files else id_reason(candidates["id"], whole.refused.get("id")),
        time_reason(candidates["time"], whole.refused.get("time"), whole.dates, whole.implausible),
        label_reason,
        *remarks_on_columns(head),
        *clean_reasons,
        'min_cluster_size: "auto", chosen from the data; topics = "few" or "many" wishes fewer or more topics',
        *([f"length: {n_words:,.0f} words on average, more than an encoder reads; see load.split"]
          if n_words >= _LONG_WORDS else []),
    )  # fmt: skip
    return Guess(
        path=path,
        name=_name_of(path),
        text_columns=texts,
        id_column=id_column,
        timestamp_column=time_column,
        label_column=label,
        dates=whole.dates if time_column is not None else None,
        keys=keys,
        n_rows=whole.n_rows,
        is_long=n_words >= _LONG_WORDS,
        reasons=reasons,
    )


def _reading_reasons(keys: Mapping[str, Any], notes: tuple[str, ...]) -> list[str]:
    found = [f"file: {note}" for note in notes]
    if keys.get("format") == "lines":
        found.append("file: each line is a document")
    if "sheet" in keys:
        found.append(f"file: {keys['sheet']!r} has the most text of its sheets or tables")
    if "encoding" in keys and not any("its encoding" in note for note in notes):
        found.append(f"encoding: {keys['encoding']}, by the letters that are not ASCII")
    if keys.get("encoding_errors") == "replace":
        found.append("encoding: some bytes are not UTF-8; they are replaced by U+FFFD and counted")
    return found


def config_stem(file: str) -> str:
    """Return a file's name without its ending, also without that of a compression."""
    return Path(file.removesuffix(Path(file).suffix) if is_compressed(file) else file).stem


def _name_of(path: str) -> str:
    """Return a path's stem as a name for runs: letters, digits, dash, underscore."""
    is_glob = not Path(path).expanduser().exists()
    parts = [part for part in Path(path).parts if not (is_glob and has_magic(part))]
    stem = (parts[-1] if parts else "").split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:100] or "topics"


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    """The first rows of a file, with the fields of its objects as columns, and how it was read."""

    head: pl.DataFrame
    n_columns: int
    is_files: bool
    keys: Mapping[str, Any]


def _open(config: LoadConfig) -> _Opened:
    with open_source(config, HEAD_ROWS) as source:
        frames = list(source.chunks)
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=source.schema)
        inner = [expression.alias(name) for name, expression in fields_of(frame.schema)]
        head = frame.head(HEAD_ROWS).with_columns(inner)
        head = head.drop(name for name in frame.columns if isinstance(frame.schema[name], pl.Struct))
        head = head.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
        return _Opened(head, frame.width, source.id_column is not None, dict(source.keys))


@dataclass
class _Whole:
    """What one pass over all rows shows."""

    n_rows: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    dates: FoundOrder | None = None
    implausible: str = ""
    notes: tuple[str, ...] = ()
    empty: EmptyRows = field(default_factory=EmptyRows)
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    @property
    def empty_reasons(self) -> list[str]:
        """A sentence about rows without text, if there are any."""
        if not self.empty.n:
            return []
        rows = shown_rows(self.empty.n, self.empty.first)
        return [f"empty: {self.empty.n:,} of {self.n_rows:,} rows have no text and are left out ({rows})"]

    def add(self, chunk: pl.DataFrame, config: LoadConfig) -> None:
        """Count what the texts of the next rows contain."""
        texts = texts_of(chunk, config)
        self.empty.add(self.n_rows, (~is_filled(texts)).to_numpy())
        for kind in KINDS:
            self.found[kind] += int(texts.str.contains(FOUND_BY[kind]).sum())


def _confirm(config: LoadConfig, candidates: Mapping[str, str | None]) -> _Whole:
    """Return what all rows show: why a candidate fails, the order of short dates, and what the texts contain."""
    hashes, whole = [], _Whole()
    with open_source(config, _CHUNK_ROWS) as source:
        whole.notes = source.notes
        times = _times(source, candidates["time"])
        for chunk in source.chunks:
            if (id_column := candidates["id"]) is not None:
                hashes.append(text_digests(chunk[id_column].cast(pl.String).fill_null("")))
                if chunk[id_column].null_count():
                    whole.refused["id"] = "some rows have no value"
            if (time_column := candidates["time"]) is not None and "time" not in whole.refused:
                try:
                    times.parse(
                        chunk[time_column], pl.Series(range(whole.n_rows, whole.n_rows + chunk.height))
                    )
                except DataError as error:
                    whole.refused["time"] = str(error).split("; ")[0].removeprefix("init: ")
            whole.add(chunk, config)
            whole.n_rows += chunk.height
    if hashes and len(np.unique(np.concatenate(hashes).view("u8,u8"))) < whole.n_rows:
        whole.refused.setdefault("id", "its values repeat")
    whole.dates = times.found
    if times.n_implausible:
        n = f"{times.n_implausible:,} {'date' if times.n_implausible == 1 else 'dates'}"
        whole.implausible = f"{n} such as {times.example} left out of charts"
    return whole


def _times(source: Source, column: str | None) -> Timestamps:
    again = source.column
    return Timestamps("init", column=again and (lambda: again(str(column))))


def _cleaning(whole: _Whole) -> tuple[tuple[str, ...], list[str]]:
    """Return what to remove from the texts, and a sentence about each kind that is there."""
    n_texts = max(1, whole.n_rows - whole.empty.n)
    shares = {kind: whole.found[kind] / n_texts for kind in KINDS}
    kinds = tuple(kind for kind in KINDS if shares[kind] >= _CLEAN_FROM[kind])
    return kinds, [
        f"clean: {shares[kind]:.0%} of the texts hold {_SHOWN[kind]}, which load.clean removes"
        for kind in kinds
    ]
