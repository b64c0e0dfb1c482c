"""`topicflow dedup` and a topic model with [deduplicate], as users type them: files, lines, hits, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.commands import QUICK_STAGES, Outcome, write_config
from tests.fakes import Corpus
from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.flows.planning.plan import plan_topic_model

Topicflow = Callable[..., Outcome]

EMBED = '[embed]\nmethod = "precomputed"\ncolumn = "vector"\n'


def write(folder: Path, corpus: Corpus, name: str = "documents.parquet") -> Path:
    """Write the corpus with three documents again under other ids, one of them slightly changed; return the file."""
    again = [0, 1, 2]
    vectors = np.concatenate([corpus.embeddings, corpus.embeddings[again] + [[0.02] + [0.0] * 15]])
    texts = [*corpus.texts, *(f"{corpus.texts[i]} again" for i in again[:2]), corpus.texts[2]]
    vectors[-1] = corpus.embeddings[2]
    table = pl.DataFrame(
        {"id": [f"n{i}" for i in range(len(texts))], "text": texts, "vector": vectors.tolist()}
    )
    table.write_parquet(folder / name)
    return folder / name


@pytest.fixture
def config(tmp_path: Path, corpus: Corpus) -> Path:
    path = write(tmp_path, corpus)
    section = "[deduplicate]\nthreshold = 0.995\nfloor = 0.99\n"
    return write_config(tmp_path, f'path = "{path}"\nid_column = "id"', EMBED + section)


def latest(config: Path, name: str) -> Any:
    path = config.parent / "runs" / "trial" / "latest" / name
    return json.loads(path.read_bytes()) if name.endswith(".json") else pl.read_parquet(path)


def states(record: Any) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in record["stages"]}


def test_the_output_and_files_of_a_run_and_its_rerun(topicflow: Topicflow, config: Path) -> None:
    said = topicflow("dedup", config)
    assert (said.code, said.errors) == (0, [])
    for words in ("n_duplicates", "The least similar duplicates", "kept at other thresholds", "d0 again"):
        assert words in said.out

    documents, n = latest(config, "documents.parquet"), 135
    assert documents.columns == [
        "doc_id",
        "kept",
        "kept_id",
        "similarity",
        "way",
        "group",
        "text",
        "id",
        "vector",
    ]
    assert documents.height == n
    copies = documents.filter(pl.col("doc_id").is_in(["n132", "n133", "n134"]))
    assert copies["kept"].to_list() == [False] * 3
    assert copies["kept_id"].to_list() == ["n0", "n1", "n2"]
    assert copies["way"].to_list() == ["embedding", "embedding", "text"]
    assert latest(config, "kept.parquet").columns == ["id", "text", "vector"]
    assert latest(config, "kept.parquet").height == documents["kept"].sum()
    groups = latest(config, "groups.parquet")
    assert groups.filter(pl.col("kept"))["group"].is_unique().all()
    assert groups.group_by("group").len()["len"].sum() == groups.height
    metrics = latest(config, "metrics.json")
    assert metrics["n_documents"] == n
    assert metrics["n_kept"] == documents["kept"].sum()
    assert metrics["recall"] == 1.0

    record = topicflow("dedup", config, "--set", "deduplicate.threshold=0.999", "--json").record
    assert states(record) == {
        "load": "cached",
        "embed": "cached",
        "similar_vectors": "cached",
        "deduplicate": "computed",
    }
    shown = topicflow("show", "trial", "--runs", config.parent / "runs")
    assert "similar_vectors" in shown.out
    assert "n_kept" in shown.out
    assert "trial/" in topicflow("runs", "--runs", config.parent / "runs").out


def test_documents_of_another_corpus_are_removed(
    topicflow: Topicflow, config: Path, corpus: Corpus, tmp_path: Path
) -> None:
    rows = pl.read_parquet(tmp_path / "documents.parquet")
    rows[:10].with_columns(id="old" + pl.col("id")).write_parquet(tmp_path / "known.parquet")
    record = topicflow("dedup", config, "--against", tmp_path / "known.parquet", "--json").record
    assert list(states(record)) == [
        "load",
        "load_against",
        "embed",
        "embed_against",
        "similar_vectors",
        "deduplicate",
    ]
    known = latest(config, "against.parquet")
    assert record["metrics"]["n_in_against"] == known.height >= 13
    by_id = {line["doc_id"]: line for line in known.to_dicts()}
    assert by_id["n3"]["against_id"] == "oldn3"
    assert by_id["n3"]["against_text"] == by_id["n3"]["text"]
    documents = latest(config, "documents.parquet")
    assert not documents.filter(pl.col("in_against"))["kept"].any()


def test_words_only_embed_nothing(topicflow: Topicflow, config: Path) -> None:
    method = ["--set", "deduplicate.method=minhash", "--set", "deduplicate.shingle_words=2"]
    record = topicflow("dedup", config, *method, "--json").record
    assert list(states(record)) == ["load", "similar_texts", "deduplicate"]
    assert record["metrics"]["n_duplicates"] >= 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["deduplicate.threshold=1.5"],
            "deduplicate.threshold: input should be less than or equal to 1, found 1.5",
        ),
        (["deduplicate.threshold=0"], "deduplicate.threshold: input should be greater than 0, found 0"),
        (["deduplicate.threshold=0.9"], "threshold=0.9 is below floor=0.99"),
        (["deduplicate.keep=newest"], "needs load.timestamp_column"),
        (["deduplicate.keep=column"], "keep='column' and keep_column belong together"),
        (["deduplicate.treshold=0.9"], "did you mean 'threshold'?"),
    ],
)
def test_a_config_that_cannot_be_is_refused(
    topicflow: Topicflow, config: Path, changes: list[str], said: str
) -> None:
    refused = topicflow("dedup", config, *(word for change in changes for word in ("--set", change)))
    assert refused.code == 2
    assert len(refused.errors) == 1
    assert said in refused.errors[0]


def test_a_topic_model_of_what_is_kept(topicflow: Topicflow, config: Path) -> None:
    section = "[deduplicate]\nthreshold = 0.999\nfloor = 0.99\n"
    text = config.read_text().split("[embed]", maxsplit=1)[0] + QUICK_STAGES + section
    places = config.read_text()[config.read_text().index("[runtime]") :]
    config.write_text(text.replace('"trial"', '"topics"') + places)
    settings = load_config(config, model=TopicModelConfig)
    before = plan_topic_model(settings)
    assert [step.stage for step in before][:6] == [
        "load",
        "embed_all",
        "similar_vectors",
        "deduplicate",
        "keep",
        "embed",
    ]
    assert {step.reason for step in before} == {"first run"}

    record = topicflow("run", config, "--json").record
    assert [stage["stage"] for stage in record["stages"]] == [step.stage for step in before]
    rows = {stage["stage"]: stage["rows"] for stage in record["stages"]}
    assert rows["load"] == rows["embed_all"] == 135
    assert rows["keep"] == rows["embed"] == rows["cluster"] == record["n_documents"] < 135
    assert record["metrics"]["n_duplicates"] == 135 - rows["keep"]
    folder = config.parent / "runs" / "topics" / "latest"
    assert pl.read_parquet(folder / "documents.parquet").height == rows["keep"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    summary = page[page.index('id="summary">') + len('id="summary">') :]
    told = json.loads(summary[: summary.index("</script")])["duplicates"]
    assert (told["n_documents"], told["n_kept"]) == (135, rows["keep"])
    assert told["methods"][0]["threshold"] == 0.999
    assert all(step.is_hit for step in plan_topic_model(settings))
    again = topicflow("run", config, "--json").record
    assert set(states(again).values()) == {"cached"}


def test_the_flows_config_is_the_one_that_the_command_reads(config: Path) -> None:
    assert load_config(config, model=DeduplicateConfig).flow == "deduplicate"
