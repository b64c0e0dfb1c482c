"""The identity of a document without an id in later updates: values, not their printed form; older chains continue."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.updates import config_of, documents_of, story, tell
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.update import NewDocumentsConfig
from topicflow.tasks.documents.identity import KnownDocuments, digests_of_ids, digests_of_texts
from topicflow.tasks.documents.sources import Source
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates.new_documents import arrived_documents
from topicflow.tasks.updates.sieve import Sieve

N = 60
BY_TEXT = {"id_column": None, "timestamp_column": "time"}


def day(table: pl.DataFrame, dtype: Any = None, **load: Any) -> Callable[[Path], UpdateTopicsConfig]:
    """Return the config of a day's table, whose documents have no ids and whose column of times has a type."""
    changed = table if dtype is None else table.with_columns(pl.col("time").cast(dtype))
    return lambda folder: config_of(
        folder, changed, load={**BY_TEXT, **load}, cluster={"min_cluster_size": 5}
    )


def epochs(table: pl.DataFrame, dtype: Any) -> pl.DataFrame:
    return table.with_columns(pl.col("time").dt.epoch("s").cast(dtype))


KINDS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "ns": lambda t: t.with_columns(pl.col("time").cast(pl.Datetime("ns"))),
    "us": lambda t: t,
    "ms": lambda t: t.with_columns(pl.col("time").cast(pl.Datetime("ms"))),
    "zone": lambda t: t.with_columns(
        pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    ),
    "int": lambda t: epochs(t, pl.Int64),
    "float": lambda t: epochs(t, pl.Float64),
    "text": lambda t: t.with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
}


@pytest.mark.parametrize(
    ("first", "second"), [("ns", "us"), ("us", "ms"), ("int", "float"), ("us", "zone"), ("int", "text")]
)
def test_a_column_of_times_that_changes_its_type_doubles_nothing(
    tmp_path: Path, first: str, second: str
) -> None:
    table = story()[:N]
    begun = tell(day(KINDS[first](table))(tmp_path))
    assert begun["n_documents"] == N
    again = tell(day(KINDS[second](table))(tmp_path))
    assert (again["state"], again["source"]["n_known"]) == ("unchanged", N)


def test_new_rows_in_a_column_that_changed_its_type_are_taken(tmp_path: Path) -> None:
    tell(day(KINDS["ns"](story()[:N]))(tmp_path))
    record = tell(day(story()[: N + 5])(tmp_path))
    assert (record["n_documents"], record["update"]["n_new"]) == (N + 5, 5)
    assert documents_of(tmp_path, record)["text"].n_unique() == N + 5


def test_dates_that_stand_for_no_date_identify_documents_as_before_and_move_no_watermark() -> None:
    days = ["2024-01-31", "1970-01-01", "9999-12-31"]
    table = pl.DataFrame({"text": ["one", "two", "three"], "time": days})
    source = Source("f", table.schema, iter([table]), column=lambda name: iter([table[name]]))
    loading = LoadConfig(path="a.csv", timestamp_column="time")
    sieve = Sieve(loading, NewDocumentsConfig(watermark="time"), source)
    assert sieve.fresh(table).height == 3
    instants = pl.Series([dt.datetime.fromisoformat(each) for each in days], dtype=pl.Datetime("us"))
    assert sieve.identities[0].tolist() == digests_of_texts(table["text"], instants).tolist()
    assert sieve.highest == "2024-01-31T00:00:00.000000"
    assert sieve.readers["time"].n_implausible == 2


# --- older chains ---


@pytest.mark.parametrize("kind", ["us", "int", "float", "text"])
@pytest.mark.parametrize("now", ["same", "other"])
def test_an_older_chain_knows_its_documents(
    tmp_path: Path, kind: str, now: str, bump: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"us": "ns", "int": "float", "float": "int", "text": "text"}[kind] if now == "other" else kind
    table = story()
    with monkeypatch.context() as patched:
        _as_version_1(patched, bump)
        begun = tell(day(KINDS[kind](table[:N]))(tmp_path))
    bump("new_documents", to=2)
    assert begun["n_documents"] == N
    again = tell(day(KINDS[other](table[:N]))(tmp_path))
    assert (again["state"], again["source"]["n_known"]) == ("unchanged", N)
    more = tell(day(KINDS[other](table[: N + 5]))(tmp_path))
    assert (more["n_documents"], more["update"]["n_new"]) == (N + 5, 5)
    last = tell(day(KINDS[kind](table[: N + 7]))(tmp_path))  # arrivals of both versions
    assert (last["n_documents"], last["update"]["n_new"]) == (N + 7, 2)


