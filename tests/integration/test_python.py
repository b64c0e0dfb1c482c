"""topicflow from Python: a run, what it left, and that it is the run of the command line."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import topicflow as tf
from tests.commands import Outcome, PrefectServer, clean_environment, write_corpus
from tests.fakes import Corpus
from topicflow.flows.running import server as servers
from topicflow.flows.running.server import kept_server
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.stopping import ask_to_stop, begin_again

QUICK: dict[str, Any] = {
    "embed": {"method": "precomputed", "column": "vector"},
    "reduce": {"method": "pca"},
    "map": {"n_epochs": 5},
    "cluster": {"method": "kmeans", "n_clusters": 3},
}


def corpus_table(corpus: Corpus) -> pl.DataFrame:
    """Return the planted corpus as a person has it: texts, days, and the vectors."""
    days = [f"2025-01-{1 + row % 28:02}" for row in range(len(corpus.texts))]
    return pl.DataFrame({"review": corpus.texts, "seen": days, "vector": corpus.embeddings.tolist()})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Iterator[Path]:
    """The working folder of all calls, with a server in the environment."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder = tmp_path_factory.mktemp("python")
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: prefect_server.url}):
        patch.setenv("PREFECT_API_URL", prefect_server.url)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def run(home: Path, corpus: Corpus) -> tf.Run:
    return tf.run(corpus_table(corpus), text="review", time="seen", name="planted", **QUICK)


def test_a_run_has_its_tables_and_figures(run: tf.Run, home: Path, corpus: Corpus) -> None:
    assert (run.name, run.flow, run.state, run.is_published) == ("planted", "topic_model", "completed", True)
    assert run.folder == home / "runs" / "planted" / run.id
    assert run.report.is_file()
    assert run.documents.columns[:4] == ["doc_id", "topic", "topic_name", "probability"]
    assert run.documents["text"].to_list() == corpus.texts
    assert run.documents.columns[-2:] == ["seen", "vector"]  # review is `text`
    assert run.topics.schema["size"] == pl.UInt32
    assert sorted(run.topics["size"].to_list(), reverse=True) == run.topics["size"].to_list()
    assert run.metrics["n_topics"] == run.topics.height == 3
    assert run.tables == ["documents", "topics"]
    assert (run.embeddings.shape, run.embeddings.dtype) == ((132, 16), np.float32)
    np.testing.assert_allclose(run.embeddings, corpus.embeddings, atol=1e-6)
    assert repr(run) == f"<Run planted/{run.id}: topic_model, completed, 3 topics, 132 documents>"


def test_a_notebook_shows_a_run_as_text_that_is_no_markup(run: tf.Run) -> None:
    shown = run._repr_html_()
    assert shown.count("<tr>") == 4
    assert run.topics["name"][0] in shown
    odd = tf.Run({**run.record, "remarks": ["<script>alert(1)</script>"]})
    assert "<script>" not in odd._repr_html_()


def test_the_map_has_a_point_for_each_document(run: tf.Run) -> None:
    figure = run.map()
    assert sum(len(trace.x) for trace in figure.data) == 132
    topics = run.documents.group_by("topic").len().sort("topic")
    assert [len(trace.x) for trace in figure.data] == topics["len"].to_list()
    assert sum(len(trace.x) for trace in run.map(max_points=30).data) == 30
    assert "30 shown" in run.map(max_points=30).layout.title.text
    assert {each.text for each in figure.layout.annotations} >= {f"<b>{run.topics['name'][0]}</b>"}


def test_the_chart_of_keywords_has_the_weights_of_the_run(run: tf.Run) -> None:
    figure = run.barchart(topics=[2, 0], n_words=3)
    assert [list(bar.y)[::-1] for bar in figure.data] == [
        run.topics["keywords"][t].to_list()[:3] for t in (2, 0)
    ]
    assert list(figure.data[1].x)[::-1] == pytest.approx(run.topics["weights"][0].to_list()[:3])
    with pytest.raises(tf.DataError, match=r"no topic 9; `topics` lists all 3$"):
        run.barchart(topics=[9])


def test_topics_over_time_count_the_documents_of_each_step(run: tf.Run) -> None:
    figure = run.over_time()
    assert [line.name for line in figure.data] == run.topics["name"].to_list()
    assert [sum(line.y) for line in figure.data] == run.topics["size"].to_list()
    assert [line.name for line in run.over_time(topics=[2, 0]).data] == [
        run.topics["name"][t] for t in (2, 0)
    ]
    (line,) = run.over_time(topics=[1]).data
    own = run.documents.filter(pl.col("topic") == 1)["seen"].value_counts().sort("seen")
    assert [n for n in line.y if n] == own["count"].to_list()


