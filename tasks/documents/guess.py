"""Guess: a file of documents -> a short commented config that runs as it is, with the reason for each choice.

The first rows suggest text, id, time and label columns by name, type and content. One pass over the whole file confirms
ids and times, so that the run does not stop at row 900,000.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tomli_w

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.documents.timestamps import FIRST, FoundOrder, Timestamps
from topicflow.tasks.errors import DataError
from topicflow.tasks.store.digests import text_digests

HEAD_ROWS = 5_000
"""Rows that are read to choose columns."""

_CHUNK_ROWS = 50_000

_TEXT_NAMES = {
    "text", "texts", "body", "content", "contents", "review", "reviews", "message", "comment", "comments",
    "abstract", "description", "document", "tweet", "post", "article", "question", "answer", "summary",
    "sentence", "utterance", "feedback", "note", "notes", "transcript",
}  # fmt: skip
_TITLE_NAMES = {"title", "subject", "headline", "heading"}
_ID_NAMES = {"id", "ids", "uuid", "guid", "identifier", "docid", "key", "url", "uri", "doi", "isbn"}
_TIME_NAMES = {
    "date",
    "time",
    "datetime",
    "timestamp",
    "created",
    "published",
    "posted",
    "at",
    "year",
    "day",
    "ts",
}
_LABEL_NAMES = {
    "label", "labels", "category", "categories", "cat", "class", "topic", "target", "genre", "section", "intent",
    "subreddit", "newsgroup", "group", "package", "tag", "department", "product",
}  # fmt: skip
_NO_LABEL_NAMES = {"split", "fold", "set", "lang", "language", "author", "user", "source", "file"}

_LONG_WORDS = 250
"""Mean words of long texts: an encoder reads only about 180 words."""


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
    encoding_errors : str
        `replace` if the file contains bytes that are not UTF-8.
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
    encoding_errors: str
    n_rows: int
    is_long: bool
    reasons: tuple[str, ...]


def guess_config(path: str | Path) -> Guess:
    """Return the likely meaning of the columns of a file (or folder, or glob), with reasons.

    Raises
    ------
    DataError
        If the file cannot be read or no column contains text.
    """
    errors = _encoding_errors(str(path))
    head, n_rows, is_files = _head(LoadConfig(path=str(path), encoding_errors=errors, limit=HEAD_ROWS))
    texts, text_reason = _guess_text(head, str(path))
    rest = [column for column in head.columns if column not in texts]
    candidates = {
        "id": None if is_files else _guess_id(head, rest),
        "time": _guess_time(head, rest),
    }
    refused, n_rows, dates = _confirm(LoadConfig(path=str(path), encoding_errors=errors), candidates)
    id_column, time_column = (None if key in refused else candidates[key] for key in ("id", "time"))
    label, label_reason = _guess_label(
        head, [column for column in rest if column not in {id_column, time_column}]
    )
    n_words = _mean_words(head, texts)
    reasons = (
        f"rows: {n_rows:,}, {len(head.columns)} columns",
        text_reason,
        "id: the file's path in the folder" if is_files else _id_reason(candidates["id"], refused.get("id")),
        _time_reason(candidates["time"], refused.get("time"), dates),
        label_reason,
        'min_cluster_size: "auto", chosen from the data; topics = "few" or "many" wishes fewer or more topics',
        *([] if errors == "strict"
          else ["encoding: some bytes are not UTF-8; they are replaced by U+FFFD and counted"]),
        *([f"length: {n_words:,.0f} words on average, more than an encoder reads; see load.split"]
          if n_words >= _LONG_WORDS else []),
    )  # fmt: skip
    return Guess(
        path=str(path),
        name=_name_of(str(path)),
        text_columns=texts,
        id_column=id_column,
        timestamp_column=time_column,
        label_column=label,
        dates=dates if time_column is not None else None,
        encoding_errors=errors,
        n_rows=n_rows,
        is_long=n_words >= _LONG_WORDS,
        reasons=reasons,
    )


def render_config(guess: Guess) -> str:
    """Return a short commented TOML config that `configs.read.load_config` accepts unchanged."""
    one_text = len(guess.text_columns) == 1
    text = _toml(guess.text_columns[0]) if one_text else f"[{', '.join(map(_toml, guess.text_columns))}]"
    optional = [
        ("id_column", guess.id_column, "unique ids"),
        ("timestamp_column", guess.timestamp_column, "for topics over time"),
        ("label_column", guess.label_column, "known classes; the run measures against them"),
    ]
    lines = [
        "# Written by `topicflow init`; every key: `topicflow config explain`",
        *(f"# {reason}" for reason in guess.reasons),
        "",
        f"name = {_toml(guess.name)}",
        "",
        "[load]",
        f"path = {_toml(guess.path)}",
        f"text_column = {text}",
        *(f"{key} = {_toml(column)}  # {why}" for key, column, why in optional if column is not None),
        *([] if guess.dates is None else [_date_order_line(guess.dates)]),
        *(['encoding_errors = "replace"'] if guess.encoding_errors == "replace" else []),
        *(
            ["", "# [load.split]  # split long texts into passages", "# max_words = 180"]
            if guess.is_long
            else []
        ),
        "",
        "[cluster]",
        'min_cluster_size = "auto"  # smallest topic, in documents; the run says what it chose',
        '# topics = "medium"  # or "few", "many"; or about = 30 instead',
    ]
    return "\n".join(lines) + "\n"


def _date_order_line(dates: FoundOrder) -> str:
    """Return the line that sets the order of dates, so that a growing file is always read in the same way."""
    other = "" if dates.is_sure else f'; "dmy" if {dates.example} has the day first'
    return f'date_order = "{dates.order}"  # {FIRST[dates.order]}{other}'


def _toml(value: str) -> str:
    """Return a string as TOML on one line, for any characters."""
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _name_of(path: str) -> str:
    """Return a path's stem as a name for runs: letters, digits, dash, underscore."""
    stem = Path(path.rstrip("/")).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:100] or "topics"


