"""Groups: documents, labels, word counts and columns -> share, over-representation and words of topics by group.

`groups.parquet`: one row a column, value and topic, none left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.slices import GroupsConfig
from topicflow.tasks.core.statistics.ratios import log_ratios, share_interval
from topicflow.tasks.core.statistics.trend import discovery_rates
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.document_rows import own_columns
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.periods import recipes
from topicflow.tasks.periods.counted import AnyCounted, Units, read_units
from topicflow.tasks.periods.words import SliceWords, Slicing, words_of_slices
from topicflow.tasks.store.artifact_store import ArtifactRef


def check_columns(columns: pl.LazyFrame, config: GroupsConfig) -> None:
    """Raise DataError if documents lack a column of the groups, or if its values are lists or records.

    `columns` are the input's own columns.
    """
    schema = columns.collect_schema()
    for column in config.columns:
        require_column("groups", column, schema.names(), "groups.columns")
        dtype = schema[column]
        if dtype.is_nested() or dtype == pl.Binary:
            msg = (
                f"groups: column {column!r} has the type {dtype}; expected texts, numbers, dates or booleans"
            )
            raise DataError(msg)


@dataclass(frozen=True)
class Groups:
    """The groups of one column.

    Attributes
    ----------
    values : list of str
        The most frequent values, most frequent first.
    numbers : ndarray of shape (n_rows,), int32
        The position of each row's value, -1 without a value, `len(values)` for any other value.
    """

    values: list[str]
    numbers: NDArray[np.int32]


def groups_of(column: pl.Series, first: NDArray[np.int64], max_values: int) -> Groups:
    """Return the groups of a column's values by the number of documents; blank texts are no values.

    `first` are the rows that count as documents.
    """
    texts = column.cast(pl.String).str.strip_chars().rename("value")
    texts = texts.set(texts == "", None)
    frequent = (
        pl.DataFrame({"value": texts.gather(first)})
        .drop_nulls()
        .group_by("value")
        .len()
        .sort("len", "value", descending=[True, False])
        .head(max_values)
    )
    values = frequent["value"].to_list()
    places = texts.replace_strict(values, range(len(values)), default=len(values), return_dtype=pl.Int32)
    return Groups(values, places.set(texts.is_null(), -1).to_numpy().astype(np.int32))


def group_table(units: Units, groups: Groups, words: SliceWords, config: GroupsConfig) -> pl.DataFrame:
    """Return one row a value and topic of a column.

    `share` is the part of the group's documents that have the topic, with Wilson's interval; `log2_ratio` compares it
    with the share among all other documents that have a value: 1 is twice as frequent, -1 half as frequent.
    """
    n_values, shown = len(groups.values), np.array(units.shown, np.int32)
    crossed = units.cross(groups.numbers[units.first], n_values + 1)
    counts, totals = crossed[:, :n_values].T, crossed.sum(axis=0)[:n_values, None]
    rest, rest_totals = crossed.sum(axis=1) - counts, crossed.sum() - totals
    low, high = share_interval(counts, totals, config.confidence)
    ratios = log_ratios(counts, totals, rest, rest_totals, config.confidence)
    tested = np.where(shown >= 0, ratios.p_value, np.nan)
    q_value = discovery_rates(tested)
    is_called = np.nan_to_num(q_value, nan=1.0) <= config.false_discovery
    represented = np.where(~is_called, "none", np.where(ratios.value > 0, "over", "under"))
    with np.errstate(divide="ignore", invalid="ignore"):
        share_rest = np.where(rest_totals > 0, rest / rest_totals, np.nan)
    table = pl.DataFrame(
        {
            "slice": np.repeat(np.arange(n_values, dtype=np.int32), len(shown)),
            "topic": np.tile(shown, n_values),
            "n_documents": counts.ravel().astype(np.uint32),
            "n_value": np.broadcast_to(totals, counts.shape).ravel().astype(np.uint32),
            "share": (counts / totals).ravel(),
            "share_low": low.ravel(),
            "share_high": high.ravel(),
            "share_rest": share_rest.ravel(),
            "log2_ratio": ratios.value.ravel(),
            "log2_low": ratios.low.ravel(),
            "log2_high": ratios.high.ravel(),
            "q_value": q_value.ravel(),
            "represented": pl.Series(represented.ravel().tolist(), dtype=pl.String),
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    named = pl.DataFrame({"value": groups.values}, schema={"value": pl.String}).with_row_index("slice")
    return (
        table.join(named.with_columns(pl.col("slice").cast(pl.Int32)), on="slice", maintain_order="left")
        .join(words.table(), on=["topic", "slice"], how="left", maintain_order="left")
        .with_columns(pl.col("keywords", "weights").fill_null([]))
        .select("value", pl.exclude("value", "slice"))
    )


@stage("groups")
def groups(
    context: Context, counted: AnyCounted, config: GroupsConfig, weighting: LabelConfig
) -> ArtifactRef:
    """Return the artifact of the topics by group, computing it on a miss; `weighting` ranks words."""
    store = context.store
    recipe = recipes.groups(config, weighting, counted.keys)
    if found := store.find(recipe):
        return found
    own = own_columns(store, [part.documents for part in counted.parts])
    check_columns(own, config)
    with store.writing(recipe) as writer:
        units = read_units(store, counted)
        counts, words = counted.words(store)
        tables: list[pl.DataFrame] = []
        for column in config.columns:
            found_groups = groups_of(own.select(column).collect()[column], units.first, config.max_values)
            n_values = len(found_groups.values)
            inside = np.where(found_groups.numbers < n_values, found_groups.numbers, -1).astype(np.int32)
            slicing = Slicing(inside, n_values, config.words, config.global_tuning)
            spoken = words_of_slices(counts, words, units.labels, slicing, weighting)
            table = group_table(units, found_groups, spoken, config)
            tables.append(table.select(pl.lit(column).alias("column"), pl.all()))
            writer.meta[column] = _left(found_groups, units.first)
        writer.save_table("groups", pl.concat(tables))
        writer.rows = sum(table.height for table in tables)
        writer.meta = {"columns": dict(writer.meta)}
    return store.committed(recipe, writer)


def _left(groups: Groups, first: NDArray[np.int64]) -> dict[str, int]:
    """Return how many groups are shown, and how many documents have another value or none."""
    numbers: NDArray[np.int32] = groups.numbers[first]
    return {
        "n_values": len(groups.values),
        "n_other": int((numbers == len(groups.values)).sum()),
        "n_without": int((numbers < 0).sum()),
    }