def test_ids_of_an_older_chain_are_known(
    tmp_path: Path, bump: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbered(n: int, dtype: Any) -> Callable[[Path], UpdateTopicsConfig]:
        table = story()[:n].with_columns(id=pl.Series(range(n), dtype=dtype))
        return day(table, id_column="id")

    with monkeypatch.context() as patched:
        _as_version_1(patched, bump)
        tell(numbered(N, pl.Float64)(tmp_path))
    bump("new_documents", to=2)
    assert tell(numbered(N, pl.Float64)(tmp_path))["state"] == "unchanged"
    assert tell(numbered(N, pl.Int64)(tmp_path))["state"] == "unchanged"
    assert tell(numbered(N + 3, pl.Float64)(tmp_path))["update"]["n_new"] == 3


def _as_version_1(patched: pytest.MonkeyPatch, bump: Callable[..., None]) -> None:
    """Make arrivals like version 1: the printed form of its id, or of its time, identifies a document."""

    def identify(sieve: Sieve, rows: pl.DataFrame, texts: pl.Series, _times: Any) -> Any:
        if sieve.id_column is not None:
            return text_digests(rows[sieve.id_column].cast(pl.String).fill_null(""))[:, 0]
        time = sieve.loading.timestamp_column or sieve.config.watermark
        parts = [texts.fill_null("").alias("text"), rows[time].cast(pl.String).fill_null("").alias("time")]
        joined = pl.DataFrame(parts).select(pl.concat_str("text", "time", separator="\0")).to_series()
        return text_digests(joined)[:, 0]

    patched.setattr(Sieve, "identify", identify)
    bump("new_documents", to=1)


# --- the functions ---


def test_texts_of_one_instant_are_one_and_of_two_are_two() -> None:
    texts = pl.Series(["a", "a", "b", "a"])
    times = pl.Series([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2), None, None])  # noqa: DTZ001
    found = digests_of_texts(texts, times.cast(pl.Datetime("us")))
    assert len(set(found.tolist())) == 4
    np.testing.assert_array_equal(
        digests_of_texts(texts, None)[[0, 0]], digests_of_texts(texts, None)[[1, 3]]
    )


def test_ids_are_their_values() -> None:
    whole = digests_of_ids(pl.Series([1, 2, 3]))
    np.testing.assert_array_equal(digests_of_ids(pl.Series([1.0, 2.0, 3.0])), whole)
    np.testing.assert_array_equal(digests_of_ids(pl.Series(["1", "2", "3"])), whole)
    odd = digests_of_ids(pl.Series([1.5, float("nan"), None, 2.0]))
    np.testing.assert_array_equal(odd[[0, 1]], digests_of_ids(pl.Series(["1.5", "NaN"])))
    assert odd[3] == whole[1]


def test_a_missing_time_in_an_older_chain_is_counted_once() -> None:
    texts, times = pl.Series(["a", "b"]), pl.Series([None, dt.datetime(2024, 1, 1)], dtype=pl.Datetime("us"))  # noqa: DTZ001
    printed = pl.DataFrame([texts.alias("t"), times.cast(pl.String).fill_null("").alias("u")])
    old = np.sort(text_digests(printed.select(pl.concat_str("t", "u", separator="\0")).to_series())[:, 0])
    known = KnownDocuments(printed=[old])
    now = digests_of_texts(texts, times)
    for unit in ("us", "ns", "ms"):
        assert known.count(now, texts, times.cast(pl.Datetime(unit)), is_id=False).tolist() == [1, 1]


# --- the order of dates in a chain ---


def dated(days: list[str], start: int = 0) -> pl.DataFrame:
    table = story()[start : start + len(days)]
    return table.with_columns(time=pl.Series(days))


def new_times(folder: Path, record: Any) -> list[str]:
    """Return the days of the documents of a run, as they were read."""
    store = ArtifactStore(folder / "store")
    (key,) = (stage["key"] for stage in record["stages"] if stage["stage"] == "load")
    documents = arrived_documents(store, ArtifactRef("arrivals", key, "new_documents"))
    return store.table(documents, "documents").collect()["timestamp"].dt.strftime("%Y-%m-%d").to_list()


EARLY = [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2024" for i in range(N)]  # may be either


def test_a_chain_keeps_the_order_of_dates_that_it_decided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A first run once read days as months, and the next run's rows were left out as late."""
    first = dated(["31/01/2024", *EARLY[1:]])
    begun = tell(day(first)(tmp_path))
    assert begun["source"]["date_orders"] == {"time": "dmy"}
    assert begun["update"]["watermark"] == "2024-11-11T00:00:00.000000"
    caplog.clear()
    second = pl.concat([first, dated(["12/12/2024"] * 5, start=N)])  # these alone tell nothing
    record = tell(
        config_of(
            tmp_path,
            second,
            load=BY_TEXT,
            new_documents={"late": "leave"},
            cluster={"min_cluster_size": 5},
        )
    )
    assert (record["update"]["n_new"], record["source"]["n_late"]) == (5, 0)
    assert record["source"]["date_orders"] == {"time": "dmy"}
    assert new_times(tmp_path, record) == ["2024-12-12"] * 5
    third = tell(day(dated(["01/02/2025"] * 5, start=N + 5))(tmp_path))  # a separate slice
    assert new_times(tmp_path, third) == ["2025-02-01"] * 5


def test_a_chain_with_ambiguous_dates_says_so_and_keeps_its_order(tmp_path: Path) -> None:
    begun = tell(day(dated(EARLY))(tmp_path))
    assert begun["source"]["date_orders"] == {"time": "mdy"}
    log = (tmp_path / "runs/story" / begun["run_id"] / "run.log").read_text()
    assert "may be month first or day first and no row decides" in log
    later = pl.concat([dated(EARLY), dated(["31/01/2025"], start=N)])
    with pytest.raises(
        DataError, match=rf"row {N} contains '31/01/2025', .*month first, as the earlier runs read it"
    ):
        tell(day(later)(tmp_path))
    with pytest.raises(
        ConfigError, match=r"load.date_order='dmy', but earlier runs read column 'time' month first"
    ):
        tell(day(later, date_order="dmy")(tmp_path))


def test_a_given_order_of_dates_is_the_chains(tmp_path: Path) -> None:
    begun = tell(day(dated(EARLY), date_order="dmy")(tmp_path))
    assert begun["source"]["date_orders"] == {"time": "dmy"}
    assert tell(day(dated(EARLY))(tmp_path))["state"] == "unchanged"