def test_documents_of_the_run_are_assigned_to_their_own_topics(run: tf.Run) -> None:
    found = run.assign(run.embeddings * 3)
    assert found.schema == {
        "topic": pl.Int32, "topic_name": pl.String, "probability": pl.Float32, "x": pl.Float32, "y": pl.Float32,
    }  # fmt: skip
    clear = run.documents["text"].str.contains("cat|dog|tea|milk|red|blue")
    assert (found["topic"] == run.documents["topic"]).filter(clear).mean() > 0.95
    with pytest.raises(tf.ConfigError, match=r"its vectors \(precomputed\) have no encoder for texts"):
        run.assign(["cat"])
    with pytest.raises(tf.DataError, match=r"vectors of shape \(2, 3\), expected \(n, 16\)"):
        run.assign(np.ones((2, 3)))
    with pytest.raises(tf.DataError, match="1 vectors contain only zeros, the first in row 1"):
        run.assign(np.eye(2, 16) * [[1], [0]])
    with pytest.raises(tf.DataError, match="NaN or infinite"):
        run.assign(np.full((1, 16), np.nan))


def test_the_bertopic_model_has_examples_and_counts_over_time(run: tf.Run) -> None:
    model = run.bertopic()
    examples = dict(run.documents.select("doc_id", "text").iter_rows())
    wanted = [examples[each] for each in run.topics["representative"][0].to_list()]
    assert model.get_representative_docs(0) == wanted
    texts, days = run.documents["text"].to_list(), run.documents["seen"].str.to_datetime().to_list()
    counted = model.topics_over_time(texts, days, nr_bins=4)
    sizes = counted.groupby("Topic")["Frequency"].sum()
    assert sizes[sizes.index >= 0].tolist() == run.topics["size"].to_list()
    with pytest.raises(TypeError):  # docs/python.md says so
        model.topics_over_time(texts, run.documents["seen"].to_list(), nr_bins=4)


def test_the_same_call_computes_nothing_and_another_value_only_what_follows(
    run: tf.Run, corpus: Corpus, capfd: pytest.CaptureFixture[str]
) -> None:
    table = corpus_table(corpus)
    again = tf.run(table.to_arrow(), text="review", time="seen", name="planted", **QUICK)
    assert set(again.stages["state"]) == {"cached"}
    assert again.id != run.id
    fewer = QUICK | {"cluster": {"method": "kmeans", "n_clusters": 2}}
    other = tf.run(table, text="review", time="seen", name="planted", **fewer)
    computed = other.stages.filter(pl.col("state") == "computed")["stage"].to_list()
    assert computed == ["cluster", "label", "evaluate", "report"]
    assert capfd.readouterr() == ("", "")


def test_a_verbose_call_says_its_stages(
    run: tf.Run, corpus: Corpus, capfd: pytest.CaptureFixture[str]
) -> None:
    tf.run(corpus_table(corpus), text="review", time="seen", name="planted", verbose=True, **QUICK)
    said = capfd.readouterr()
    assert said.out == ""
    assert re.match(r"load +cached +132 rows", said.err)


def test_after_the_command_line_everything_is_a_hit(
    tmp_path: Path, corpus: Corpus, served: Callable[..., Outcome]
) -> None:
    config = write_corpus(tmp_path, corpus)
    typed = served("run", config, "--json")
    assert typed.code == 0, typed.err
    run = tf.run(config)
    assert set(run.stages["state"]) == {"cached"}
    keys = [stage["key"] for stage in typed.record["stages"]]
    assert run.stages["key"].to_list() == keys
    assert run.record["config"] == typed.record["config"]
    opened = tf.open_run("trial", runs=tmp_path / "runs")
    assert opened.id == run.id
    begin = typed.record["run_id"][: len("20261129-120000-ab")]
    assert tf.open_run(begin, runs=tmp_path / "runs").id == typed.record["run_id"]


def test_the_other_flows_return_their_results(home: Path, corpus: Corpus) -> None:
    table = (
        corpus_table(corpus).rename({"review": "text"}).with_columns(truth=pl.Series(corpus.truth).cast(str))
    )
    vectors = {"embed": QUICK["embed"]}
    found = tf.dedup(
        pl.concat([table, table.head(3)]), text="text", deduplicate={"method": "minhash"}, **vectors
    )
    assert found.documents.height == 135
    assert found.table("kept").height == 132
    index = tf.index(table, **vectors, index={"method": "exact"}).search_index()
    assert index.search(corpus.embeddings[5], k=1)[0].text == corpus.texts[5]
    classes = tf.classify(table, label="truth", setfit={"enabled": False}, compare={"n_splits": 2}, **vectors)
    assert classes.table("predictions").height == 132
    told = {"name": "arriving", "cluster": {"min_cluster_size": 10}, "map": {"n_epochs": 5}, **vectors}
    first = tf.update(table, time="seen", **told)
    same = tf.update(table, time="seen", **told)
    assert (first.state, same.state, same.id) == ("completed", "unchanged", first.id)
    assert first.embeddings.shape == (132, 16)
    names = dict(first.topics.select("topic", "name").iter_rows()) | {-1: "no topic"}
    assert first.documents["topic_name"].to_list() == [names[topic] for topic in first.documents["topic"]]
    ids = first.assign(first.embeddings)["topic"]
    assert (ids == first.documents["topic"]).mean() > 0.9
    assert [sum(line.y) for line in first.over_time().data] == first.topics["size"].to_list()
    with pytest.raises(tf.ConfigError, match=r"no table kept .*; it has documents, topics, lineage$"):
        first.table("kept")


