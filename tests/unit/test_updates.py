"""Updates, run after run: assigned, drifted, refitted, gated, resumed; nothing lost or doubled."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from tests.runs import edit
from tests.updates import N_FIRST, config_of, documents_of, new_topic, story, tell
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.planning.backfill import due_periods
from topicflow.tasks.errors import ArtifactError, DamagedError, DataError
from topicflow.tasks.runs.compare import compare_runs
from topicflow.tasks.runs.history import list_runs
from topicflow.tasks.runs.resolve import resolve
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store.artifact_store import ArtifactStore

Record = dict[str, Any]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, Record]:
    """A folder with a first run and an update that assigns documents to it, and both records."""
    folder = tmp_path_factory.mktemp("begun")
    return folder, tell(config_of(folder, story()[:N_FIRST])), tell(config_of(folder, story()))


@pytest.fixture
def series(begun: tuple[Path, Record, Record], tmp_path: Path) -> Path:
    """A copy of that folder that a test may continue from."""
    shutil.copytree(begun[0], tmp_path / "series", symlinks=True)
    return tmp_path / "series"


def stages(record: Record) -> list[str]:
    return [stage["stage"] for stage in record["stages"]]


def test_new_documents_are_assigned_to_the_existing_topics(begun: tuple[Path, Record, Record]) -> None:
    folder, first, second = begun
    assert first["update"]["refit"]
    assert first["n_documents"] == N_FIRST
    assert (second["update"]["number"], second["update"]["n_new"], second["update"]["refit"]) == (
        2,
        60,
        False,
    )
    assert {"assign", "drift"} <= set(stages(second))
    assert not {"neighbors", "cluster", "merge_batches"} & set(stages(second))
    table = documents_of(folder, second)
    assert table["doc_id"].to_list() == story()["id"].to_list()
    assert table["update"].to_list() == [1] * N_FIRST + [2] * 60
    before = documents_of(folder, first)
    assert table["topic"][:N_FIRST].to_list() == before["topic"].to_list()
    per_truth = table.filter(pl.col("topic") >= 0).group_by("truth").agg(pl.col("topic").unique())
    assert sorted(topic for (topic,) in per_truth["topic"]) == [0, 1, 2]  # each planted topic has one id
    assert (table["topic"] >= 0).mean() > 0.9
    assert table.schema["vector"] == pl.List(pl.Float32)
    assert (folder / "runs" / "story" / "latest").resolve().name == second["run_id"]


def test_the_folder_is_a_topic_models_and_more(begun: tuple[Path, Record, Record]) -> None:
    folder, _, second = begun
    run = folder / "runs" / "story" / second["run_id"]
    names = {path.name for path in run.iterdir()}
    assert names == {
        "documents.parquet", "topics.parquet", "topics.csv", "lineage.parquet", "drift.json", "metrics.json",
        "run.json", "config.toml", "report.html", "model", "run.log",
    }  # fmt: skip
    topics, documents = pl.read_parquet(run / "topics.parquet"), documents_of(folder, second)
    sizes = dict(documents.filter(pl.col("topic") >= 0).group_by("topic").len().iter_rows())
    assert dict(topics.select("topic", "size").iter_rows()) == sizes
    model = json.loads((run / "model" / "topics.json").read_text())
    assert len(model["topics"]) == documents.height
    lineage = pl.read_parquet(run / "lineage.parquet")
    assert lineage.select("update", "event", "topic").rows() == [(1, "born", t) for t in range(3)]
    assert sum(sum(topic["counts"]) for topic in second["updates"]["topics"]) == sum(sizes.values())


def test_an_update_computes_nothing_for_documents_that_were_assigned(
    begun: tuple[Path, Record, Record],
) -> None:
    _, first, second = begun
    rows = {stage["stage"]: stage["rows"] for stage in second["stages"]}
    assert {rows[stage] for stage in ("load", "embed", "assign", "count")} == {60}
    assert {stage["key"] for stage in second["stages"] if stage["stage"] == "embed"}.isdisjoint(
        {stage["key"] for stage in first["stages"]}
    )


def test_without_new_documents_nothing_is_done(series: Path) -> None:
    before = list_runs(series / "runs")
    (series / "runs" / "story" / "latest").unlink()  # as a kill between folder and link leaves it
    record = tell(config_of(series, story()))
    assert record["state"] == "unchanged"
    assert [run["run_id"] for run in list_runs(series / "runs")] == [run["run_id"] for run in before]
    assert (series / "runs" / "story" / "latest").resolve().name == before[0]["run_id"]


def test_a_new_theme_is_drift_and_the_topics_keep_their_ids_over_the_new_fit(series: Path) -> None:
    (series / "runs" / "story" / "topic_names.toml").write_text('[names]\n1 = "Drinks of all kinds"\n')
    config = config_of(series, pl.concat([story(), new_topic(60, axis=7, start=180)]))
    record = tell(config)
    assert record["update"]["refit"]
    assert "max_new_words" in record["update"]["reason"]
    assert record["lineage"] == {"continued": 3, "split": 0, "merged": 0, "born": 1, "died": 0}
    table = documents_of(series, record)
    before = documents_of(series, resolve(series / "runs", "story/latest") | {"run_id": runs_of(series)[1]})
    same = table.head(180).select(pl.col("topic") == before["topic"], had=before["topic"] >= 0)
    assert same.filter("had")["topic"].mean() > 0.95
    assert set(table.tail(60)["topic"].to_list()) <= {3, -1}
    names = dict(pl.read_parquet(latest(series) / "topics.parquet", columns=["topic", "name"]).iter_rows())
    assert names[1] == "Drinks of all kinds"
    assert "Drinks of all kinds" in (latest(series) / "report.html").read_text()
    lineage = pl.read_parquet(latest(series) / "lineage.parquet").filter(pl.col("update") == 3)
    assert (
        lineage.filter(pl.col("event") == "continued")
        .select(pl.col("topic") == pl.col("previous"))
        .to_series()
        .all()
    )
    assert config_of(series, story()).name == "story"


def runs_of(folder: Path) -> list[str]:
    return [run["run_id"] for run in list_runs(folder / "runs")]


def latest(folder: Path) -> Path:
    return folder / "runs" / "story" / "latest"


def test_drift_only_warns_if_asked(series: Path) -> None:
    table = pl.concat([story(), new_topic(60, axis=7, start=180)])
    record = tell(config_of(series, table, drift={"on_drift": "warn"}))
    assert not record["update"]["refit"]
    assert record["drift"]["over"]
    assert record["drift"]["figures"]["n_documents"] == 120  # since the fit: of both runs
    assert "rocket" in {word for word, _ in record["drift"]["new_words"]}


class Receiver(BaseHTTPRequestHandler):
    """Takes posted messages; refuses the first n."""

    told: ClassVar[list[Any]] = []
    refusals = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Receiver.refusals:
            Receiver.refusals -= 1
            self.send_response(503)
        else:
            Receiver.told.append(json.loads(body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook() -> Iterator[str]:
    Receiver.told, Receiver.refusals = [], 1
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token"
    server.shutdown()
    server.server_close()


def test_a_run_that_fails_its_gates_is_kept_and_reported_but_not_published(
    series: Path, webhook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPICS_HOOK", webhook)
    before, table = latest(series).resolve().name, pl.concat([story(), new_topic(60, axis=7, start=180)])
    gates = {"max_topics": 3, "max_topics_change": 0.5, "min_npmi": -1.0, "webhook_env": "TOPICS_HOOK"}
    events: list[Any] = []
    record = tell(config_of(series, table, gates=gates), events)
    assert not record["published"]
    assert record["gates"]["failed"] == ["max_topics = 3: n_topics is 4"]
    assert latest(series).resolve().name == before == resolve(series / "runs", "story/latest")["run_id"]
    folder = series / "runs" / "story" / record["run_id"]
    assert json.loads((folder / "run.json").read_text())["published"] is False
    (told,) = Receiver.told
    assert (told["run_id"], told["failed"]) == (record["run_id"], record["gates"]["failed"])
    kept = "".join(
        path.read_text() for path in folder.glob("*.*") if path.suffix in {".json", ".toml", ".html"}
    )
    assert "secret-token" not in kept
    assert events == [told]
    again = tell(config_of(series, table))  # the next continues from the last published one
    assert (again["update"]["n_new"], again["update"]["number"], again["published"]) == (60, 3, True)
    assert again["update"]["previous"] == before


def test_late_documents_a_clock_that_went_back_and_columns_that_changed(
    series: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = new_topic(5, axis=0, start=10).with_columns(id="late-" + pl.col("id"))
    changed = pl.concat([story(), late]).with_columns(stars=pl.lit(3)).drop("truth")
    left = tell(config_of(series, changed, new_documents={"late": "leave"}))
    assert (left["state"], left["source"]["n_late"], left["source"]["clock_went_back"]) == (
        "unchanged",
        5,
        True,
    )
    taken = tell(config_of(series, changed))
    assert (taken["update"]["n_new"], taken["update"]["n_late"]) == (5, 5)
    assert taken["update"]["watermark"] == resolve(series / "runs", runs_of(series)[1])["update"]["watermark"]
    assert taken["source"]["schema_changes"] == ["new column 'stars'", "column 'truth' is gone"]
    table = documents_of(series, taken)
    assert table["stars"].null_count() == 180
    assert table["truth"].null_count() == 5
    worse = changed.vstack(changed.head(1).with_columns(id=pl.lit("x"))).with_columns(stars=pl.lit([1, 2]))
    with pytest.raises(
        DataError, match=r"column 'stars' was Int32 in earlier runs and is List\(Int64\) now; correct"
    ):
        tell(config_of(series, worse))


def test_a_deleted_run_is_skipped_and_its_documents_are_assigned_again(series: Path) -> None:
    newest, first = runs_of(series)
    shutil.rmtree(series / "runs" / "story" / newest)
    record = tell(config_of(series, story()))
    assert (record["update"]["number"], record["update"]["n_new"]) == (2, 60)
    assert record["update"]["previous"] == first


@pytest.mark.parametrize("which", [0, 1])
def test_a_record_of_the_chain_that_cannot_be_read_stops_the_update(series: Path, which: int) -> None:
    """Such a record once counted as no run: "first run", all documents assigned again, names on other topics."""
    path = series / "runs" / "story" / runs_of(series)[which] / "run.json"
    good = path.read_bytes()
    path.write_bytes(good[:200])
    more = config_of(series, pl.concat([story(), new_topic(5, axis=0, start=180)]))
    for _ in range(2):
        with pytest.raises(ArtifactError, match=f"^runs: {path} cannot be read .* restore the file"):
            tell(more)
    path.write_bytes(good)
    record = tell(more)
    assert (record["update"]["number"], record["update"]["n_new"]) == (3, 5)


def test_a_state_without_its_artifacts_is_skipped_and_an_error_if_none_is_left(series: Path) -> None:
    newest, first = runs_of(series)
    store = ArtifactStore(series / "store")
    key = resolve(series / "runs", newest)["update"]["state"]
    store.discard("states", key)
    more = pl.concat([story(), new_topic(5, axis=0, start=180)])
    record = tell(config_of(series, more))
    assert (record["update"]["previous"], record["update"]["n_new"]) == (first, 65)
    shutil.rmtree(series / "store" / "states")
    with pytest.raises(
        ArtifactError, match=r"no run has a complete state in the store, last .*states/.* is missing"
    ):
        tell(config_of(series, more))


@pytest.mark.parametrize("which", ["newest", "first"])
def test_damage_of_the_chain_says_from_where_the_same_command_continues(series: Path, which: str) -> None:
    """It once promised that the same command makes the artifact again, which only the command that made it can."""
    newest, first = runs_of(series)
    record = resolve(series / "runs", newest if which == "newest" else first)
    (made,) = (each for each in record["stages"] if each["kind"] == "labels")
    path = series / "store/labels" / made["key"] / "labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    more = config_of(series, pl.concat([story(), new_topic(5, axis=0, start=180)]))
    if which == "first":
        with pytest.raises(ArtifactError, match=f"no run has a complete state in the store.*{made['key']}"):
            tell(more)
        return
    again = f"; run the same command again to continue from {first}, or restore the artifact$"
    with pytest.raises(DamagedError, match=rf"labels\.npy is damaged .* was set aside in .*{again}"):
        tell(more)
    record = tell(more)
    assert (record["update"]["previous"], record["update"]["n_new"]) == (first, 65)


def test_a_damaged_state_is_not_promised_to_be_made_again(series: Path) -> None:
    for run in runs_of(series):
        key = resolve(series / "runs", run)["update"]["state"]
        path = series / "store/states" / key / "state.json"
        path.write_bytes(path.read_bytes()[:-2] + b" }")  # the same size, other bytes
    more = config_of(series, pl.concat([story(), new_topic(5, axis=0, start=180)]))
    for _ in range(2):
        with pytest.raises(ArtifactError, match="no run has a complete state") as raised:
            tell(more)
        assert "same command" not in str(raised.value)


def test_a_clock_that_was_set_back_breaks_no_chain(series: Path) -> None:
    newest, _ = runs_of(series)
    folder = series / "runs" / "story" / newest
    edit(folder / "run.json", run_id="20000101-000000-abcdef")
    folder.rename(folder.with_name("20000101-000000-abcdef"))
    more = pl.concat([story(), new_topic(5, axis=0, start=180)])
    after = tell(config_of(series, more))
    assert (after["update"]["number"], after["update"]["n_new"]) == (3, 5)


def test_backfill_is_one_run_per_period_in_order_and_continues(tmp_path: Path) -> None:
    config = config_of(tmp_path, story()).model_copy(update={"period": "1d"})
    due = list(due_periods(config, 3))
    assert [each.new_documents.until for each in due] == ["2024-01-07", "2024-01-08", "2024-01-09"]
    records = [tell(each) for each in due[:2]]
    assert [record["n_documents"] for record in records] == [144, 168]
    assert [each.new_documents.until for each in due_periods(config, 3)] == ["2024-01-09"]
    (last,) = (tell(each) for each in due_periods(config, 3))
    assert documents_of(tmp_path, last)["doc_id"].to_list() == story()["id"].to_list()
    assert list(due_periods(config, 3)) == []


def test_gc_keeps_what_the_last_state_refers_to(series: Path) -> None:
    store = ArtifactStore(series / "store")
    newest, first = runs_of(series)
    shutil.rmtree(series / "runs" / "story" / first)
    collect_garbage(store, [series / "runs"], 0.0)
    record = tell(config_of(series, pl.concat([story(), new_topic(30, axis=0, start=180)])))
    assert (record["n_documents"], record["update"]["previous"]) == (210, newest)


def test_another_seed_refits_and_ids_stay(series: Path) -> None:
    more = pl.concat([story(), new_topic(5, axis=0, start=180)])
    record = tell(config_of(series, more, seed=7))
    assert record["update"]["reason"] == "the config that fits is another one"
    changes = compare_runs(
        resolve(series / "runs", runs_of(series)[1]), resolve(series / "runs", record["run_id"])
    )
    assert changes.matched["first"].to_list() == changes.matched["second"].to_list()
    assert (changes.n_shared, changes.n_only_first, changes.n_only_second) == (180, 0, 5)
    assert changes.n_moved <= 9


def test_the_config_refuses_what_updates_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"embed\.path has the rows of one input"):
        config_of(tmp_path, story(), embed={"method": "precomputed", "path": "v.npy", "column": None})
    with pytest.raises(ValueError, match=r"load\.split"):
        config_of(tmp_path, story(), load={"split": {}})
    with pytest.raises(ValueError, match="since and until need watermark"):
        config_of(tmp_path, story(), new_documents={"watermark": None, "until": "2024-01-05"})
    assert UpdateTopicsConfig.model_config["title"] == "update_topics"


@pytest.mark.parametrize("since", ["2024-01-09T00:00:00", "2024-01-09T01:00:00+01:00"])
def test_backfill_compares_moments_and_not_how_they_are_written(tmp_path: Path, since: str) -> None:
    config = config_of(tmp_path, story()).model_copy(update={"period": "1d"})
    assert [each.new_documents.until for each in due_periods(config, 1)] == ["2024-01-09"]
    bounded = config.new_documents.model_copy(update={"since": since})
    assert list(due_periods(config.model_copy(update={"new_documents": bounded}), 1)) == []
