"""The stages `periods` and `groups`: tables by hand, passages, hits and misses, columns that cannot be groups."""

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig
from topicflow.tasks.documents.document_rows import own_columns
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.periods.counted import Counted, read_units
from topicflow.tasks.periods.groups import check_columns, groups
from topicflow.tasks.periods.periods import periods
from topicflow.tasks.report.slices import group_block, period_blocks
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

DATES = ["2024-01-10", "2024-01-20", "2024-03-01", "2024-03-31", None, "2024-03-05"]
TOPICS = [0, 1, 0, 0, 0, -1]
WORDS = ["lemon", "melon", "train", "track"]
COUNTS = np.array(
    [[2, 0, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 3, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0]], np.int32
)


def saved(store: ArtifactStore, parents: list[str] | None = None, **columns: Any) -> Counted:
    """Return six rows with dates, topics, word counts and own columns; with parents they are passages."""
    n = len(DATES)
    moments = [None if day is None else datetime.fromisoformat(day) for day in DATES]
    documents = pl.DataFrame(
        {
            "row": np.arange(n, dtype=np.uint32),
            "doc_id": [f"d{i}" for i in range(n)],
            "text": ["t"] * n,
            "timestamp": pl.Series(moments, dtype=pl.Datetime("us")),
            **({"parent": parents} if parents else {}),
        }
    )
    own = pl.DataFrame({"product": ["a", "a", "b", "b", "b", None], **columns})
    meta = {"has_passages": parents is not None, "texts": "t"}
    labels = {
        "labels": np.array(TOPICS, np.int32),
        "probabilities": np.linspace(0.5, 1, n).astype(np.float32),
    }
    counts = {
        "data": COUNTS[COUNTS > 0],
        "indices": np.nonzero(COUNTS)[1].astype(np.int32),
        "indptr": np.append(0, (COUNTS > 0).sum(axis=1).cumsum()).astype(np.int64),
        "words": pl.DataFrame({"word": WORDS}),
    }
    name = f"{sorted(columns)}{parents}"
    made = save(store, "counts", counts, name=name)
    return Counted(
        save(store, "documents", {"columns": own, "documents": documents}, meta, name),
        save(store, "labels", labels, name=name),
        ArtifactRef("counts", made.key, "counts", rows=n),
    )


def ran(stage: Any, store: ArtifactStore, counted: Counted, config: Any) -> ArtifactRef:
    return stage.fn(Context(store), counted, config=config, weighting=LabelConfig())


def test_topics_over_time_by_hand(store: ArtifactStore) -> None:
    counted = saved(store)
    made = ran(periods, store, counted, PeriodsConfig(every="month", words=2))
    table = store.table(made, "over_time").collect()
    assert table.columns == [
        "topic", "period", "start", "end", "n_documents", "n_period", "share", "keywords", "weights",
    ]  # fmt: skip
    rows = table.select("topic", "period", "n_documents", "n_period", "share").rows()
    assert rows == [
        (-1, "2024-01", 0, 2, 0.0), (-1, "2024-02", 0, 0, None), (-1, "2024-03", 1, 3, pytest.approx(1 / 3)),
        (0, "2024-01", 1, 2, 0.5), (0, "2024-02", 0, 0, None), (0, "2024-03", 2, 3, pytest.approx(2 / 3)),
        (1, "2024-01", 1, 2, 0.5), (1, "2024-02", 0, 0, None), (1, "2024-03", 0, 3, 0.0),
    ]  # fmt: skip
    words = {
        (topic, period): found for topic, period, found in table.select("topic", "period", "keywords").rows()
    }
    assert words[0, "2024-01"] == ["lemon", "melon"]
    assert words[0, "2024-03"] == ["melon", "lemon"]
    assert set(words[1, "2024-01"]) == {"train", "track"}
    assert words[-1, "2024-03"] == words[1, "2024-03"] == words[0, "2024-02"] == []
    trends = store.table(made, "trends").collect()
    assert trends.select("topic", "n_documents", "share").rows() == [(0, 3, 0.6), (1, 1, 0.2)]
    assert store.meta(made)["n_undated"] == 1
    assert store.table(made, "calendar").collect()["n_documents"].to_list() == [2, 0, 3]


