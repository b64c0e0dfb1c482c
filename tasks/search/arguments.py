"""Arguments: the arguments of a search or a change -> the same, checked, or a one-line ConfigError."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, cast, get_args

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.bm25 import Bm25
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.queries import check_vector

Mode = Literal["auto", "dense", "bm25", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)
Expand = Literal["none", "feedback", "hypothetical"]
EXPANSIONS: tuple[Expand, ...] = get_args(Expand)

FUSION_K, DENSE_WEIGHT = 10.0, 0.5
"""For reciprocal rank fusion: best of 72 choices on every second query of cranfield (tests/benchmarks/retrieval.py)."""


MOST_K1 = 1000.0
"""Maximum of BM25's k1; from about 100 on the count of a word counts as it is."""


@dataclass(frozen=True)
class Page:
    """The part of the found documents to return.

    Attributes
    ----------
    k : int
        Maximum number of documents.
    offset : int
        Number of documents to skip before them.
    min_score : float or None
        Minimum score of a document.
    group_by : str or None
        A column; only the best document for each of its values is returned.
    """

    k: int
    offset: int = 0
    min_score: float | None = None
    group_by: str | None = None

    @classmethod
    def of(cls, k: object, offset: object, min_score: object, group_by: object) -> Page:
        """Return a page; raise ConfigError if a number is not one, or a column's name is not a text."""
        return cls(
            whole_number("k", k, 1),
            whole_number("offset", offset, 0),
            None if min_score is None else number("min_score", min_score),
            optional_text("group_by", group_by),
        )


@dataclass(frozen=True)
class Fusion:
    """How hybrid search joins the ranking by meaning and the ranking by words.

    Attributes
    ----------
    dense_weight : float
        Weight of the ranking by meaning, from 0 to 1; the ranking by words has the rest.
    k : float
        Added to each place; larger values make the first places less dominant.
    """

    dense_weight: float = DENSE_WEIGHT
    k: float = FUSION_K

    @classmethod
    def of(cls, dense_weight: object, k: object) -> Fusion:
        """Return how to fuse, None for a default; raise ConfigError if a number is not one, or out of its range."""
        return cls(
            DENSE_WEIGHT if dense_weight is None else within("dense_weight", dense_weight, 1),
            FUSION_K if k is None else within("fusion_k", k),
        )


def bm25_of(k1: object, b: object) -> Bm25:
    """Return the constants of BM25, None for a default; raise ConfigError if one is no number, or out of its range."""
    usual = Bm25()
    return Bm25(
        usual.k1 if k1 is None else within("k1", k1, MOST_K1), usual.b if b is None else within("b", b, 1)
    )


def within(name: str, value: object, most: float = np.inf, asked: str = "search") -> float:
    """Return a finite number from 0 to `most`; raise ConfigError if it is anything else."""
    found = number(name, value, asked)
    if not 0 <= found <= most or np.isinf(found):
        said = ", 0 or more" if np.isinf(most) else f" from 0 to {most:g}"
        msg = f"{asked}: {name}={found:g}, expected a number{said}"
        raise ConfigError(msg)
    return found


def number(name: str, value: object, asked: str = "search") -> float:
    """Return a number; raise ConfigError if it is not one."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or np.isnan(cast("float", value)):
        msg = f"{asked}: {name}={value!r}, expected a number"
        raise ConfigError(msg)
    return float(cast("float", value))


def whole_number(name: str, value: object, least: int, asked: str = "search") -> int:
    """Return a count; raise ConfigError if it is not a whole number, or less than `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, SupportsIndex):
        msg = f"{asked}: {name}={value!r}, expected a whole number, {least} or more"
        raise ConfigError(msg)
    found = operator.index(value)
    if found < least:
        msg = f"{asked}: {name}={found}, expected {least} or more"
        raise ConfigError(msg)
    return found


def optional_text(name: str, value: object, asked: str = "search") -> str | None:
    """Return a text or None; raise ConfigError if it is anything else."""
    if value is None or isinstance(value, str):
        return value
    msg = f"{asked}: {name}={value!r}, expected a text"
    raise ConfigError(msg)


def mode_of(value: object) -> Mode:
    """Return a mode of search; raise ConfigError if there is no such mode."""
    return cast("Mode", _choice("mode", value, MODES))


def expand_of(value: object) -> Expand:
    """Return how a query is expanded; raise ConfigError if there is no such way."""
    return cast("Expand", _choice("expand", value, EXPANSIONS))


def _choice(name: str, value: object, choices: tuple[str, ...]) -> object:
    if value not in choices:
        msg = f"search: {name} {value!r}, expected one of {', '.join(choices)}"
        raise ConfigError(msg)
    return value


def one_query(query: Any, dim: int) -> str | NDArray[np.float32]:  # noqa: ANN401  (callers may pass anything)
    """Return a query as text, or as a unit vector (dim,); raise ConfigError if it is neither."""
    if isinstance(query, str):
        if not query.strip():
            msg = "search: the query is empty; give some words"
            raise ConfigError(msg)
        if any("\ud800" <= letter <= "\udfff" for letter in query):
            msg = "search: the query has half of a character (a lone surrogate), which no file can hold; leave it out"
            raise ConfigError(msg)
        return query
    try:
        array = np.asarray(query)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        what = f"a {type(query).__name__}" + (
            f" of {len(query)}" if isinstance(query, list | tuple | dict) else ""
        )
        msg = (
            f"search: expected one query, a text or a vector of numbers, found {what}; search once per query"
        )
        raise ConfigError(msg)
    return check_vector(array, dim)


def list_of_ids(name: str, ids: Any) -> list[str]:  # noqa: ANN401  (callers may pass anything)
    """Return ids of documents as a list; raise ConfigError if they are not ids, or one text."""
    hint = f"; write [{ids!r}]" if isinstance(ids, str) else ""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        msg = f"{name}: expected a list of ids, found {type(ids).__name__} {ids!r}{hint}"
        raise ConfigError(msg)
    found = list(ids)
    for doc_id in found:
        if not isinstance(doc_id, str):
            msg = f"{name}: expected ids that are texts, found {type(doc_id).__name__} {doc_id!r}"
            raise ConfigError(msg)
    return found
