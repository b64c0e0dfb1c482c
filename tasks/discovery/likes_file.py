"""Likes file: a table of user, item and weight -> what each user likes and dislikes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.errors import DataError, first_line

COLUMNS = ("user", "item")


@dataclass(frozen=True)
class Likes:
    """The ids of liked documents with their weights, and of disliked documents."""

    liked: dict[str, float]
    disliked: list[str]


def read_likes(path: Path) -> dict[str, Likes]:
    """Return the likes of each user of a CSV or Parquet file, users in the order of the file.

    The columns are `user`, `item` (the id of a document), and `weight` if there is one. A weight below 0 is a dislike;
    rows with the weight 0, or without a user, an item or a weight, are left out; the weights of a repeated item are
    added.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or has a weight that is no number.
    """
    where = f"--likes {path}"
    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = first_line(getattr(error, "strerror", None) or error).lower()
        msg = f"{where}: cannot be read ({reason}); give a CSV or Parquet file with user, item and weight"
        raise DataError(msg) from None
    for name in COLUMNS:
        require_column(where, name, table.columns)
    weights = pl.col("weight") if "weight" in table.columns else pl.lit(1.0).alias("weight")
    plain = table.select(*(pl.col(name).cast(pl.String) for name in COLUMNS), weights)
    numbers = plain.with_columns(pl.col("weight").cast(pl.Float64, strict=False))
    wrong = plain.filter(plain["weight"].is_not_null() & numbers["weight"].is_null())
    if wrong.height:
        msg = f"{where}: weight {wrong['weight'][0]!r} is no number ({wrong.height:,} such rows); correct it"
        raise DataError(msg)
    summed = (
        numbers.drop_nulls()
        .filter(pl.col("weight").is_finite())
        .group_by(COLUMNS, maintain_order=True)
        .agg(pl.col("weight").sum())
    )
    found: dict[str, Likes] = {}
    for user, item, weight in summed.iter_rows():
        own = found.setdefault(user, Likes({}, []))
        if weight > 0:
            own.liked[item] = weight
        elif weight < 0:
            own.disliked.append(item)
    return found