def test_a_planted_rising_topic_is_called_and_steady_ones_are_not(store: ArtifactStore) -> None:
    rng = np.random.default_rng(0)
    month = rng.integers(0, 12, 1200)
    topics = np.where(rng.random(1200) < 0.02 + 0.03 * month, 0, rng.integers(1, 6, 1200)).astype(np.int32)
    documents = pl.DataFrame(
        {
            "doc_id": [f"d{i}" for i in range(1200)],
            "timestamp": [datetime.fromisoformat(f"2023-{m + 1:02d}-09") for m in month],
        }
    )
    counts = {
        "data": np.ones(1200, np.int32), "indices": topics, "indptr": np.arange(1201),
        "words": pl.DataFrame({"word": list("abcdef")}),
    }  # fmt: skip
    ref = save(store, "counts", counts)
    counted = Counted(
        save(store, "documents", {"documents": documents}, {"has_passages": False}),
        save(store, "labels", {"labels": topics}),
        ArtifactRef("counts", ref.key, "counts", rows=1200),
    )
    made = ran(periods, store, counted, PeriodsConfig(every="month"))
    trend = store.table(made, "trends").collect()["trend"].to_list()
    assert trend[0] == "rising"
    assert "rising" not in trend[1:]
    assert store.meta(made)["n_rising"] == 1


def test_a_document_of_passages_counts_once_in_its_own_topic(store: ArtifactStore) -> None:
    counted = saved(store, parents=["p", "p", "q", "q", "q", "r"])
    units = read_units(store, counted)
    assert units.topics.tolist() == [1, 0, -1]  # of p the second passage is more probable
    assert units.first.tolist() == [0, 2, 5]
    made = ran(periods, store, counted, PeriodsConfig(every="month"))
    table = store.table(made, "over_time").collect()
    assert table.filter(pl.col("n_documents") > 0).select("topic", "period", "n_documents").rows() == [
        (-1, "2024-03", 1), (0, "2024-03", 1), (1, "2024-01", 1),
    ]  # fmt: skip
    words = table.filter((pl.col("topic") == 0) & (pl.col("period") == "2024-01"))["keywords"].to_list()
    assert words[0][0] == "lemon"  # a passage of topic 0 in a document of topic 1


def test_topics_by_group_by_hand(store: ArtifactStore) -> None:
    made = ran(groups, store, saved(store), GroupsConfig(columns=("product",), words=1))
    table = store.table(made, "groups").collect()
    rows = table.select("column", "value", "topic", "n_documents", "n_value", "share", "share_rest").rows()
    assert rows == [
        ("product", "b", -1, 0, 3, 0.0, 0.0), ("product", "b", 0, 3, 3, 1.0, 0.5),
        ("product", "b", 1, 0, 3, 0.0, 0.5), ("product", "a", -1, 0, 2, 0.0, 0.0),
        ("product", "a", 0, 1, 2, 0.5, 1.0), ("product", "a", 1, 1, 2, 0.5, 0.0),
    ]  # fmt: skip
    own = table.filter((pl.col("value") == "b") & (pl.col("topic") == 0)).row(0, named=True)
    assert own["log2_ratio"] == pytest.approx(np.log2((3.5 / 3.5) / (1.5 / 2.5)))
    assert own["log2_low"] < own["log2_ratio"] < own["log2_high"]
    assert (own["represented"], own["keywords"]) == ("none", ["melon"])
    assert table.filter(pl.col("topic") == -1)["q_value"].null_count() == 2
    assert store.meta(made)["columns"] == {"product": {"n_values": 2, "n_other": 0, "n_without": 1}}


def test_rare_values_are_not_listed_and_still_compared(store: ArtifactStore) -> None:
    counted = saved(store, country=["x", "x", "y", "y", "z", " "])
    made = ran(groups, store, counted, GroupsConfig(columns=("country",), max_values=2))
    table = store.table(made, "groups").collect()
    assert table["value"].unique(maintain_order=True).to_list() == ["x", "y"]
    x = table.filter((pl.col("value") == "x") & (pl.col("topic") == 0)).row(0, named=True)
    assert (x["share"], x["share_rest"]) == (0.5, 1.0)  # of y, y and z
    assert store.meta(made)["columns"]["country"] == {"n_values": 2, "n_other": 1, "n_without": 1}


