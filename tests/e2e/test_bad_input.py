"""Bad input through the command line: a defined result or one line with the remedy, and an intact store."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.commands import Outcome, run_apart, write_config, write_corpus, write_table
from tests.fakes import Corpus
from topicflow.tasks.store.artifact_store import FORMAT, ArtifactStore
from topicflow.tasks.store.verify import verify_artifacts

Topicflow = Callable[..., Outcome]


def vectors(n: int, seed: int = 0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(size=(n, 8)).tolist()


def texts(n: int) -> list[str]:
    return [f"{'red green blue' if i % 2 else 'tea milk juice'} number{i % 7}" for i in range(n)]


def table(n: int, **columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"text": texts(n), "vector": vectors(n), **columns})


def assert_refused(outcome: Outcome, code: int, *parts: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert len(outcome.errors) == 1, outcome.err
    assert outcome.errors[0].startswith("error: ")
    for part in parts:
        assert part in outcome.errors[0]
    assert "Traceback" not in outcome.err


def assert_intact(folder: Path) -> None:
    root = folder / "store"
    if (root / "format.json").exists():
        assert [found.problem for found in verify_artifacts(ArtifactStore(root)) if found.problem] == []
    assert list(root.glob(".staging/*")) == []


def topics_of(folder: Path) -> pl.Series:
    return pl.read_parquet(folder / "runs/trial/latest/documents.parquet")["topic"]


# --- documents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "changes", "parts"),
    [
        (table(5).clear(), [], ["no documents", "documents.parquet"]),
        (table(5).with_columns(text=pl.lit("  \t\n")), [], ["no documents", "5 rows", "5 without text"]),
        (table(5).with_columns(text=pl.lit(None, pl.String)), [], ["no documents"]),
        (table(2), [], ["n_clusters=3 exceeds n_docs=2", "2 or less"]),
        (table(20), ["cluster.method=hdbscan", "cluster.min_cluster_size=50"], ["min_cluster_size=50", "20"]),
        (table(1), ["cluster.method=hdbscan"], ["n_docs=1", "two documents"]),
        (table(9, id=["a"] * 9), ["load.id_column=id"], ["column 'id'", "repeats", "'a'"]),
        (table(3, id=["a", None, "c"]), ["load.id_column=id"], ["column 'id'", "row 1"]),
        (table(9), ["load.text_column=txt"], ["'txt'", "text"]),
        (table(9), ["embed.column=vectors"], ["'vectors'", "there are: 'text', 'vector'; did you mean 'vector'?"]),
    ],
    ids=["none", "blank", "null", "few", "fewer-than-smallest", "one", "repeated-id", "no-id", "column", "vectors"],
)  # fmt: skip
def test_documents_that_make_no_topics(
    topicflow: Topicflow, tmp_path: Path, rows: pl.DataFrame, changes: list[str], parts: list[str]
) -> None:
    config = write_table(tmp_path, rows)
    outcome = topicflow("run", config, *(word for change in changes for word in ("--set", change)))
    assert_refused(outcome, 1, *parts)
    assert_intact(tmp_path)
    (failed,) = (tmp_path / "runs/trial").glob("*/run.json")
    assert json.loads(failed.read_text())["error"] == outcome.errors[0].removeprefix("error: ")
    assert "Traceback" in failed.with_name("run.log").read_text()


@pytest.mark.parametrize(
    ("broken", "said"), [(0.0, "only zeros"), (float("nan"), "NaN"), (float("inf"), "infinite")]
)
def test_vectors_that_say_nothing(topicflow: Topicflow, tmp_path: Path, broken: float, said: str) -> None:
    rows = vectors(30)
    rows[7] = [broken] * 8
    outcome = topicflow("run", write_table(tmp_path, table(30).with_columns(vector=pl.Series(rows))))
    assert_refused(outcome, 1, "column 'vector'", "row 7", said)
    assert_intact(tmp_path)


def test_fewer_documents_than_neighbors(topicflow: Topicflow, tmp_path: Path) -> None:
    outcome = topicflow("run", write_table(tmp_path, table(8)), "--json")
    assert outcome.code == 0
    assert outcome.record["graph"]["n_neighbors"] == 8  # 15 were asked for
    assert_intact(tmp_path)


def test_one_document(topicflow: Topicflow, tmp_path: Path) -> None:
    outcome = topicflow("run", write_table(tmp_path, table(1)), "--set", "cluster.n_clusters=1", "--json")
    assert (outcome.code, outcome.record["n_topics"]) == (0, 1)
    assert topics_of(tmp_path).to_list() == [0]


def test_equal_texts(topicflow: Topicflow, tmp_path: Path) -> None:
    same = pl.DataFrame({"text": ["the same red text"] * 40, "vector": [[1.0, 2.0]] * 40})
    changes = ["--set", "cluster.method=hdbscan", "--set", "cluster.min_cluster_size=5"]
    outcome = topicflow("run", write_table(tmp_path, same), *changes, "--json")
    assert (outcome.code, outcome.record["n_topics"]) == (0, 1), outcome.err
    crowd, copies = outcome.errors
    assert crowd.startswith("note: One topic holds 100% of all documents.")
    assert copies.startswith("note: 100% of the documents are copies of one text.")
    assert topics_of(tmp_path).to_list() == [0] * 40
    assert topicflow("show", "--runs", tmp_path / "runs").out.rstrip().endswith(copies)


def test_every_document_noise(topicflow: Topicflow, tmp_path: Path) -> None:
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.column_stack([np.cos(around), np.sin(around)]) * np.geomspace(1, 1e6, 40)[:, None]
    rows = table(40).with_columns(vector=pl.Series(ring.tolist()))
    changes = [
        "cluster.method=hdbscan",
        "cluster.min_cluster_size=15",
        "cluster.selection=leaf",
        "reduce.method=none",
    ]
    outcome = topicflow(
        "run", write_table(tmp_path, rows), *(w for c in changes for w in ("--set", c)), "--json"
    )
    assert outcome.code == 0, outcome.err
    assert (outcome.record["n_topics"], outcome.record["metrics"]["outlier_share"]) == (0, 1.0)
    assert set(topics_of(tmp_path)) == {-1}
    shown = topicflow("show", "--runs", tmp_path / "runs")
    assert (shown.code, shown.errors) == (0, [])
    assert "0 topics in 40 documents" in shown.out


def test_some_texts_are_null_or_blank(topicflow: Topicflow, tmp_path: Path) -> None:
    rows = table(30).with_columns(text=pl.Series([*texts(27), None, "", " \n"]))
    outcome = topicflow("run", write_table(tmp_path, rows), "--json")
    assert outcome.code == 0
    assert outcome.errors == ["note: 3 of 30 rows without text: left out (rows 27, 28, 29, counted from 0)."]
    source = outcome.record["source"]
    assert (source["n_input_rows"], source["n_empty"], source["n_documents"]) == (30, 3, 27)


def test_a_document_of_a_megabyte(topicflow: Topicflow, tmp_path: Path) -> None:
    long = "word " * 200_000
    rows = table(30).with_columns(text=pl.Series([long, *texts(29)]))
    outcome = topicflow("run", write_table(tmp_path, rows), "--json")
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "runs/trial/latest/report.html").read_text()
    assert "word word word" in page
    assert long[:2000] not in page  # the report shows its beginning


def test_hostile_texts_show_as_text(topicflow: Topicflow, tmp_path: Path) -> None:
    hostile = [
        "<script>alert(1)</script> red", "</script><img src=x onerror=alert(2)> red", "nul \x00 inside red",
        "\u202eright to left\u202c red", "red [bold]markup[/bold] [/] red", "red {{ braces }} ${x} %s",
        "=cmd|'/c calc'!A1 red", "\ud83d\ude00 emoji red".encode("utf-16", "surrogatepass").decode("utf-16"),
    ]  # fmt: skip
    rows = table(40).with_columns(text=pl.Series([*hostile * 4, *texts(8)]))
    config = write_table(tmp_path, rows)
    outcome = topicflow("run", config)
    assert (outcome.code, outcome.errors) == (0, [])
    page = (tmp_path / "runs/trial/latest/report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page  # it is there, as text
    kept = pl.read_parquet(tmp_path / "runs/trial/latest/documents.parquet")["text"]
    assert kept[:8].to_list() == hostile


# --- files and config ---------------------------------------------------------------------------------------


def test_bytes_that_are_not_utf8(topicflow: Topicflow, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"text\nred one\nred caf\xe9\n")
    load = f'path = "{tmp_path / "latin.csv"}"'
    outcome = topicflow("run", write_config(tmp_path, load))
    assert_refused(outcome, 1, "latin.csv", "UTF-8", "encoding_errors")
    assert_intact(tmp_path)


def test_a_file_that_is_not_there(topicflow: Topicflow, tmp_path: Path) -> None:
    write_table(tmp_path, table(9))
    outcome = topicflow("run", write_config(tmp_path, f'path = "{tmp_path / "document.parquet"}"'))
    assert_refused(outcome, 1, "document.parquet", "did you mean 'documents.parquet'?")


def test_a_model_that_is_not_there(topicflow: Topicflow, tmp_path: Path) -> None:
    config = write_table(tmp_path, table(20), stages="")
    outcome = topicflow("run", config, "--set", "embed.model=nobody/no-such-model")
    assert_refused(outcome, 2, "nobody/no-such-model", "all-MiniLM-L6-v2")
    assert_intact(tmp_path)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("cluster.n_cluster=3", ["config.toml", "unknown key 'cluster.n_cluster'", "'n_clusters'"]),
        ("cluster.n_clusters=0", ["config.toml", "cluster.n_clusters", "greater than or equal to 1", "0"]),
        ("cluster.method=kmean", ["cluster.method", "'kmean'", "kmeans"]),
        ("seed=many", ["seed", "integer", "many"]),
        ("seed", ["--set seed", "key=value"]),
    ],
)
def test_a_config_that_is_wrong(topicflow: Topicflow, tmp_path: Path, change: str, parts: list[str]) -> None:
    outcome = topicflow("run", write_table(tmp_path, table(9)), "--set", change)
    assert_refused(outcome, 2, *parts)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "runs").exists()


def test_a_config_that_is_not_there(topicflow: Topicflow, tmp_path: Path) -> None:
    assert_refused(topicflow("run", tmp_path / "none.toml"), 2, "none.toml", "no such config file")


# --- store and disk -----------------------------------------------------------------------------------------


def test_a_store_by_a_newer_version(topicflow: Topicflow, tmp_path: Path) -> None:
    config = write_table(tmp_path, table(9))
    (tmp_path / "store").mkdir()
    (tmp_path / "store/format.json").write_text(json.dumps({"format": FORMAT + 1}))
    outcome = topicflow("run", config)
    assert_refused(outcome, 1, f"format {FORMAT + 1}", "upgrade topicflow")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["format.json"]


def test_a_damaged_artifact_is_named_and_made_again(
    topicflow: Topicflow, tmp_path: Path, corpus: Corpus
) -> None:
    config = write_corpus(tmp_path, corpus)
    assert topicflow("run", config).code == 0
    (labels,) = (tmp_path / "store").glob("labels/*/labels.npy")
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-1])
    planned = topicflow("plan", config)
    assert f"cluster    compute  corrupt: labels.npy has {len(whole) - 1} bytes" in planned.out
    outcome = topicflow("run", config, "--json")
    states = {stage["stage"]: stage["state"] for stage in outcome.record["stages"]}
    assert [stage for stage, state in states.items() if state == "computed"] == ["cluster"]
    assert labels.read_bytes() == whole
    assert_intact(tmp_path)


def test_a_runs_folder_that_cannot_be_written(topicflow: Topicflow, tmp_path: Path, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    (tmp_path / "runs").write_text("a file where a folder should be")
    outcome = topicflow("run", config)
    assert_refused(outcome, 1, str(tmp_path / "runs"), "not a directory", "--runs")
    assert not (tmp_path / "store").exists()  # it is looked at before the work begins
    assert topicflow("run", config, "--runs", tmp_path / "other", "--json").code == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a separate disk with space for 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
            yield folder
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            return
    pytest.skip("mounting a small disk is not allowed here")


def test_a_full_disk(topicflow: Topicflow, tmp_path: Path, small_disk: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"text": texts(3000), "vector": rng.normal(size=(3000, 64)).tolist()})
    config = write_table(tmp_path, rows)
    outcome = topicflow("run", config, "--store", small_disk / "store")
    assert_refused(outcome, 1, "no space left", str(small_disk), "--store")
    assert_intact(small_disk)


def test_an_error_that_nobody_foresaw_names_its_log(
    topicflow: Topicflow, tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr("topicflow.tasks.topics.cluster.settle_topics", broken)
    outcome = topicflow("run", write_corpus(tmp_path, corpus))
    assert_refused(outcome, 1, "ZeroDivisionError: first line (not foreseen", "run.log")
    log = Path(outcome.errors[0].partition("the traceback is in ")[2].rstrip(")"))
    assert "in broken" in log.read_text()
    assert_intact(tmp_path)


def test_an_unknown_argument(tmp_path: Path) -> None:
    outcome = run_apart("run", "config.toml", "--fast", cwd=tmp_path)
    assert outcome.code == 2
    assert "--fast" in outcome.err.splitlines()[-1]
