"""Publish: the files of a run's folder."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.fakes import Corpus, save, save_documents
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.paths import absolute_paths
from topicflow.configs.read import load_config
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import PrecomputedEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.passages import join_passages
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.topic_folder import publish_run
from topicflow.tasks.report.report_page import RUN_PLACE
from topicflow.tasks.runs.records import RunId, run_folder, write_json
from topicflow.tasks.runs.resolve import published_metrics, resolve
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import Clustered, label


def test_passages_are_joined_by_hand() -> None:
    rows = [
        # document, topic, probability, outlier score, reassigned, x, y
        ("b", 1, 0.5, 0.1, False, 0.0, 0.0),
        ("a", 0, 0.75, 0.0, False, 1.0, 1.0),
        ("b", 2, 0.25, 0.2, False, 4.0, 2.0),
        ("b", 2, 0.5, 0.3, True, 6.0, 4.0),
        ("b", -1, 0.0, 0.8, False, 9.0, 9.0),
        ("c", -1, 0.0, 0.5, False, 1.0, 3.0),
        ("c", -1, 0.0, 1.0, False, 3.0, 5.0),
        ("d", 3, 0.5, 0.0, False, 1.0, 1.0),
        ("d", 1, 0.5, 0.0, False, 2.0, 2.0),
        ("e", -1, 0.0, 1.0, False, 0.0, 0.0),
        ("e", 4, 0.0, 0.0, True, 7.0, 7.0),
        ("f", 2, 0.0, 0.0, True, 5.0, 5.0),
        ("f", 7, 0.0, 0.0, True, 1.0, 1.0),
        ("f", 7, 0.0, 0.0, True, 3.0, 3.0),
    ]
    names = ["doc_id", "topic", "probability", "outlier_score", "reassigned", "x", "y"]
    joined = join_passages(pl.DataFrame(rows, schema=names, orient="row"))
    expected = [
        ("b", 2, 0.75 / 4, 0.35, True, 5.0, 3.0),  # topic 2 has .75 of four passages, topic 1 only .5
        ("a", 0, 0.75, 0.0, False, 1.0, 1.0),
        ("c", -1, 0.0, 0.75, False, 2.0, 4.0),  # none only where no passage has one
        ("d", 1, 0.25, 0.0, False, 2.0, 2.0),  # a tie goes to the larger topic
        ("e", 4, 0.0, 0.5, True, 7.0, 7.0),
        ("f", 7, 0.0, 0.0, True, 2.0, 2.0),  # the topic of most of its passages
    ]
    assert_frame_equal(joined, pl.DataFrame(expected, schema=names, orient="row"))


class Published:
    """The artifacts of a planted run and the folder that `publish_run` writes."""

    def __init__(self, store: ArtifactStore, corpus: Corpus, **columns: list[object]) -> None:
        self.store, self.corpus = store, corpus
        n, documents = len(corpus.texts), save_documents(store, corpus.texts, **columns)
        ones = np.ones(n, np.float32)
        embeddings = save(
            store, "embeddings", {"embeddings": corpus.embeddings}, {"device": "cpu", "chunks": []}
        )
        graph = save(store, "neighbors", {"indices": ones}, {"recall": 1.0})
        labels = save(
            store,
            "labels",
            {
                "labels": corpus.truth, "probabilities": ones / 2, "outlier_scores": ones / 4,
                "reassigned": corpus.truth == 2,
            },
        )  # fmt: skip
        counting, encoding = CountConfig(min_df=1), PrecomputedEmbed(method="precomputed", column="v")
        runtime = RuntimeConfig(store=str(store.root), runs=str(store.root.parent / "runs"))
        counts = count.fn(Context(store, runtime=runtime), documents, counting)
        topics = label.fn(
            Context(store, runtime=runtime),
            Clustered(documents, embeddings, labels, counts),
            LabelConfig(),
            counting,
            encoding,
        )
        reduced = save(store, "reduced", {"reduced": corpus.points})
        metrics = save(store, "metrics", {"metrics": {"n_topics": 3, "npmi": None}})
        recipe = Recipe("report", "reports", 1)
        with store.writing(recipe) as writer:
            writer.path("report.html").write_text(f"<html>{RUN_PLACE}</html>")
        page = store.committed(recipe, writer)
        self.stages: dict[str, ArtifactRef] = {
            "load": documents, "embed": embeddings, "neighbors": graph, "reduce": reduced, "map": reduced,
            "cluster": labels, "count": counts, "label": topics, "evaluate": metrics, "report": page,
        }  # fmt: skip
        self.config = TopicModelConfig(
            name="planted", load={"path": "a.csv"}, embed=encoding, runtime=runtime
        )

    def run(self) -> Path:
        run = RunId.new("planted")
        publish_run(self.store, self.config, self.stages, run)
        return run.folder(self.store.root.parent / "runs")


@pytest.fixture
def published(store: ArtifactStore, corpus: Corpus) -> Published:
    return Published(store, corpus, package=[f"p{t}" for t in corpus.truth])


def test_the_folder_contains_the_documented_files(published: Published) -> None:
    folder = published.run()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.toml", "documents.parquet", "metrics.json", "model", "report.html", "run.json", "topics.csv",
        "topics.parquet",
    ]  # fmt: skip
    assert (folder.parent / "latest").resolve() == folder
    assert load_config(folder / "config.toml") == absolute_paths(published.config, folder)
    assert json.loads((folder / "metrics.json").read_text()) == {"n_topics": 3, "npmi": None, "n_empty": 0}


def test_documents_have_their_topic_and_their_own_columns(published: Published) -> None:
    table = pl.read_parquet(published.run() / "documents.parquet")
    assert table.columns == [
        "doc_id", "topic", "topic_name", "probability", "outlier_score", "reassigned", "x", "y", "text", "package",
    ]  # fmt: skip
    corpus = published.corpus
    assert table["doc_id"].to_list() == [f"d{i}" for i in range(132)]
    assert table["topic"].to_list() == corpus.truth.tolist()
    topics = pl.read_parquet(published.run() / "topics.parquet")
    names = dict(topics.select("topic", "name").iter_rows()) | {-1: "no topic"}
    assert len(set(names.values())) == 4
    assert table["topic_name"].to_list() == [names[topic] for topic in corpus.truth.tolist()]
    assert table["reassigned"].to_list() == (corpus.truth == 2).tolist()
    assert table["text"].to_list() == corpus.texts
    assert table["package"].to_list() == [f"p{t}" for t in corpus.truth]
    np.testing.assert_array_equal(table.select("x", "y").to_numpy(), corpus.points[:, :2])
    assert table["probability"].unique().to_list() == [0.5]
    assert table["outlier_score"].unique().to_list() == [0.25]


def test_topics_are_written_twice_without_places_of_the_store(published: Published) -> None:
    folder = published.run()
    table, flat = pl.read_parquet(folder / "topics.parquet"), pl.read_csv(folder / "topics.csv")
    assert table["topic"].to_list() == flat["topic"].to_list() == [0, 1, 2]
    assert flat["keywords"].to_list() == [", ".join(words) for words in table["keywords"]]
    assert "centroid" not in table.columns
    assert str(published.store.root) not in (folder / "topics.csv").read_text()


def test_the_record_lists_each_stage(published: Published) -> None:
    folder = published.run()
    record = json.loads((folder / "run.json").read_text())
    assert [stage["stage"] for stage in record["stages"]] == list(published.stages)
    for stage in record["stages"]:
        ref = published.stages[stage["stage"]]
        assert (stage["kind"], stage["key"], stage["state"]) == (ref.kind, ref.key, "computed")
        assert stage["recipe"]["config"] == published.store.manifest(ref.kind, ref.key)["recipe"]["config"]
    assert (record["n_documents"], record["n_topics"], record["state"]) == (132, 3, "completed")
    assert "chunks" not in record["embedding"]
    assert resolve(folder.parent.parent)["run_id"] == record["run_id"]
    assert record["run_id"] in (folder / "report.html").read_text()


def test_own_columns_whose_names_are_taken_get_another(store: ArtifactStore, corpus: Corpus) -> None:
    n = len(corpus.texts)
    own = {"topic": ["mine"] * n, "topic_input": ["too"] * n, "x": [9] * n, "doc_id": [7] * n}
    table = pl.read_parquet(Published(store, corpus, **own).run() / "documents.parquet")
    assert table.columns[9:] == ["topic_input_input", "topic_input", "x_input", "doc_id_input"]
    assert table["topic"].to_list() == corpus.truth.tolist()
    assert table["topic_input_input"].to_list() == ["mine"] * n
    assert table["topic_input"].to_list() == ["too"] * n
    assert table["doc_id_input"].to_list() == [7] * n


def test_ids_from_the_input_are_not_repeated(store: ArtifactStore, corpus: Corpus) -> None:
    ids = [f"d{i}" for i in range(len(corpus.texts))]
    table = pl.read_parquet(Published(store, corpus, doc_id=ids).run() / "documents.parquet")
    assert table.columns == [
        "doc_id", "topic", "topic_name", "probability", "outlier_score", "reassigned", "x", "y", "text",
    ]  # fmt: skip


def test_columns_that_ids_and_texts_are_read_from_are_not_repeated(
    store: ArtifactStore, corpus: Corpus
) -> None:
    ids = [f"d{i}" for i in range(len(corpus.texts))]
    made = Published(store, corpus, key=ids, review=corpus.texts, other=corpus.texts)
    reading = {"path": "a.csv", "id_column": "key", "text_column": "review"}
    made.config = made.config.model_copy(update={"load": LoadConfig.model_validate(reading)})
    assert pl.read_parquet(made.run() / "documents.parquet").columns[-2:] == ["text", "other"]
    changed = made.config.load.model_copy(update={"text_column": ("review", "other"), "id_column": None})
    made.config = made.config.model_copy(update={"load": changed})
    assert pl.read_parquet(made.run() / "documents.parquet").columns[-4:] == [
        "text",
        "key",
        "review",
        "other",
    ]


def test_an_own_column_named_topic_name_is_kept(store: ArtifactStore, corpus: Corpus) -> None:
    n = len(corpus.texts)
    table = pl.read_parquet(Published(store, corpus, topic_name=["mine"] * n).run() / "documents.parquet")
    assert table["topic_name_input"].to_list() == ["mine"] * n
    assert "mine" not in table["topic_name"].to_list()


def test_a_run_that_cannot_be_written_leaves_latest_where_it_was(published: Published) -> None:
    folder = published.run()
    without_place = Recipe("report", "reports", 2)
    with published.store.writing(without_place) as writer:
        writer.path("report.html").write_text("<html></html>")
    published.stages["report"] = published.store.committed(without_place, writer)
    with pytest.raises(ArtifactError, match="report: the page has no place"):
        published.run()
    assert (folder.parent / "latest").resolve() == folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, "latest"]


# --- gates ---


def test_a_run_that_a_gate_holds_back_is_kept_and_latest_stays(published: Published) -> None:
    first = published.run()
    assert "published" not in json.loads((first / "run.json").read_text())
    runs, verdict = first.parents[1], {"checks": [{"gate": "max_topics"}], "failed": ["max_topics = 2: …"]}
    published.stages["gate"] = save(published.store, "verdicts", {"verdict": verdict})
    held = published.run()
    record = json.loads((held / "run.json").read_text())
    assert (record["published"], record["gates"], record["n_topics"]) == (False, verdict, 3)
    assert (held / "report.html").read_text().count(verdict["failed"][0]) == 1
    assert (runs / "planted/latest").resolve() == first.resolve()
    assert resolve(runs, "planted/latest")["run_id"] == resolve(runs, "planted")["run_id"] == first.name
    assert resolve(runs, held.name)["run_id"] == held.name
    assert published_metrics(runs, "planted") == record["metrics"]  # the first run's, which are equal

    published.stages["gate"] = save(
        published.store, "verdicts", {"verdict": {**verdict, "failed": []}}, name="passed"
    )
    passed = published.run()
    assert (runs / "planted/latest").resolve() == passed.resolve()


def test_figures_are_those_of_the_last_run_that_was_not_held_back(tmp_path: Path) -> None:
    assert published_metrics(tmp_path, "a") is None
    for number, (state, said) in enumerate(
        [
            ("completed", {}),
            ("completed", {"published": True}),
            ("completed", {"published": False}),
            ("failed", {}),
        ]
    ):
        run = RunId("a", f"20260101-00000{number}-abcdef", datetime.now(UTC))
        with run_folder(tmp_path, run) as folder:
            record = {
                "run_id": run.run_id,
                "name": "a",
                "state": state,
                "metrics": {"n_topics": number},
                **said,
            }
            write_json(folder / "run.json", record)
    assert published_metrics(tmp_path, "a") == {"n_topics": 1}
