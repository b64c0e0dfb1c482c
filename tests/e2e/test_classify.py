"""`topicflow classify` as a user types it: label a few, learn, predict, label the suggestions, continue."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.commands import QUICK_STAGES, Outcome
from tests.fakes import Corpus

Topicflow = Callable[..., Outcome]
NAMES = np.array(["animals", "colours", "drinks", ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """A folder with a corpus, 24 labels of it, and a config; the tests follow each other in it."""
    made = tmp_path_factory.mktemp("classes")
    ids = [f"d{i}" for i in range(len(corpus.texts))]
    table = pl.DataFrame({"id": ids, "text": corpus.texts, "vector": corpus.embeddings.tolist()})
    table.write_parquet(made / "documents.parquet")
    rows = np.flatnonzero(corpus.truth >= 0)[:24]
    labels = {"doc_id": [ids[row] for row in rows], "label": NAMES[corpus.truth[rows]].tolist()}
    pl.DataFrame(labels).write_csv(made / "labels.csv")
    (made / "classes.toml").write_text(
        'name = "kinds"\n[load]\npath = "documents.parquet"\nid_column = "id"\n'
        '[embed]\nmethod = "precomputed"\ncolumn = "vector"\n[labels]\npath = "labels.csv"\n[setfit]\nenabled = false\n'
    )
    (made / "topics.toml").write_text(
        f'name = "topics"\n[load]\npath = "documents.parquet"\nid_column = "id"\n{QUICK_STAGES}'
    )
    return made


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_learn_and_predict(topicflow: Topicflow, folder: Path, corpus: Corpus) -> None:
    outcome = topicflow("classify", "classes.toml", "--suggest", 6)
    assert (outcome.code, outcome.errors) == (0, [])
    assert "3 classes from 24 labelled texts" in outcome.out
    assert "most worth a label" in outcome.out
    latest = folder / "runs/kinds/latest"
    assert {path.name for path in latest.iterdir()} == {
        "predictions.parquet", "suggestions.csv", "scores.csv", "metrics.json", "run.json", "config.toml", "classifier",
        "run.log",
    }  # fmt: skip
    predictions = pl.read_parquet(latest / "predictions.parquet")
    known = corpus.truth >= 0
    assert (predictions["likeliest"].to_numpy()[known] == NAMES[corpus.truth[known]]).mean() > 0.95
    sure = predictions["probability"].to_numpy() >= 0.5
    assert (predictions["class"].is_not_null().to_numpy() == sure).all()
    suggested = pl.read_csv(latest / "suggestions.csv")
    assert suggested.height == 6
    assert suggested["label"].null_count() == 6
    assert set(suggested["doc_id"]) & set(pl.read_csv("labels.csv")["doc_id"]) == set()
    card = (latest / "classifier/README.md").read_text()
    assert "| animals |" in card
    assert "probe" in card
    shown = topicflow("show", "kinds")
    assert (shown.code, shown.errors) == (0, [])
    assert "3 classes from 24 labelled texts" in shown.out


def test_the_loop_continues_and_a_rerun_is_all_hits(
    topicflow: Topicflow, folder: Path, corpus: Corpus
) -> None:
    again = topicflow("classify", "classes.toml", "--suggest", 6, "--json").record
    assert {stage["state"] for stage in again["stages"]} == {"cached"}
    suggested = pl.read_csv(folder / "runs/kinds/latest/suggestions.csv", infer_schema=False)
    truth = corpus.truth[[int(doc_id[1:]) for doc_id in suggested["doc_id"]]]
    suggested.with_columns(label=pl.Series(NAMES[truth])).write_csv("round2.csv")
    more = topicflow(
        "classify", "classes.toml", "--set", 'labels.path=["labels.csv", "round2.csv"]', "--json"
    ).record
    assert more["metrics"]["n_examples"] == 24 + int((truth >= 0).sum())
    states = {stage["stage"]: stage["state"] for stage in more["stages"]}
    assert [stage for stage, state in states.items() if state == "cached"][:2] == ["load", "embed"]


def test_classes_as_topics_and_topics_as_classes(topicflow: Topicflow, folder: Path) -> None:
    classes = ["--set", "cluster.method=classes", "--set", "cluster.classifier=runs/kinds/latest"]
    planned = topicflow("plan", "topics.toml", *classes)
    assert (planned.code, planned.errors) == (0, [])
    outcome = topicflow("run", "topics.toml", *classes, "--json")
    assert (outcome.code, outcome.errors) == (0, [])
    latest = folder / "runs/topics/latest"
    topics = pl.read_parquet(latest / "topics.parquet")
    assert set(topics["name"]) == {"animals", "colours", "drinks"}
    predictions = pl.read_parquet(folder / "runs/kinds/latest/predictions.parquet")
    documents = pl.read_parquet(latest / "documents.parquet")
    names = dict(topics.select("topic", "name").iter_rows())
    assert [names.get(topic) for topic in documents["topic"]] == predictions["class"].to_list()

    topics.select("topic", pl.col("name").alias("class")).head(2).write_csv("topic_classes.csv")
    (folder / "seeded.toml").write_text(
        (folder / "classes.toml").read_text().replace('"kinds"', '"seeded"').replace(
            'path = "labels.csv"', 'run = "topics"\ntopics = "topic_classes.csv"'
        )
    )  # fmt: skip
    seeded = topicflow("classify", "seeded.toml", "--json")
    assert (seeded.code, seeded.errors) == (0, [])
    assert seeded.record["metrics"]["n_classes"] == 2
    assert seeded.record["metrics"]["n_examples"] == topics["size"][:2].sum()


def test_columns_beside_the_vectors(topicflow: Topicflow, folder: Path) -> None:
    table = pl.read_parquet("documents.parquet").with_columns(
        size=pl.int_range(pl.len()).cast(pl.Float64), shop=pl.lit("a"), other=pl.lit("b")
    )
    odd = pl.when(pl.col("id") == table["id"][-1]).then(pl.lit("zoo")).otherwise(pl.col("shop"))
    table.with_columns(shop=odd).write_parquet("with_columns.parquet")
    own = [
        "name=beside", "load.path=with_columns.parquet", 'features.numeric=["size"]', 'features.categorical=["shop"]',
    ]  # fmt: skip
    outcome = topicflow("classify", "classes.toml", *(word for each in own for word in ("--set", each)))
    assert (outcome.code, outcome.errors) == (0, [])
    assert "The features' gain in macro_f1 beside the vectors of the probe is" in outcome.out
    assert "unknown categories in shop: 1 of 132 documents; no labelled document has them" in outcome.out
    latest = folder / "runs/beside/latest"
    scores = pl.read_csv(latest / "scores.csv")
    assert scores["method"].to_list() == ["probe", "probe without features"] * 5
    record = json.loads((latest / "run.json").read_text())
    assert {"probe_accuracy", "probe_without_features_accuracy"} <= record["metrics"].keys()
    card = (latest / "classifier/README.md").read_text()
    assert "It also reads the columns `size`, `shop` (1 categories)" in card
    assert "classifier.probabilities(vectors, table)" in card
    classes = ["--set", "cluster.method=classes", "--set", "cluster.classifier=runs/beside/latest"]
    refused = topicflow("plan", "topics.toml", *classes)
    assert refused.code == 2
    assert "reads the columns size, shop beside the vectors" in f"{refused.out}{refused.err}"


@pytest.mark.slow  # test_classifiers.py trains SetFit, and embeds and predicts with it
def test_setfit_through_the_flow(topicflow: Topicflow, folder: Path, tiny: Path) -> None:
    changes = [
        "name=tuned", "embed.method=sentence-transformers", f'embed.model="{tiny}"', "setfit.enabled=true",
        "setfit.n_steps=2", "compare.n_splits=2", "predict.method=setfit",
    ]  # fmt: skip
    note = (
        "note: 132 of 132 documents are longer than the 16 tokens that the encoder reads; the rest of them is not in "
        "the vectors. To use all of the text, take an encoder that reads more."
    )
    words = [word for change in changes for word in ("--set", change)]
    outcome = topicflow("classify", "classes.toml", *words, "--export-setfit", "exported")
    assert (outcome.code, outcome.errors) == (0, [note]), outcome.err
    assert "SetFit's gain in macro_f1 over the probe is" in outcome.out
    assert "its head is a pickle, as SetFit writes it" in outcome.out
    record = json.loads((folder / "runs/tuned/latest/run.json").read_text())
    assert [stage["stage"] for stage in record["stages"]] == [
        "load", "embed", "labelled_texts", "compare_methods", "train", "embed_again", "predict",
    ]  # fmt: skip
    assert (folder / "runs/tuned/latest/classifier/body/model.safetensors").exists()
    assert (folder / "exported/config_setfit.json").exists()
    # a topic model in another space refuses the classifier; in the body's own it takes it
    classes = ["--set", "cluster.method=classes", "--set", "cluster.classifier=runs/tuned/latest"]
    refused = topicflow("run", "topics.toml", *classes)
    assert refused.code == 2
    assert "trained on embeddings of SetFit body of" in f"{refused.out}{refused.err}"
    own = ["embed.method=sentence-transformers", "embed.model=runs/tuned/latest/classifier/body"]
    taken = topicflow(
        "run", "topics.toml", *classes, *(w for change in own for w in ("--set", change)), "--json"
    )
    note = note.replace("take an encoder that reads more", "set load.split to model passages")
    assert (taken.code, taken.errors) == (0, [note])


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        (["setfit.enabled=true"], 2, "set setfit.enabled = false to train only the probe"),
        (["labels.run=topics"], 2, "set path or run, not both"),
        (["load.split.max_words=50"], 2, "a classifier learns from whole documents"),
        (["predict.method=setfit"], 2, "predict.method='setfit' needs setfit.enabled = true"),
        (["labels.path=/nowhere.csv"], 1, "labels: /nowhere.csv: cannot be read"),
        (["name=topics"], 2, "contains runs of topic_model; give this config another name"),
        (
            ["embed.method=sentence-transformers", "embed.model=no/such"],
            2,
            "neither a folder here nor reachable",
        ),
    ],
)
def test_bad_input_is_one_line(topicflow: Topicflow, changes: list[str], code: int, said: str) -> None:
    outcome = topicflow(
        "classify", "classes.toml", *(word for change in changes for word in ("--set", change))
    )
    assert outcome.code == code
    (line,) = outcome.errors
    assert said in line
    assert "Traceback" not in outcome.err
