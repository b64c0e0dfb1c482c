"""Guess columns: the first rows of a table -> the columns of text, id, time and label, each with the reason."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable

import polars as pl

from topicflow.tasks.documents.timestamps import FoundOrder, Timestamps
from topicflow.tasks.errors import DataError

_TEXT_NAMES = {
    "text", "texts", "body", "content", "contents", "review", "reviews", "message", "comment", "comments",
    "abstract", "description", "document", "tweet", "post", "article", "question", "answer", "summary",
    "sentence", "utterance", "feedback", "note", "notes", "transcript", "kommentar", "nachricht", "beschreibung",
    "bemerkung", "freitext", "antwort", "inhalt", "texte", "commentaire", "avis", "texto", "comentario", "testo",
}  # fmt: skip
_TITLE_NAMES = {"title", "subject", "headline", "heading", "betreff", "titel", "titre", "objet", "asunto"}
_ID_NAMES = {
    "id", "ids", "uuid", "guid", "identifier", "docid", "key", "url", "uri", "doi", "isbn", "ticketid", "responseid",
    "reviewid", "messageid", "commentid",
}  # fmt: skip
_ID_NAMES_TOO = {
    "ticket", "case", "number", "nummer", "nr", "no", "ref", "reference", "referenz", "record", "code", "schlüssel",
    "kennung", "vorgang", "numero", "número", "numéro",
}  # fmt: skip
"""Names of ids if no column has a name of the others."""
_ROW_NUMBERS = {"", "index", "row", "rownames", "column_1"}
"""Names of columns of row numbers, which change when the file changes."""
_TIME_NAMES = {
    "date", "time", "datetime", "timestamp", "created", "published", "posted", "at", "year", "day", "ts", "month",
    "when", "period", "creation", "datum", "zeit", "zeitpunkt", "zeitstempel", "erstellt", "jahr", "monat", "fecha",
    "data", "heure", "jour", "quarter",
}  # fmt: skip
_LABEL_NAMES = {
    "label", "labels", "category", "categories", "cat", "class", "topic", "target", "genre", "section", "intent",
    "subreddit", "newsgroup", "group", "package", "tag", "department", "product",
}  # fmt: skip
_NO_LABEL_NAMES = {"split", "fold", "set", "lang", "language", "author", "user", "source", "file"}


def _words_of(name: str) -> set[str]:
    """Return the words of a column name; `createdAt`, `created_at` and `Created At` have the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return {word.lower() for word in re.split(r"[\W_]+", spaced) if word}


def guess_text(head: pl.DataFrame, path: str) -> tuple[tuple[str, ...], str]:
    """Return the text column, or title and text, and the reason."""
    scores = {
        column: _text_score(head[column])
        for column in head.columns
        if head[column].dtype == pl.String and not is_vector(head[column])
    }
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


def mean_words(head: pl.DataFrame, texts: tuple[str, ...]) -> float:
    """Return the mean number of words of the texts."""
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


def guess_id(head: pl.DataFrame, columns: list[str]) -> str | None:
    """Return a column of unique ids: by its name, otherwise the first column if it has unique codes."""

    def fits(values: pl.Series) -> bool:
        is_key = values.dtype == pl.String or values.dtype.is_integer()
        return is_key and not values.null_count() and values.n_unique() == len(values)

    def is_code(values: pl.Series) -> bool:
        is_short = values.dtype == pl.String and bool(values.str.contains(r"^\S{2,40}$").all())
        return fits(values) and is_short and bool(values.str.contains(r"\d").all())

    named = _first(head, columns, _ID_NAMES, fits) or _first(head, columns, _ID_NAMES_TOO, fits)
    if named is not None or not columns:
        return named
    first = head.columns[0]
    is_candidate = first in columns and first.lower() not in _ROW_NUMBERS and not _reads_as_time(head[first])
    return first if is_candidate and is_code(head[first]) else None


def id_reason(column: str | None, refused: str | None) -> str:
    """Return why a column is or is not the one of the ids."""
    if column is None:
        return "id: no column has the name of an id column and unique values; ids are made from the texts"
    if refused is not None:
        return (
            f"id: column {column!r} has the name of an id column, but {refused}; ids are made from the texts"
        )
    if not _words_of(column) & (_ID_NAMES | _ID_NAMES_TOO):
        return f"id: column {column!r}, because it is the first one and its values are unique codes"
    return f"id: column {column!r}, because of its name, and its values are unique"


_PLAIN_NUMBER = r"^\s*\d+(?:[.,]\d*)?\s*$"