# --- reading ------------------------------------------------------------------------------------------------


def _encoding_errors(path: str) -> Any:  # noqa: ANN401  (a literal of LoadConfig)
    """Return the value of encoding_errors for a file: strict if it is UTF-8, otherwise replace."""
    try:
        _head(LoadConfig(path=path, limit=HEAD_ROWS))
    except DataError as error:
        if "encoding_errors" in str(error):
            return "replace"
        raise
    return "strict"


def _head(config: LoadConfig) -> tuple[pl.DataFrame, int, bool]:
    """Return the first rows, their number, and whether the source is a folder of text files."""
    with open_source(config, HEAD_ROWS) as source:
        frames = list(source.chunks)
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=source.schema)
        return frame.head(HEAD_ROWS), frame.height, source.id_column is not None


def _confirm(
    config: LoadConfig, candidates: dict[str, str | None]
) -> tuple[dict[str, str], int, FoundOrder | None]:
    """Return why a candidate fails on the whole file, the number of rows, and the order of short dates."""
    hashes, refused, n_rows = [], {}, 0
    with open_source(config, _CHUNK_ROWS) as source:
        again = source.column
        times = Timestamps("init", column=again and (lambda: again(str(candidates["time"]))))
        for chunk in source.chunks:
            if (id_column := candidates["id"]) is not None:
                hashes.append(text_digests(chunk[id_column].cast(pl.String).fill_null("")))
                if chunk[id_column].null_count():
                    refused["id"] = "some rows have no value"
            if (time_column := candidates["time"]) is not None and "time" not in refused:
                try:
                    times.parse(chunk[time_column], pl.Series(range(n_rows, n_rows + chunk.height)))
                except DataError as error:
                    refused["time"] = str(error).split("; ")[0].removeprefix("init: ")
            n_rows += chunk.height
    if hashes and len(np.unique(np.concatenate(hashes).view("u8,u8"))) < n_rows:
        refused.setdefault("id", "its values repeat")
    return refused, n_rows, times.found


# --- choosing -----------------------------------------------------------------------------------------------