def test_a_planted_group_is_over_represented_and_shuffled_ones_are_not(store: ArtifactStore) -> None:
    rng = np.random.default_rng(1)
    topics = rng.integers(0, 4, 2000).astype(np.int32)
    planted = np.where((topics == 2) & (rng.random(2000) < 0.6), "north", rng.choice(["south", "east"], 2000))
    own = pl.DataFrame({"region": planted, "shuffled": rng.permutation(planted)})
    counts = {
        "data": np.ones(2000, np.int32), "indices": topics, "indptr": np.arange(2001),
        "words": pl.DataFrame({"word": list("abcd")}),
    }  # fmt: skip
    ref = save(store, "counts", counts)
    counted = Counted(
        save(store, "documents", {"columns": own}, {"has_passages": False}),
        save(store, "labels", {"labels": topics}),
        ArtifactRef("counts", ref.key, "counts", rows=2000),
    )
    made = ran(groups, store, counted, GroupsConfig(columns=("region", "shuffled")))
    table = store.table(made, "groups").collect()
    called = table.filter(pl.col("represented") == "over").select("column", "value", "topic").rows()
    assert ("region", "north", 2) in called
    assert "shuffled" not in {column for column, _, _ in called}


def test_without_any_date_there_are_no_periods_and_the_report_says_so(store: ArtifactStore) -> None:
    counted = saved(store)
    undated = (
        store.table(counted.documents, "documents")
        .collect()
        .with_columns(timestamp=pl.lit(None, pl.Datetime("us")))
    )
    documents = save(store, "documents", {"documents": undated}, {"has_passages": False}, name="undated")
    made = ran(periods, store, Counted(documents, counted.labels, counted.counts), PeriodsConfig())
    assert store.table(made, "over_time").collect().height == 0
    trends = store.table(made, "trends").collect()
    assert trends.select("topic", "n_documents", "share", "trend").rows() == [
        (0, 0, 0, "none"),
        (1, 0, 0, "none"),
    ]
    assert trends["q_value"].null_count() == 2
    blocks = period_blocks(store, made, [4, 1])
    assert blocks["timeline"] is None
    assert (blocks["periods"]["topics"], blocks["periods"]["names"]) == ([], [])


@pytest.mark.parametrize("values", [[None] * 6, ["", " ", None, "", "", None], ["one"] * 6])
def test_a_column_without_different_values_compares_nothing(
    store: ArtifactStore, values: list[str | None]
) -> None:
    own = {"country": pl.Series(values, dtype=pl.String)}
    made = ran(groups, store, saved(store, **own), GroupsConfig(columns=("country",)))
    table = store.table(made, "groups").collect()
    assert table["represented"].unique().to_list() in ([], ["none"])
    assert table["log2_ratio"].null_count() == table.height
    assert group_block(store, made)[0]["n_values"] == len(set(values) & {"one"})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("prodcut",), r"groups: no column 'prodcut' \(groups.columns\).*did you mean 'product'"),
        (("tags",), "groups: column 'tags' has the type List"),
    ],
)
def test_a_column_that_cannot_be_groups_is_named(
    store: ArtifactStore, columns: tuple[str, ...], message: str
) -> None:
    counted = saved(store, tags=[["a"]] * 6)
    with pytest.raises(DataError, match=message):
        check_columns(
            own_columns(store, [part.documents for part in counted.parts]), GroupsConfig(columns=columns)
        )


def test_a_miss_then_a_hit_and_another_weighting_is_a_miss(store: ArtifactStore) -> None:
    counted, config = saved(store), PeriodsConfig(every="year")
    first = periods.fn(Context(store), counted, config=config, weighting=LabelConfig())
    again = periods.fn(Context(store), counted, config=config, weighting=LabelConfig(top_n_words=3))
    assert (first.cached, again.cached, again) == (False, True, first)
    other = periods.fn(Context(store), counted, config=config, weighting=LabelConfig(spread=0))
    assert other.key != first.key


def test_periods_need_a_column_of_dates_and_groups_columns_that_are_kept() -> None:
    with pytest.raises(ValueError, match=r"periods needs dates; set load.timestamp_column"):
        TopicModelConfig(load={"path": "a.csv"}, periods={})
    with pytest.raises(ValueError, match=r"groups.columns: 'b' is not among load.columns"):
        TopicModelConfig(load={"path": "a.csv", "columns": ["a"]}, groups={"columns": ["a", "b"]})
    with pytest.raises(ValueError, match="no time zone 'Europe/Berlun'"):
        PeriodsConfig(zone="Europe/Berlun")
    with pytest.raises(ValueError, match="names a column twice"):
        GroupsConfig(columns=("a", "a"))