_NUMBER_AS_TEXT = (
    r"^\s*[-+]?(?:[€$£¥]|EUR|USD|GBP|CHF|Fr\.)?\s*[-+]?\d{1,3}(?:[.,' \u00a0]?\d{3})*(?:[.,]\d+)?\s*"
    r"(?:%|[€$£¥]|EUR|USD|GBP|CHF|Fr\.)?\s*$"
)
"""A number as a spreadsheet shows it: 1.234,50 €, 12 %, $1,200.00."""

_NUMBER = r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_VECTOR = rf"^\s*[\[(]?\s*{_NUMBER}(?:[\s,;]+{_NUMBER}){{3,}}[,\s]*[\])]?\s*$"
"""A vector of numbers in a text: [0.1, 0.2, …]."""


def is_vector(values: pl.Series) -> bool:
    """Return whether all values of a column are vectors of numbers, as texts or lists."""
    filled = values.drop_nulls()
    if isinstance(values.dtype, pl.List | pl.Array):
        return bool(len(filled)) and values.dtype.inner.is_numeric()
    return values.dtype == pl.String and bool(len(filled)) and bool(filled.str.contains(_VECTOR).all())


def is_number_as_text(values: pl.Series) -> bool:
    """Return whether all values of a text column are numbers with signs that only people read."""
    if values.dtype != pl.String:
        return False
    filled = values.drop_nulls()
    numbers = filled.str.contains(_NUMBER_AS_TEXT).all() and filled.str.contains(r"[,.€$£¥%' ]|[A-Z]").any()
    return bool(len(filled)) and bool(numbers)


def remarks_on_columns(head: pl.DataFrame) -> list[str]:
    """Return a sentence for each column of vectors and of numbers that are texts."""
    found = []
    for column in head:
        if is_vector(column):
            found.append(
                f'vectors: column {column.name!r}; [embed] method = "precomputed", column = "{column.name}" uses them'
            )
        elif is_number_as_text(column):
            found.append(
                f"numbers: column {column.name!r}, such as {column.drop_nulls()[0]!r}, is kept as text"
            )
    return found


def guess_time(head: pl.DataFrame, columns: list[str]) -> str | None:
    """Return a column of times: by its type, or if its values parse as times; numbers only if the name fits."""
    named = _first(head, columns, _TIME_NAMES, _reads_as_time)
    other = (
        column
        for column in columns
        if head[column].dtype.is_temporal()
        or (head[column].dtype == pl.String and not head[column].str.contains(_PLAIN_NUMBER).any())
    )
    return named or next((column for column in other if _reads_as_time(head[column])), None)


def _reads_as_time(values: pl.Series) -> bool:
    if values.dtype.is_nested() or values.dtype == pl.Boolean or values.null_count() == len(values):
        return False
    with contextlib.suppress(DataError):
        times = Timestamps("init").parse(values, pl.Series(range(len(values))))
        return times.count() * 2 > len(values)
    return False


def time_reason(
    column: str | None, refused: str | None, dates: FoundOrder | None, implausible: str = ""
) -> str:
    """Return why a column is or is not the one of the times."""
    if column is None:
        return "time: no column contains dates or times"
    if refused is not None:
        return f"time: column {column!r} looked like times, but {refused}"
    order = f"; {dates}" if dates is not None else ""
    order += f"; {implausible}" if implausible else ""
    return f"time: column {column!r}, because all its values are dates or times{order}"


def guess_label(head: pl.DataFrame, columns: list[str]) -> tuple[str | None, str]:
    """Return a column of classes, and the reason."""
    named = _first(head, columns, _LABEL_NAMES, lambda values: _is_label(values, most=len(values) // 2))
    plain = [column for column in columns if not _words_of(column) & _NO_LABEL_NAMES]
    strings = (
        column for column in plain if head[column].dtype == pl.String and not is_number_as_text(head[column])
    )
    column = named or next((c for c in strings if _is_label(head[c], most=min(50, len(head) // 10))), None)
    if column is None:
        return None, "label: no column has a few values that repeat"
    n_values = head[column].drop_nulls().n_unique()
    why = "its name fits and " if named else ""
    return (
        column,
        f"label: column {column!r} may have classes, because {why}it has {n_values:,} values in {len(head):,} rows",
    )


def _is_label(values: pl.Series, most: int) -> bool:
    if not (values.dtype in {pl.String, pl.Boolean} or values.dtype.is_integer()):
        return False
    filled = values.drop_nulls()
    short = values.dtype != pl.String or _mean_length(filled) <= 60
    return len(filled) * 10 >= len(values) * 9 and short and 2 <= filled.n_unique() <= most