def _words_of(name: str) -> set[str]:
    """Return the words of a column name; `createdAt`, `created_at` and `Created At` have the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return {word.lower() for word in re.split(r"[\W_]+", spaced) if word}


def _guess_text(head: pl.DataFrame, path: str) -> tuple[tuple[str, ...], str]:
    """Return the text column, or title and text, and the reason."""
    scores = {column: _text_score(head[column]) for column in head.columns if head[column].dtype == pl.String}
    best = max(scores, key=lambda column: scores[column], default=None)
    if best is None or scores[best] == 0:
        there = ", ".join(repr(column) for column in head.columns)
        msg = f"init: {path}: no column contains text in the first {head.height:,} rows; there are: {there}"
        raise DataError(msg)
    length = _mean_length(head[best])
    why = "its name fits and " if _words_of(best) & (_TEXT_NAMES | _TITLE_NAMES) else ""
    reason = f"text: column {best!r}, because {why}its texts have {length:,.0f} characters on average"
    for title in scores:
        if title != best and _words_of(title) & _TITLE_NAMES and _is_title(head[title]):
            return (
                title,
                best,
            ), f"{reason}; {title!r} is put before it, because a title is a short summary"
    return (best,), reason


def _text_score(values: pl.Series) -> float:
    """Return how much a column looks like text: mean length times factors for name, words and variety."""
    filled = values.drop_nulls()
    if not len(filled):
        return 0.0
    named = 5.0 if _words_of(values.name) & _TEXT_NAMES else 1.0
    prose = max(_share(filled, r"\S\s+\S"), _share(filled, r"[\u3040-\u30ff\u4e00-\u9fff]{4}"))
    links = _share(filled, r"^\s*(?:https?://|/|[A-Za-z]:\\)\S*$")
    variety = filled.n_unique() / len(filled)
    return _mean_length(values) * named * (0.02 + prose) * (1.01 - links) * variety


def _share(values: pl.Series, pattern: str) -> float:
    """Return the share of strings that match."""
    return int(values.str.contains(pattern).sum()) / max(1, len(values))


def _mean_length(values: pl.Series) -> float:
    return int(values.str.len_chars().sum()) / max(1, len(values))


def _mean_words(head: pl.DataFrame, texts: tuple[str, ...]) -> float:
    return sum(int(head[column].str.count_matches(r"\S+").sum()) for column in texts) / max(1, head.height)


def _is_title(values: pl.Series) -> bool:
    filled = values.drop_nulls()
    return bool(len(filled)) and 5 <= _mean_length(filled) <= 200 and filled.n_unique() > len(filled) / 2


def _first(
    head: pl.DataFrame, columns: list[str], names: set[str], fits: Callable[[pl.Series], bool]
) -> str | None:
    """Return the first fitting column whose name contains one of `names`; columns with only such words come first."""
    named = [column for column in columns if _words_of(column) & names]
    exact = [column for column in named if _words_of(column) <= names]
    return next((column for column in itertools.chain(exact, named) if fits(head[column])), None)


def _guess_id(head: pl.DataFrame, columns: list[str]) -> str | None:
    def fits(values: pl.Series) -> bool:
        is_key = values.dtype == pl.String or values.dtype.is_integer()
        return is_key and not values.null_count() and values.n_unique() == len(values)

    return _first(head, columns, _ID_NAMES, fits)


def _id_reason(column: str | None, refused: str | None) -> str:
    if column is None:
        return "id: no column has the name of an id column and unique values; ids are made from the texts"
    if refused is not None:
        return (
            f"id: column {column!r} has the name of an id column, but {refused}; ids are made from the texts"
        )
    return f"id: column {column!r}, because of its name, and its values are unique"


def _guess_time(head: pl.DataFrame, columns: list[str]) -> str | None:
    """Return a column of times: by its type, or if its values parse as times; numbers only if the name fits."""
    named = _first(head, columns, _TIME_NAMES, _reads_as_time)
    other = (
        column
        for column in columns
        if head[column].dtype.is_temporal()
        or (head[column].dtype == pl.String and not head[column].str.contains(r"^\s*[\d.]+\s*$").any())
    )
    return named or next((column for column in other if _reads_as_time(head[column])), None)


def _reads_as_time(values: pl.Series) -> bool:
    if values.dtype.is_nested() or values.dtype == pl.Boolean or values.null_count() == len(values):
        return False
    with contextlib.suppress(DataError):
        times = Timestamps("init").parse(values, pl.Series(range(len(values))))
        return times.count() * 2 > len(values)
    return False


def _time_reason(column: str | None, refused: str | None, dates: FoundOrder | None) -> str:
    if column is None:
        return "time: no column contains dates or times"
    if refused is not None:
        return f"time: column {column!r} looked like times, but {refused}"
    order = f"; {dates}" if dates is not None else ""
    return f"time: column {column!r}, because all its values are dates or times{order}"


def _guess_label(head: pl.DataFrame, columns: list[str]) -> tuple[str | None, str]:
    """Return a column of classes, and the reason."""
    named = _first(head, columns, _LABEL_NAMES, lambda values: _is_label(values, most=len(values) // 2))
    plain = [column for column in columns if not _words_of(column) & _NO_LABEL_NAMES]
    strings = (column for column in plain if head[column].dtype == pl.String)
    column = named or next((c for c in strings if _is_label(head[c], most=min(50, len(head) // 10))), None)
    if column is None:
        return None, "label: no column has a few values that repeat"
    n_values = head[column].drop_nulls().n_unique()
    why = "its name fits and " if named else ""
    return (
        column,
        f"label: column {column!r}, because {why}it has {n_values:,} values in {len(head):,} rows",
    )


def _is_label(values: pl.Series, most: int) -> bool:
    if not (values.dtype in {pl.String, pl.Boolean} or values.dtype.is_integer()):
        return False
    filled = values.drop_nulls()
    short = values.dtype != pl.String or _mean_length(filled) <= 60
    return len(filled) * 10 >= len(values) * 9 and short and 2 <= filled.n_unique() <= most
