"""Periods: documents, labels and word counts -> counts, shares, words and trends of topics in calendar periods.

`over_time.parquet`: one row a topic and period, none left out; `calendar.parquet`: one row a period; `trends.parquet`:
one row a topic.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.slices import PeriodsConfig
from topicflow.tasks.core.statistics.trend import directions, discovery_rates, share_trends
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.periods import recipes
from topicflow.tasks.periods.calendar import Calendar, calendar_of
from topicflow.tasks.periods.counted import AnyCounted, Units, read_times, read_units
from topicflow.tasks.periods.words import SliceWords, Slicing, words_of_slices
from topicflow.tasks.store.artifact_store import ArtifactRef


def over_time_table(units: Units, calendar: Calendar, words: SliceWords) -> pl.DataFrame:
    """Return one row a topic and period: topic, period, start, end, n_documents, n_period, share, keywords, weights.

    `n_period` are all dated documents of the period, and `share` is the topic's part of them, null if there are none.
    """
    n_periods, shown = len(calendar.starts), np.array(units.shown, np.int32)
    counts = units.cross(calendar.numbers[units.first], n_periods)
    totals = np.broadcast_to(counts.sum(axis=0), counts.shape)
    table = pl.DataFrame(
        {
            "topic": np.repeat(shown, n_periods),
            "slice": np.tile(np.arange(n_periods, dtype=np.int32), len(shown)),
            "n_documents": counts.ravel().astype(np.uint32),
            "n_period": totals.ravel().astype(np.uint32),
        }
    )
    periods = calendar.table().with_row_index("slice").with_columns(pl.col("slice").cast(pl.Int32))
    share = pl.when(pl.col("n_period") > 0).then(pl.col("n_documents") / pl.col("n_period"))
    return (
        table.join(periods, on="slice", how="left", maintain_order="left")
        .join(words.table(), on=["topic", "slice"], how="left", maintain_order="left")
        .select(
            "topic", "period", "start", "end", "n_documents", "n_period", share.alias("share"),
            pl.col("keywords", "weights").fill_null([]),
        )
    )  # fmt: skip


def trends_table(counts: NDArray[np.int64], totals: NDArray[np.int64], level: float) -> pl.DataFrame:
    """Return one row a topic: its share, the shares of both halves of the time, and whether it rises or falls.

    Parameters
    ----------
    counts : ndarray of shape (n_topics, n_periods), int64
        Documents of each topic in each period.
    totals : ndarray of shape (n_periods,), int64
        All dated documents of each period.
    level : float
        Maximum q-value of a topic that is called rising or falling.
    """
    found = share_trends(counts, totals)
    q_value = discovery_rates(found.p_value)
    half = len(totals) // 2
    first, second = slice(0, half), slice(len(totals) - half, None)
    shares = [
        counts[:, part].sum(axis=1) / max(int(totals[part].sum()), 1) for part in (slice(None), first, second)
    ]
    table = pl.DataFrame(
        {
            "topic": np.arange(len(counts), dtype=np.int32),
            "n_documents": counts.sum(axis=1).astype(np.uint32),
            "share": shares[0],
            "share_first_half": shares[1],
            "share_second_half": shares[2],
            "slope": found.slope,
            "z": found.z,
            "dispersion": found.dispersion,
            "p_value": found.p_value,
            "q_value": q_value,
            "trend": pl.Series(directions(found.slope, q_value, level), dtype=pl.String),
        }
    )
    return table.with_columns(pl.col("p_value", "q_value").fill_nan(None))


@stage("periods")
def periods(
    context: Context, counted: AnyCounted, config: PeriodsConfig, weighting: LabelConfig
) -> ArtifactRef:
    """Return the artifact of the topics over time, computing it on a miss; `weighting` ranks words."""
    store = context.store
    recipe = recipes.periods(config, weighting, counted.keys)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        times = read_times(store, counted)
        calendar, units = calendar_of(times, config.every, config.zone), read_units(store, counted)
        slicing = Slicing(
            calendar.numbers,
            len(calendar.starts),
            config.words,
            config.global_tuning,
            config.evolution_tuning,
        )
        counts, words = counted.words(store)
        spoken = words_of_slices(counts, words, units.labels, slicing, weighting)
        table = over_time_table(units, calendar, spoken)
        dated = calendar.numbers[units.first]
        crossed = units.cross(dated, len(calendar.starts))
        totals = crossed.sum(axis=0)
        trends = trends_table(crossed[len(crossed) - units.n_topics :], totals, config.false_discovery)
        writer.save_table("over_time", table)
        writer.save_table("calendar", calendar.table().with_columns(pl.Series("n_documents", totals)))
        writer.save_table("trends", trends)
        writer.rows = table.height
        writer.meta = {
            "step": calendar.step,
            "n_periods": len(calendar.starts),
            "n_undated": int((dated < 0).sum()),
            "zone": "" if calendar.is_dates else config.zone,
            "n_rising": int((trends["trend"] == "rising").sum()),
            "n_falling": int((trends["trend"] == "falling").sum()),
        }
    return store.committed(recipe, writer)
