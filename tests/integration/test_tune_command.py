"""`topicflow tune` as a user types it, against a real server, and a topic model that names its adapter."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.commands import QUICK_STAGES, Outcome, write_corpus, write_table
from tests.fakes import Corpus, planted_corpus

TUNE = """name = "sharper"
[load]
path = "{folder}/documents.parquet"
label_column = "label"
[embed]
method = "precomputed"
column = "vector"
[measure]
neighbors = [5, 20]
[runtime]
store = "{folder}/store"
runs = "{folder}/runs"
"""


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder with documents, some of them labelled, and two configs."""
    corpus: Corpus = planted_corpus(n_per_topic=40, n_noise=0)
    write_corpus(tmp_path, corpus)
    known = [str(topic) if row % 2 else None for row, topic in enumerate(corpus.truth)]
    table = pl.DataFrame({"text": corpus.texts, "label": known, "vector": corpus.embeddings.tolist()})
    write_table(tmp_path, table, QUICK_STAGES)
    (tmp_path / "tune.toml").write_text(TUNE.format(folder=tmp_path))
    return tmp_path


def test_an_adapter_is_tuned_shown_and_named(labelled: Path, topicflow: Callable[..., Outcome]) -> None:
    config, places = labelled / "config.toml", ("--runs", labelled / "runs")
    assert topicflow("run", config).code == 0
    tuned = topicflow("tune", labelled / "tune.toml")
    assert (tuned.code, tuned.errors) == (0, [])
    assert "raw" in tuned.out
    assert "nmi" in tuned.out
    assert tuned.out.splitlines()[-1].startswith('use it: [embed] adapter = "sharper" (or its key, ')
    assert "nmi" in topicflow("show", "sharper", *places).out
    plan = topicflow("plan", config, "--set", "embed.adapter=sharper").out.splitlines()
    assert [line.split()[1] for line in plan[:-1]].count("cached") == 2  # load and count
    again = topicflow("tune", labelled / "tune.toml", "--json")
    record = again.record
    assert {stage["state"] for stage in record["stages"]} == {"cached"}
    used = topicflow("run", config, "--set", "embed.adapter=sharper", "--json").record
    assert (
        f'adapter = "{record["adapter"]}"' in used["config"]
    )  # its key: the name means another one tomorrow
    embedded = next(stage for stage in used["stages"] if stage["stage"] == "embed")
    assert embedded["recipe"]["identity"]["adapter"] == record["adapter"]


def test_what_is_wrong_is_one_line(labelled: Path, topicflow: Callable[..., Outcome]) -> None:
    unknown = topicflow("run", labelled / "config.toml", "--set", "embed.adapter=nothing")
    assert (unknown.code, len(unknown.errors)) == (2, 1)
    assert "embed.adapter:" in unknown.errors[0]
    pl.DataFrame({"doc_id": ["nobody"], "label": ["x"]}).write_csv(labelled / "labels.csv")
    found = topicflow("tune", labelled / "tune.toml", "--set", f"examples.path={labelled / 'labels.csv'}")
    assert (found.code, len(found.errors)) == (1, 1)
    assert "1 of 1 ids belong to no document: nobody;" in found.errors[0]
    model = topicflow(
        "tune",
        labelled / "tune.toml",
        "--set",
        "embed.method=sentence-transformers",
        "--set",
        "embed.model=no/such",
    )
    assert (model.code, len(model.errors)) == (2, 1)
    assert "model 'no/such' is neither a folder here nor reachable on the hub" in model.errors[0]
