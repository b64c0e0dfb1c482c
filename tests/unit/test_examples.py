"""The examples stage: labels, topics, pairs and triplets become roles, classes, links, or a one-line error."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import save_documents
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import (
    ClassExamples,
    PairExamples,
    SplitExamples,
    TopicExamples,
    TripletExamples,
)
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tuning.examples import (
    ASIDE,
    HELD_OUT,
    TRAINING,
    UNLABELLED,
    VALIDATION,
    draw_roles,
    examples,
    label_documents,
)

TEXTS = [f"text {i}" for i in range(40)]
LABELS = ["x", "y"] * 20


def run(
    store: ArtifactStore, documents: ArtifactRef, config: object, tmp_path: Path, **split: object
) -> ArtifactRef:
    runtime = RuntimeConfig(runs=str(tmp_path / "runs"))
    return examples.fn(Context(store, 3, runtime), documents, config, SplitExamples(**split))


@pytest.fixture
def documents(store: ArtifactStore) -> ArtifactRef:
    return save_documents(store, TEXTS, part=["train"] * 24 + ["dev"] * 6 + ["test"] * 10)


def write(tmp_path: Path, name: str, **columns: list) -> str:
    path = tmp_path / name
    table = pl.DataFrame(columns)
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    return str(path)


def labelled(tmp_path: Path, ids: list[str] | None = None, labels: list[str] | None = None) -> ClassExamples:
    ids = ids if ids is not None else [f"d{i}" for i in range(40)]
    return ClassExamples(path=write(tmp_path, "labels.csv", doc_id=ids, label=labels or LABELS[: len(ids)]))


def test_labels_of_a_file_become_roles_and_classes(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path
) -> None:
    config = labelled(tmp_path, [f"d{i}" for i in range(30)])
    found = run(store, documents, config, tmp_path, held_out=0.4, validation=0.25)
    roles, classes = np.asarray(store.array(found, "roles")), np.asarray(store.array(found, "classes"))
    np.testing.assert_array_equal(classes, [*([0, 1] * 15), *([-1] * 10)])
    # of 15 a class: 6 held out, a quarter of the other 9 (2) validates, 7 train
    for number in (0, 1):
        counts = {
            role: int((roles[classes == number] == role).sum()) for role in (TRAINING, VALIDATION, HELD_OUT)
        }
        assert counts == {TRAINING: 7, VALIDATION: 2, HELD_OUT: 6}
    assert set(roles[classes < 0]) == {UNLABELLED}
    assert store.meta(found) | {"classes": None} == {
        "kind": "classes", "classes": None, "n_contradictory": 0, "n_training": 14, "n_validation": 4,
        "n_held_out": 12, "n_unlabelled": 10, "n_left_aside": 0,
    }  # fmt: skip


def test_the_same_again_is_a_hit_and_other_labels_or_shares_are_not(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path
) -> None:
    made = run(store, documents, labelled(tmp_path), tmp_path)
    again = examples.fn(
        Context(store, 3, RuntimeConfig(runs=str(tmp_path))), documents, labelled(tmp_path), SplitExamples()
    )
    assert (again.cached, again) == (True, made)
    assert run(store, documents, labelled(tmp_path), tmp_path, held_out=0.5) != made
    assert run(store, documents, labelled(tmp_path, labels=["y", *LABELS[1:]]), tmp_path) != made


def test_a_column_may_say_the_roles(store: ArtifactStore, documents: ArtifactRef, tmp_path: Path) -> None:
    found = run(store, documents, labelled(tmp_path), tmp_path, column="part")
    np.testing.assert_array_equal(
        store.array(found, "roles"), [TRAINING] * 24 + [VALIDATION] * 6 + [HELD_OUT] * 10
    )
    with pytest.raises(
        DataError, match=r"split: no column 'prat' \(split.column\); there are: 'text', 'part'"
    ):
        run(store, documents, labelled(tmp_path), tmp_path, column="prat")
    with pytest.raises(
        DataError, match=r"split: column 'text' contains text 0, .*expected train, validation or test$"
    ):
        run(store, documents, labelled(tmp_path), tmp_path, column="text")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.sampled_from("xyz")), min_size=12, max_size=60),
    st.integers(0, 99),
)
def test_no_text_trains_and_measures(drawn: list[tuple[int, str]], seed: int) -> None:
    fixed = [*drawn, *((100 + i, label) for i, label in enumerate("xxyyzz"))]
    texts = np.array([text for text, _ in fixed])
    labels = pl.Series([label if i % 3 else None for i, (_, label) in enumerate(drawn)] + list("xxyyzz"))
    found = label_documents(labels, texts, None, SplitExamples(held_out=0.5), seed)
    measured, trained = (
        set(texts[np.isin(found.roles, roles)]) for roles in ((HELD_OUT,), (TRAINING, UNLABELLED))
    )
    assert not measured & trained
    given_labels = {}
    for text, label in zip(texts, labels, strict=True):
        given_labels.setdefault(int(text), set()).update([] if label is None else [label])
    twice = {text for text, several in given_labels.items() if len(several) > 1}
    assert {int(text) for text in texts[found.contradictory]} == twice
    assert (found.roles[found.contradictory] == ASIDE).all()


def test_a_class_keeps_two_texts_to_train_on() -> None:
    roles = draw_roles(np.arange(3), np.zeros(3, np.int64), SplitExamples(held_out=0.9), 0)
    assert sorted(roles.tolist()) == [TRAINING, TRAINING, HELD_OUT]


def test_topics_of_a_run_are_classes(store: ArtifactStore, documents: ArtifactRef, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "t" / "20260101-000000-aaaaaa"
    folder.mkdir(parents=True)
    topics = [0, 1] * 15 + [-1] * 10
    pl.DataFrame({"doc_id": [f"d{i}" for i in range(40)], "topic": topics}).write_parquet(
        folder / "documents.parquet"
    )
    stages = '[{"stage": "load", "key": "a"}, {"stage": "cluster", "key": "b"}]'
    record = (
        '{"run_id": "20260101-000000-aaaaaa", "name": "t", "flow": "%s", "state": "completed", "stages": %s}'
    )
    (folder / "run.json").write_text(record % ("topic_model", stages))
    found = run(store, documents, TopicExamples(method="topics", run="t"), tmp_path)
    np.testing.assert_array_equal(store.array(found, "classes"), topics)
    (folder / "run.json").write_text(record % ("deduplicate", stages))
    with pytest.raises(
        ConfigError, match=r"examples.run: t/20.* is a run of deduplicate, expected one of topic_model"
    ):
        run(store, documents, TopicExamples(method="topics", run="t"), tmp_path)


def test_pairs_of_ids_or_texts_are_links_whose_members_have_one_role(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path
) -> None:
    a, b = [f"d{i}" for i in range(0, 40, 2)], [f"d{i}" for i in range(1, 40, 2)]
    by_id = PairExamples(
        method="pairs", path=write(tmp_path, "p.parquet", id_a=a, id_b=b, similar=[1, 0] * 10)
    )
    found = run(store, documents, by_id, tmp_path)
    links, rows = np.asarray(store.array(found, "links")), np.asarray(store.array(found, "rows"))
    np.testing.assert_array_equal(np.sort(rows[links], axis=1), np.arange(40).reshape(20, 2))
    roles, of_links = np.asarray(store.array(found, "roles")), np.asarray(store.array(found, "link_roles"))
    np.testing.assert_array_equal(roles[links], np.stack([of_links, of_links], axis=1))
    assert store.array(found, "similar").sum() == 10
    assert store.meta(found)["n_held_out"] == 6  # .3 of twenty pairs that hang together with no other
    by_text = PairExamples(
        method="pairs", path=write(tmp_path, "t.csv", text_a=a, text_b=b, similar=["true", "false"] * 10)
    )
    assert store.table(run(store, documents, by_text, tmp_path), "texts").collect().height == 40


@pytest.mark.parametrize(
    "names",
    [("id_a", "id_b"), ("id_anchor", "id_positive"), ("anchor", "positive"), ("sentence1", "sentence2")],
)
def test_pairs_without_a_label_are_similar_and_keep_their_order(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path, names: tuple[str, str]
) -> None:
    anchors, positives = [f"d{i}" for i in range(39, 9, -1)], [f"d{i % 10}" for i in range(30)]
    given = {
        names[0]: [*anchors, "d0", "d3"],
        names[1]: [*positives, "d39", "d3"],
    }  # one the other way, one alone
    config = PairExamples(method="pairs", path=write(tmp_path, "p.parquet", **given))
    found = run(store, documents, config, tmp_path)
    links = np.asarray(store.array(found, "links"))
    assert np.asarray(store.array(found, "similar")).all()
    assert len(links) == 30
    if names[0].startswith("id_"):
        rows = np.asarray(store.array(found, "rows"))[links]
        items = [[f"d{row}" for row in pair] for pair in rows]
    else:
        texts = store.table(found, "texts").collect()["text"].to_list()
        items = [[texts[item] for item in pair] for pair in links]
    assert items == [list(pair) for pair in zip(anchors, positives, strict=True)]


def test_graded_pairs_keep_their_scores(store: ArtifactStore, documents: ArtifactRef, tmp_path: Path) -> None:
    names, scores = [f"t{i}" for i in range(20)], [float(i % 5) for i in range(20)]
    columns = {
        "text_a": [*names, "t3"],
        "text_b": [f"{n} b" for n in [*names, "t3"]],
        "score": [*scores, 3.0],
    }
    found = run(
        store, documents, PairExamples(method="pairs", path=write(tmp_path, "p.csv", **columns)), tmp_path
    )
    assert np.asarray(store.array(found, "scores")).tolist() == scores
    assert store.meta(found)["graded"] is True
    assert len(store.array(found, "similar")) == 0


def test_triplets_are_links_of_three(store: ArtifactStore, documents: ArtifactRef, tmp_path: Path) -> None:
    ids = [[f"d{i + j}" for i in range(0, 39, 3)] for j in range(3)]
    path = write(tmp_path, "t.parquet", id_anchor=ids[0], id_positive=ids[1], id_negative=ids[2])
    found = run(store, documents, TripletExamples(method="triplets", path=path), tmp_path)
    assert store.array(found, "links").shape == (13, 3)


# --- bad input ---


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        (["d1", "d2"], ["x", "x"], r"examples: one class, 'x'; tuning needs documents of at least two classes$"),
        ([], ["x"], r"examples: no labels; tuning needs"),
        (
            ["d1", "d2", "d3", "d4", "d5", "d6"], ["x", "x", "y", "y", "z", "w"],
            r"examples: 2 classes have a single example: 'w', 'z'; label another document of each",
        ),
        (["d1", "d2", "d77"], ["x", "x", "y"], r"labels\.csv: 1 of 3 ids belong to no document: d77; ids are those of"),
        (
            ["d1", "d1", "d2", "d3", "d4"], ["x", "y", "x", "y", "x"],
            r"contradictory labels of 1 documents: d1 is x and y; keep one label for each$",
        ),
    ],
)  # fmt: skip
def test_bad_labels_are_one_line(
    store: ArtifactStore,
    documents: ArtifactRef,
    tmp_path: Path,
    ids: list[str],
    labels: list[str],
    message: str,
) -> None:
    config = ClassExamples(path=write(tmp_path, "labels.csv", doc_id=ids, label=labels[: len(ids)]))
    with pytest.raises(DataError, match=message):
        run(store, documents, config, tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"id_a": ["d1"], "b": ["d2"]},
            r"expected columns id_a, id_b; text_a, text_b; .*sentence2; there are: id_a, b$",
        ),
        (
            {"id_a": ["d1"], "id_b": ["d2"], "similar": [0]},
            r"no pair is similar; tuning needs similar pairs, too",
        ),
        ({"id_a": ["d1"], "id_b": ["d2"], "score": ["high"]}, r"row 0: score is 'high', expected a number$"),
        (
            {"id_a": ["d1"], "id_b": ["d2"], "score": [float("nan")]},
            r"row 0: score is nan, expected a number$",
        ),
        (
            {"id_a": ["d1", "d1"], "id_b": ["d2", "d3"], "score": [1, 1]},
            r"all scores are equal; remove the column",
        ),
        (
            {"id_a": ["d1", "d2"], "id_b": ["d2", "d1"], "score": [0.1, 0.2]},
            r"contradictory: 1 pairs have two scores: d1 / d2; keep one of each$",
        ),
        ({"id_a": ["d1"], "id_b": ["q"], "similar": [1]}, r"1 of 1 ids belong to no document: q;"),
        (
            {"text_a": ["a", " "], "text_b": ["b", "c"], "similar": [1, 0]},
            r"text_a of row 1 is empty \(1 such rows\)",
        ),
        (
            {"id_a": ["d1"], "id_b": ["d2"], "similar": ["maybe"]},
            r"row 0: similar is 'maybe', expected 1 or 0; use a column score for degrees$",
        ),
        (
            {"id_a": ["d1", "d2"], "id_b": ["d2", "d1"], "similar": [1, 0]},
            r"contradictory: 1 pairs are both similar and not similar: d1 / d2; keep one of each$",
        ),
    ],
)
def test_bad_pairs_are_one_line(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path, columns: dict[str, list], message: str
) -> None:
    config = PairExamples(method="pairs", path=write(tmp_path, "pairs.parquet", **columns))
    with pytest.raises(DataError, match=message):
        run(store, documents, config, tmp_path)


def test_bad_triplets_and_files_are_one_line(
    store: ArtifactStore, documents: ArtifactRef, tmp_path: Path
) -> None:
    members = {"id_anchor": ["d1", "d1"], "id_positive": ["d2", "d3"], "id_negative": ["d3", "d2"]}
    config = TripletExamples(method="triplets", path=write(tmp_path, "t.parquet", **members))
    with pytest.raises(
        DataError, match=r"contradictory: 2 triplets occur in both directions: d1 / d2 / d3, d1 / d3 / d2;"
    ):
        run(store, documents, config, tmp_path)
    with pytest.raises(
        ConfigError, match=r"none\.csv: no such file or directory; examples\.path must name a file$"
    ):
        run(store, documents, ClassExamples(path=str(tmp_path / "none.csv")), tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"x\.txt: expected a \.parquet, \.csv, \.ndjson or \.jsonl file$"):
        run(store, documents, ClassExamples(path=str(tmp_path / "x.txt")), tmp_path)
