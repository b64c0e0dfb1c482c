"""Labels: their sources, the messages of refusals, and annotations that do not change when a corpus grows."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save, save_documents
from tests.runs import complete, fail
from topicflow.configs.sections.classify import LabelsConfig
from topicflow.tasks.classify.label_sources import read_labels
from topicflow.tasks.classify.labelled_texts import labelled_texts
from topicflow.tasks.encoding.spaces import check_space, space_of
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

TEXTS = ["red cat", "blue dog", "green cat", "pink dog", "white bird", "red cat"]


def stored(
    store: ArtifactStore, texts: list[str] = TEXTS, encoder: str = "hash", name: str = "planted"
) -> tuple[ArtifactRef, ArtifactRef]:
    """Return documents d0, d1, … and embeddings in which equal texts are equal."""
    documents = save_documents(store, texts, name)
    vectors = np.array(
        [np.random.default_rng(len(t) + sum(map(ord, t))).normal(size=4) for t in texts], np.float32
    )
    meta = {"encoder": encoder, "model": "fake", "truncated_share": 0.0}
    return documents, save(store, "embeddings", {"embeddings": vectors}, meta, f"{name}-{encoder}")


def annotated(store: ArtifactStore, tmp_path: Path, labels: dict[str, str], **config: Any) -> Any:
    path = tmp_path / "labels.csv"
    rows = {"doc_id": list(labels), "label": list(labels.values())}
    pl.DataFrame(rows, schema={"doc_id": pl.String, "label": pl.String}).write_csv(path)
    return labelled_texts.fn(Context(store), *stored(store), LabelsConfig(path=str(path), **config), tmp_path)


GOOD = {"d0": "cat", "d2": "cat", "d1": "dog", "d3": "dog"}


def test_labels_of_a_file(store: ArtifactStore, tmp_path: Path) -> None:
    ref = annotated(store, tmp_path, GOOD | {"d4": " "})
    assert store.json(ref, "names") == ["cat", "dog"]
    texts = store.table(ref, "texts").collect()["text"].to_list()
    assert sorted(texts) == ["blue dog", "green cat", "pink dog", "red cat"]
    classes = store.array(ref, "classes")
    assert [classes[i].tolist() for i, text in enumerate(texts)] == [["cat" in t, "dog" in t] for t in texts]
    _, embeddings = stored(store)
    where = [TEXTS.index(text) for text in texts]
    np.testing.assert_array_equal(store.array(ref, "vectors"), store.array(embeddings, "embeddings")[where])
    assert store.meta(ref)["space"] == {"encoder": "hash", "model": "fake", "dim": 4}


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ({"d0": "cat", "d2": "cat"}, "labels: only one class ('cat'); a classifier needs two"),
        (
            GOOD | {"d4": "bird"},
            "labels: only one example of 'bird'; label another document of each, or remove these classes",
        ),
        (
            GOOD | {"x9": "cat", "x8": "dog"},
            "labels: 2 labels belong to no document: 'x9', 'x8'; check doc_id and load.id_column",
        ),
        (
            GOOD | {"d5": "dog"},
            (
                "labels: 1 texts have different labels: d0: cat / dog; correct them, or set labels.contradictions = "
                '"drop", or labels.separator if a document may have several'
            ),
        ),
    ],
    ids=["one-class", "one-example", "strangers", "contradiction"],
)
def test_labels_that_make_no_classifier(
    store: ArtifactStore, tmp_path: Path, labels: dict[str, str], line: str
) -> None:
    with pytest.raises(DataError) as error:
        annotated(store, tmp_path, labels)
    assert str(error.value) == line


def test_no_labels_at_all(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"labels\.csv: no labels; label some documents of at least two classes"
    ):
        annotated(store, tmp_path, {"d0": ""})
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        labelled_texts.fn(Context(store), *stored(store), LabelsConfig(path="nowhere.csv"), tmp_path)
    (tmp_path / "other.csv").write_text("id,label\nd0,cat\n")
    with pytest.raises(DataError, match=r"other\.csv: no column 'doc_id'; there are: 'id', 'label'"):
        labelled_texts.fn(
            Context(store), *stored(store), LabelsConfig(path=str(tmp_path / "other.csv")), tmp_path
        )


def test_contradictions_may_be_dropped(store: ArtifactStore, tmp_path: Path) -> None:
    ref = annotated(store, tmp_path, GOOD | {"d5": "dog", "d4": "cat"}, contradictions="drop")
    assert "red cat" not in store.table(ref, "texts").collect()["text"]
    assert store.meta(ref)["n_contradictory"] == 1


def test_several_labels(store: ArtifactStore, tmp_path: Path) -> None:
    ref = annotated(
        store, tmp_path, {"d0": "cat; red", "d2": "cat", "d1": "dog", "d3": "dog;red"}, separator=";"
    )
    assert store.json(ref, "names") == ["cat", "dog", "red"]
    assert store.meta(ref)["sizes"] == {"cat": 2, "dog": 2, "red": 2}
    assert store.meta(ref)["multilabel"] is True


def test_a_row_without_labels_has_no_class_if_there_may_be_several(
    store: ArtifactStore, tmp_path: Path
) -> None:
    labels = {"d0": "cat; red", "d2": "cat;;", "d1": "dog", "d3": "dog;red", "d4": " ; ", "d5": "?"}
    ref = annotated(store, tmp_path, labels, separator=";")
    texts = store.table(ref, "texts").collect()["text"].to_list()
    rows = dict(zip(texts, np.asarray(store.array(ref, "classes")).tolist(), strict=True))
    assert rows["white bird"] == [False, False, False]
    assert rows["red cat"] == [True, False, True]  # d5 is the same text, which somebody has yet to look at
    assert store.json(ref, "names") == ["cat", "dog", "red"]
    assert len(texts) == 5


def test_what_a_row_without_labels_means(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    pl.DataFrame({"doc_id": ["d0", "d1", "d2", "d3"], "label": ["a;b", None, "", "?"]}).write_csv(path)
    several = LabelsConfig(path=str(path), separator=";")
    documents = stored(store)[0]
    assert sorted(read_labels(store, documents, several, tmp_path).rows(), key=str) == [
        ("d0", "a"), ("d0", "b"), ("d1", None), ("d2", None),
    ]  # fmt: skip
    assert read_labels(store, documents, LabelsConfig(path=str(path)), tmp_path).rows() == [
        ("d0", "a;b"), ("d3", "?"),
    ]  # fmt: skip
    table = pl.DataFrame({"doc_id": ["a", "b", "c"], "text": ["x", "y", "z"], "label": ["k", None, ""]})
    of_column = save(store, "documents", {"documents": table}, name="column")
    assert read_labels(store, of_column, LabelsConfig(separator=";"), tmp_path).rows() == [
        ("a", "k"),
        ("c", None),
    ]
    pl.DataFrame({"doc_id": ["d0", "d1"], "label": ["", None]}).write_csv(path)
    with pytest.raises(DataError, match="no labels; label some documents"):
        read_labels(store, documents, several, tmp_path)


def test_a_corpus_that_grows_leaves_the_annotations(store: ArtifactStore, tmp_path: Path) -> None:
    first = annotated(store, tmp_path, GOOD)
    config = LabelsConfig(path=str(tmp_path / "labels.csv"))
    again = labelled_texts.fn(
        Context(store), *stored(store, [*TEXTS, "a new text"], name="grown"), config, tmp_path
    )
    assert (again.cached, again) == (True, first)  # a hit: what was trained on it stays one
    other = labelled_texts.fn(Context(store), *stored(store, encoder="other"), config, tmp_path)
    assert other.key != first.key  # another space
    assert annotated(store, tmp_path, GOOD | {"d4": "cat"}).key != first.key


def test_files_are_put_together_and_later_rounds_add(store: ArtifactStore, tmp_path: Path) -> None:
    pl.DataFrame({"doc_id": ["d0", "d1"], "label": ["cat", "dog"]}).write_csv(tmp_path / "a.csv")
    pl.DataFrame({"doc_id": ["d2", "d3"], "label": ["cat", None], "guess": ["dog", "x"]}).write_csv(
        tmp_path / "b.csv"
    )
    config = LabelsConfig(path=(str(tmp_path / "a.csv"), str(tmp_path / "b.csv")))
    found = read_labels(store, stored(store)[0], config, tmp_path)
    assert found.rows() == [("d0", "cat"), ("d1", "dog"), ("d2", "cat")]


def test_labels_of_a_column(store: ArtifactStore, tmp_path: Path) -> None:
    table = pl.DataFrame({"doc_id": ["a", "b"], "text": ["x", "y"], "label": ["cat", None]})
    ref = save(store, "documents", {"documents": table})
    assert read_labels(store, ref, LabelsConfig(), tmp_path).rows() == [("a", "cat")]


def topic_run(folder: Path) -> Path:
    made = folder / "reviews" / "20260101-000000-aaaaaa"
    made.mkdir(parents=True)
    (made / "run.json").write_text(
        '{"run_id": "20260101-000000-aaaaaa", "name": "reviews", "state": "completed"}'
    )
    pl.DataFrame(
        {
            "doc_id": ["d0", "d1", "d2", "d3", "d4"], "topic": [0, 1, 0, 1, -1],
            "probability": [1.0, 0.5, 0.49, 0.9, 0.0], "reassigned": [False, False, False, True, False],
        }
    ).write_parquet(made / "documents.parquet")  # fmt: skip
    return made


def test_labels_of_topics_are_the_published_runs(store: ArtifactStore, tmp_path: Path) -> None:
    topic_run(tmp_path)
    fail(tmp_path, 9, "reviews")
    complete(tmp_path, 8, "reviews", published=False)
    classes = tmp_path / "classes.csv"
    classes.write_text("topic,class\n0,cat\n1,dog\n")
    config = LabelsConfig(run="reviews", topics=str(classes), min_probability=0.5)
    documents = save(store, "documents", {"documents": pl.DataFrame({"doc_id": ["d0"], "text": ["x"]})})
    assert read_labels(store, documents, config, tmp_path).rows() == [("d0", "cat"), ("d1", "dog")]


def test_labels_of_topics(store: ArtifactStore, tmp_path: Path) -> None:
    topic_run(tmp_path)
    (tmp_path / "topics.csv").write_text("topic,size,class\n0,2,cat\n1,2,dog\n")
    config = LabelsConfig(run="reviews", topics=str(tmp_path / "topics.csv"))
    found = read_labels(store, stored(store)[0], config, tmp_path)
    assert found.rows() == [("d0", "cat"), ("d1", "dog")]  # .49 is below .5, and one was reassigned
    (tmp_path / "topics.csv").write_text("topic,class\n7,cat\n")
    with pytest.raises(DataError, match="topic 7 is not in"):
        read_labels(store, stored(store)[0], config, tmp_path)
    with pytest.raises(ConfigError, match="no run nothing"):
        read_labels(store, stored(store)[0], LabelsConfig(run="nothing", topics="t.csv"), tmp_path)


def test_another_space_is_refused(store: ArtifactStore) -> None:
    space = space_of(store, stored(store)[1])
    check_space(space, {**space, "model": "elsewhere"}, "c")  # the same vectors under another name
    for other in ({"encoder": "other"}, {"dim": 5}, {"adapter": "a"}):
        with pytest.raises(ConfigError, match="c: trained on embeddings of fake"):
            check_space(space, {**space, **other}, "c")