def test_a_run_takes_what_a_sweep_recommends(home: Path, run: tf.Run, corpus: Corpus) -> None:
    table = corpus_table(corpus)
    vary = {"cluster.n_clusters": [2, 3]}
    fast = {"seeds": 1, "draws": 0, "finalists": 1}
    swept = tf.sweep(table, text="review", time="seen", name="planted", vary=vary, sweep=fast, **QUICK)
    assert swept.table("sweep").height == 2
    n_clusters = swept.recommended["cluster"]["n_clusters"]
    assert n_clusters in {2, 3}
    taken = tf.run(table, text="review", time="seen", name="planted", **QUICK | swept.recommended)
    assert taken.topics.height == n_clusters
    with pytest.raises(tf.ConfigError, match=r"a run of topic_model recommends nothing$"):
        _ = run.recommended


def test_errors_are_the_lines_of_the_command_line(run: tf.Run, home: Path) -> None:
    with pytest.raises(
        tf.DataError, match=r"load: .* no column 'nothing' \(load\.text_column\); there are: 'text'$"
    ):
        tf.run(["a", "b"], text="nothing")
    failed = max((home / "runs" / "topics").iterdir())
    assert "Traceback" in (failed / "run.log").read_text()
    with pytest.raises(tf.ConfigError, match="runs: no run nowhere; the newest is "):
        tf.open_run("nowhere")
    with pytest.raises(tf.ConfigError, match=r"is the beginning of \d+ runs \(.*\); write more of it$"):
        tf.open_run(run.id[:6])
    assert tf.DataError("load: one line")._render_traceback_() == ["DataError: load: one line"]


def test_a_run_whose_store_is_gone_says_so(run: tf.Run, tmp_path: Path) -> None:
    gone = tf.Run({**run.record, "store": str(tmp_path / "store")})
    for ask in (lambda: gone.embeddings, lambda: gone.assign(run.embeddings), gone.over_time):
        with pytest.raises(
            tf.ArtifactError, match=r"planted/\S+: \w+/\w+ is missing in .*; run its config again"
        ):
            ask()
    assert gone.topics.height == 3  # the folder has it


def test_a_stopped_run_ends_at_the_next_chunk_and_begins_no_further_stage() -> None:
    with track("embed", 10, "texts") as progress:
        progress.advance(1)
        ask_to_stop()
        with pytest.raises(tf.StageError, match=r"^embed: stopped; the same call continues from here$"):
            progress.advance(1)
        begin_again()
        progress.advance(1)
        assert progress.done == 2


# --- without a server of the user's ---


def test_a_process_keeps_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(servers, "_kept", {})
    monkeypatch.setattr(servers.atexit, "register", lambda _stop: None)
    with kept_server() as first:
        pass
    with kept_server() as second:
        assert second is first
    first.stop()
    assert not first.is_running
    with kept_server() as third:
        assert third is not first
    third.stop()


ALONE = """
import sys, time
import topicflow as tf
import polars as pl
quick = {"embed": {"method": "precomputed", "column": "vector"}, "reduce": {"method": "pca"}, "map": {"n_epochs": 5}}
seconds = []
for n_clusters in (3, 2, 2):
    began = time.monotonic()
    quick["cluster"] = {"method": "kmeans", "n_clusters": n_clusters}
    run = tf.run(pl.read_parquet("given.parquet"), text="review", **quick)
    seconds.append(time.monotonic() - began)
print(*seconds, run.metrics["n_topics"])
"""


@pytest.mark.slow
def test_without_a_server_hits_take_less_than_two_seconds(tmp_path: Path, corpus: Corpus) -> None:
    corpus_table(corpus).write_parquet(tmp_path / "given.parquet")
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, env=clean_environment(PREFECT_HOME=str(tmp_path / "home")),
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    first, other, hit, n_topics = map(float, done.stdout.split())
    assert n_topics == 2
    assert hit < 2.0, (first, other, hit)
    assert other < first
    until = time.monotonic() + 20
    while _servers_of(tmp_path / "home"):  # the server ends with the process
        assert time.monotonic() < until
        time.sleep(0.2)


def _servers_of(home: Path) -> list[str]:
    """Return the processes whose environment has this PREFECT_HOME."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={home}".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found
