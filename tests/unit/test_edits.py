"""Edits: each action by hand values, how topics are found again, and the file that keeps the edits."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import save, save_documents
from topicflow.tasks.core.clusters.clustering import number_by_size
from topicflow.tasks.edits.actions import Outcome, Splitting, apply_edits, named_documents
from topicflow.tasks.edits.edit import Editable, described, edit, final_numbers
from topicflow.tasks.edits.edits_file import (
    Edit,
    parse_edits,
    read_edits,
    with_edit,
    without_edit,
    write_text,
)
from topicflow.tasks.edits.recipes import edit as edit_recipe
from topicflow.tasks.edits.shape import Shape
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, -1]
AXES = np.eye(4, dtype=np.float32)
WORDS = {0: ("cat", "dog"), 1: ("tea", "milk"), 2: ("red", "blue")}


def shape(labels: list[int] | None = None) -> Shape:
    """Return ten documents d0 to d9 of three topics, each at its axis; d9 has none and lies between 0 and 1."""
    own = np.array(LABELS if labels is None else labels, np.int32)
    vectors = np.stack([AXES[label] for label in LABELS[:9]] + [(AXES[0] + AXES[1]) / np.sqrt(2)])
    return Shape(
        embeddings=vectors.astype(np.float32),
        labels=own.copy(),
        probabilities=np.where(own < 0, 0, 0.5).astype(np.float32),
        reassigned=np.zeros(10, bool),
        keywords=dict(WORDS),
        rows={f"d{row}": np.array([row], np.int64) for row in range(10)},
    )


def topic(number: int, documents: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Return how an edit names a topic: by all documents of LABELS, unless others are given."""
    own = [f"d{row}" for row in range(10) if LABELS[row] == number] if documents is None else documents
    return {"id": number, "documents": own, "keywords": list(WORDS.get(number, ())), **more}


def asked(action: str, *topics: dict[str, Any], **more: Any) -> Edit:
    return Edit(action=action, topics=topics, run="r/1", **more)


def applied(shaped: Shape, *edits: Edit) -> list[Outcome]:
    return apply_edits(shaped, edits, Splitting(0, 1))


# --- actions ---


def test_a_merge_gives_all_documents_to_the_first_topic() -> None:
    shaped = shape()
    (outcome,) = applied(shaped, asked("merge", topic(2), topic(0)))
    assert shaped.labels.tolist() == [2, 2, 2, 2, 1, 1, 1, 2, 2, -1]
    assert outcome.topics == (2,)
    assert (outcome.is_applied, outcome.problem) == (True, "")
    assert shaped.keywords[2] == ("red", "blue", "cat", "dog")


def test_a_merged_topic_keeps_the_name_that_a_person_gave() -> None:
    shaped = shape()
    applied(shaped, asked("rename", topic(2), name="Colours"), asked("merge", topic(0), topic(2)))
    assert shaped.names == {0: "Colours"}
    assert shaped.by_person == {0}


def test_a_rename_changes_only_the_name() -> None:
    shaped = shape()
    applied(shaped, asked("rename", topic(1), name=" Hot   drinks "))
    assert shaped.names == {1: "Hot drinks"}
    assert shaped.labels.tolist() == LABELS


def test_deleted_documents_become_outliers() -> None:
    shaped = shape()
    applied(shaped, asked("delete", topic(0), topic(2)))
    assert shaped.labels.tolist() == [-1, -1, -1, -1, 1, 1, 1, -1, -1, -1]
    assert shaped.probabilities.tolist() == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0, 0, 0]


def test_deleted_documents_go_to_the_nearest_other_topic() -> None:
    shaped = shape()
    shaped.embeddings[0] = 0.6 * AXES[1] + 0.8 * AXES[2]
    applied(shaped, asked("delete", topic(0), to="next"))
    assert shaped.labels[0] == 2
    assert shaped.probabilities[0] == pytest.approx(0.8)
    assert shaped.reassigned[:4].all()
    assert (shaped.labels == 0).sum() == 0


def test_the_last_topic_has_no_next_one() -> None:
    shaped = shape([0] * 10)
    applied(shaped, asked("delete", topic(0, ["d1"]), to="next"))
    assert (shaped.labels == -1).all()


def test_a_split_cuts_a_topic_where_its_documents_differ() -> None:
    shaped = shape([0] * 9 + [-1])
    shaped.names, shaped.by_person = {0: "All"}, {0}
    (outcome,) = applied(shaped, asked("split", topic(0, ["d0", "d4", "d7"]), into=3))
    assert shaped.labels.tolist() == [0, 0, 0, 0, 3, 3, 3, 4, 4, -1]  # the largest part keeps the number
    assert outcome.topics == (0, 3, 4)
    assert shaped.names == {}


def test_a_split_into_more_parts_than_different_documents_is_not_applied() -> None:
    shaped = shape()
    (outcome,) = applied(shaped, asked("split", topic(0), into=2))
    assert outcome.problem == "topic 0 has 1 different documents, fewer than 2 parts"
    assert not outcome.is_applied
    assert shaped.labels.tolist() == LABELS


def test_moved_documents_belong_to_the_topic_with_certainty() -> None:
    shaped = shape()
    outcomes = applied(
        shaped,
        asked("move", topic(2), documents=["d9", "d0"]),
        asked("move", topic(1), documents=["x", "d3"]),
    )
    assert shaped.labels.tolist() == [2, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert shaped.probabilities[[0, 3, 9]].tolist() == [1, 1, 1]
    assert [each.problem for each in outcomes] == ["", "document x is not there"]


def test_a_pinned_topic_keeps_its_name_and_documents() -> None:
    shaped = shape([0, 0, 0, 1, 1, 1, 1, 2, 2, -1])  # d3 went to another topic
    applied(shaped, asked("pin", topic(0), name="Pets"))
    assert shaped.labels.tolist() == LABELS
    assert shaped.names == {0: "Pets"}


def test_a_pinned_topic_that_is_gone_is_made_again() -> None:
    shaped = shape([0, 0, 0, 0, 1, 1, 1, -1, -1, -1])
    shaped.keywords = {0: ("cat", "dog"), 1: ("tea", "milk")}
    (outcome,) = applied(shaped, asked("pin", topic(2), name="Colours"))
    assert shaped.labels.tolist() == LABELS
    assert outcome.topics == (2,)
    assert shaped.names == {2: "Colours"}


def test_edits_are_applied_in_order() -> None:
    """Two topics are one after the merge, so a later rename of either names both; before it, only one."""
    merge, rename = asked("merge", topic(0), topic(1)), asked("rename", topic(1), name="B")
    first, second = shape(), shape()
    applied(first, merge, rename)
    applied(second, rename, merge)
    assert first.names == second.names == {0: "B"}
    third = shape()
    applied(third, asked("delete", topic(1)), merge)
    assert third.labels.tolist() == [0, 0, 0, 0, -1, -1, -1, 2, 2, -1]


def test_a_merge_of_topics_that_are_one_already_changes_nothing() -> None:
    shaped = shape()
    (_, again) = applied(shaped, *2 * [asked("merge", topic(0), topic(1))])
    assert again.is_applied
    assert (shaped.labels == 0).sum() == 7


def test_a_merge_without_one_of_its_topics_says_so() -> None:
    shaped = shape()
    gone = topic(7, ["x1", "x2"], keywords=["old"])
    (outcome,) = applied(shaped, asked("merge", topic(0), topic(1), gone))
    assert (shaped.labels == 0).sum() == 7
    assert outcome.problem == (
        "topic 7 is not found: none of its documents is there, and no topic has its keywords (old)"
    )
    (alone,) = applied(shaped, asked("merge", topic(0), gone))
    assert not alone.is_applied


SOME_TOPICS = st.integers(0, 2).map(topic)
SOME_EDITS = st.lists(
    st.one_of(
        st.tuples(SOME_TOPICS, SOME_TOPICS).map(lambda two: asked("merge", *two)),
        st.tuples(SOME_TOPICS, st.sampled_from(["outliers", "next"])).map(
            lambda how: asked("delete", how[0], to=how[1])
        ),
        SOME_TOPICS.map(lambda one: asked("rename", one, name=f"N{one['id']}")),
        SOME_TOPICS.map(lambda one: asked("pin", one, name=f"P{one['id']}")),
        st.tuples(SOME_TOPICS, st.integers(0, 9)).map(
            lambda move: asked("move", move[0], documents=[f"d{move[1]}"])
        ),
    ),
    max_size=6,
)


@given(SOME_EDITS)
@settings(max_examples=60, deadline=None)
def test_any_edits_leave_topics_that_later_stages_can_take(edits: list[Edit]) -> None:
    shaped = shape()
    before = shaped.labels.copy()
    outcomes = applied(shaped, *edits)
    numbers = final_numbers(before, shaped.labels)
    labels = np.append(numbers, -1)[shaped.labels]
    assert labels.tolist() == number_by_size(shaped.labels).tolist()
    told = described(shaped, numbers, outcomes)
    n_topics = int(labels.max()) + 1
    assert sorted(set(labels.tolist()) - {-1}) == list(range(n_topics))
    assert len(told["names"]) == n_topics
    assert set(told["named_by_person"]) <= {number for number, name in enumerate(told["names"]) if name}
    assert all(bool(each.problem) or each.is_applied for each in outcomes)
    assert ((shaped.probabilities >= 0) & (shaped.probabilities <= 1)).all()
    assert {topic for each in told["edits"] for topic in each["topics"]} <= set(range(n_topics))


# --- finding topics ---


def test_a_topic_is_found_by_its_documents_whatever_its_number() -> None:
    shaped = shape([2, 2, 2, 2, 0, 0, 0, 1, 1, -1])
    shaped.keywords = {}
    assert [shaped.find(asked("pin", topic(number)).topics[0]) for number in range(3)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        (["d0", "d1", "d4", "d7"], 0),  # half of them are enough
        (["d0", "d1", "d2", "d9"], 0),
        (["d0", "d1", "d2", "gone", "gone2"], 0),
        (["d4"], 1),
    ],
)
def test_half_of_the_named_documents_decide(documents: list[str], found: int) -> None:
    assert shape().find(asked("pin", topic(9, documents)).topics[0]) == found


def test_documents_without_a_topic_are_no_sign_of_another_topic() -> None:
    """A deleted topic whose documents are outliers after a refit must not take its neighbour with it."""
    named = asked("pin", topic(0, ["d0", "d9", "d8", "d7"])).topics[0]
    shaped = shape([0, 0, 0, 0, 1, 1, 1, -1, -1, -1])
    assert shaped.find(named) == "3 of its 4 named documents have no topic now"


def test_spread_documents_are_found_by_the_nearest_centroid() -> None:
    shaped = shape([0, 0, 0, 3, 1, 1, 1, 2, 2, 3])
    shaped.embeddings[7:9] = AXES[3]
    near = asked("pin", topic(0, ["d3", "d0", "d4"], keywords=[])).topics[0]
    assert (
        shaped.find(near) == 3
    )  # d3 and d9 lie at axis 0 and between 0 and 1, as the mean of the three does
    far = asked("pin", topic(0, ["d0", "d4", "d7"], keywords=[])).topics[0]
    assert (
        shaped.find(far)
        == "its documents are in several topics, and no topic has its keywords (none are named)"
    )


@pytest.mark.parametrize(
    ("keywords", "found"),
    [
        (["milk", "water"], 1),
        (["milk", "water", "juice"], None),
        (["cat", "tea"], None),
        (["blue", "red"], 2),
    ],
)
def test_without_documents_half_of_the_keywords_decide(keywords: list[str], found: int | None) -> None:
    told = shape().find(asked("pin", {"id": 5, "documents": ["x", "y"], "keywords": keywords}).topics[0])
    assert told == found if found is not None else isinstance(told, str)


# --- the stage ---


def artifacts(store: ArtifactStore, **of_labels: Any) -> Editable:
    """Return the artifacts of the documents of `shape`."""
    own = shape()
    table = pl.DataFrame({"topic": [0, 1, 2], "keywords": [list(words) for words in WORDS.values()]})
    arrays = {
        "labels": own.labels, "probabilities": own.probabilities, "reassigned": own.reassigned,
        "outlier_scores": np.linspace(0, 1, 10, dtype=np.float32), "stability": np.ones(10, np.float32),
    }  # fmt: skip
    meta = {"n_topics": 3, "outlier_share": 0.1, "outlier_share_before": 0.2, **of_labels}
    return Editable(
        save_documents(store, [f"text {i}" for i in range(10)]),
        save(store, "embeddings", {"embeddings": own.embeddings}),
        save(store, "labels", arrays, meta),
        save(store, "topics", {"topics": table}),
    )


def run(store: ArtifactStore, editable: Editable, *edits: Edit) -> Any:
    return edit.fn(Context(store), editable, edits)


def test_the_stage_gives_what_the_stage_cluster_gives(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    editable = artifacts(store)
    edits = (asked("merge", topic(1), topic(2)), asked("rename", topic(2), name="Both"))
    ref = run(store, editable, *edits)
    assert ref.kind == "labels"
    assert store.array(ref, "labels").tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, -1]  # numbered by size
    assert store.array(ref, "stability").tolist() == [1.0] * 10
    meta = store.meta(ref)
    assert (meta["n_topics"], meta["outlier_share"], meta["outlier_share_before"]) == (2, 0.1, 0.2)
    assert meta["names"] == ["Both", None]
    assert meta["named_by_person"] == [0]
    assert [(each["edit"], each["applied"], each["topics"]) for each in meta["edits"]] == [
        ("merge 1 2", True, [0]), ('rename 2 "Both"', True, [0]),
    ]  # fmt: skip
    assert ref.key == edit_recipe(edits, editable.keys, 0).key
    assert run(store, editable, *edits).cached


def test_names_of_classes_stay(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    ref = run(
        store, artifacts(store, names=["pets", "drinks", "colours"]), asked("merge", topic(1), topic(2))
    )
    assert store.meta(ref)["names"] == ["drinks", "pets"]
    assert store.meta(ref)["named_by_person"] == []


def test_all_passages_of_a_document_move(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    own = artifacts(store)
    table = store.table(own.documents, "documents").collect()
    parents = pl.Series("parent", [f"p{i // 2}" for i in range(10)])
    passages = save(
        store, "documents", {"documents": table.with_columns(parents)}, {"has_passages": True}, "passages"
    )
    move = asked("move", topic(0, ["p0", "p1"]), documents=["p2"])
    ref = run(store, Editable(passages, own.embeddings, own.labels, own.topics), move)
    assert store.array(ref, "labels").tolist() == [0, 0, 0, 0, 0, 0, 2, 1, 1, -1]


def test_the_key_depends_on_what_edits_ask_and_on_their_order() -> None:
    inputs = {"labels": "a"}
    one, two = asked("rename", topic(0), name="A"), asked("rename", topic(1), name="B")
    keys = {edit_recipe(each, inputs, 0).key for each in ([one], [two], [one, two], [two, one])}
    assert len(keys) == 4
    other_run = one.model_copy(update={"run": "r/2"})
    assert edit_recipe([other_run], inputs, 0).key == edit_recipe([one], inputs, 1).key
    split = asked("split", topic(0), into=2)
    assert edit_recipe([split], inputs, 0).key != edit_recipe([split], inputs, 1).key


# --- the file ---

NASTY = '"]]\n[[edit]]\u202e</script><img src=x> {0} % \\ \x1b[31m'


def test_a_file_keeps_what_is_there(tmp_path: Path) -> None:
    path, before = (
        tmp_path / "topics_edits.toml",
        '# mine\n[[edit]]\naction = "delete"\ntopics = [{keywords = ["a"]}]\n',
    )
    made = asked("merge", topic(0), topic(1))
    write_text(path, with_edit(before, made, str(path)))
    text = path.read_text()
    assert text.startswith(before)
    assert read_edits(path)[1] == made
    assert without_edit(text, 2, "f").strip() == before.strip()
    assert without_edit(text, 1, "f").startswith('# mine\n[[edit]]\naction = "merge"')
    assert [each.name for each in tmp_path.iterdir()] == ["topics_edits.toml"]


def test_hostile_names_and_ids_are_only_text(tmp_path: Path) -> None:
    name = " ".join(NASTY.split()).replace("\x1b", "").replace("\u202e", "")
    made = asked("move", topic(0, [NASTY], keywords=[NASTY]), documents=[NASTY])
    text = with_edit(with_edit("", made, "f"), asked("rename", topic(1), name=name), "f")
    assert parse_edits(text, "f")[0] == made
    assert parse_edits(text, "f")[1].name == name
    assert len(parse_edits(without_edit(text, 1, "f"), "f")) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b", "\x1b[31mred", "\u202eevil"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"rename needs the key name|a name has 1 to 200 characters"):
        asked("rename", topic(0), name=name)


def test_ids_may_be_written_as_numbers() -> None:
    (found,) = parse_edits('[[edit]]\naction="move"\nrun="r/1"\ndocuments=[17]\ntopics=[3]', "f")
    assert found.documents == ("17",)
    assert found.topics[0].id == 3
    assert str(found) == "move 17 3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[edit", "not valid TOML"),
        ("edits = []", "found the key 'edits'"),
        ("edit = 3", "edit is not a list"),
        (
            '[[edit]]\naction = "merge"\ntopics = [{keywords = ["a"]}]',
            "edit 1: merge needs two or more topics",
        ),
        (
            '[[edit]]\naction = "glue"\ntopics = [{keywords = ["a"]}]',
            "edit 1: action: input should be 'merge',",
        ),
        ('[[edit]]\naction = "delete"\ntopics = [3]', "edit 1: topic 3 has only a number; add its keywords"),
        ('[[edit]]\naction = "split"\ntopics = [{keywords = ["a"]}]', "edit 1: split needs the key into"),
        ('[[edit]]\naction = "pin"\ninto = 2\ntopics = [{keywords = ["a"]}]', "edit 1: pin has no key into"),
        (
            '[[edit]]\naction = "pin"\ntopics = [{}]',
            "edit 1: a topic needs id, keywords or documents",
        ),
        ('[[edit]]\naction = "pin"\nnam = "x"\ntopics = [{keywords = ["a"]}]', "did you mean 'name'?"),
        ('[[edit]]\naction = "pin"\nline = 3\ntopics = [{keywords = ["a"]}]', "edit 1: pin has no key line"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "topics_edits.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_edits(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}: ")
    assert said in line


def test_a_file_with_other_tables_is_not_changed() -> None:
    text = 'edit = [{action = "delete", topics = [{keywords = ["a"]}]}]'
    for change in (lambda: with_edit(text, asked("pin", topic(0)), "f"), lambda: without_edit(text, 1, "f")):
        with pytest.raises(ConfigError, match="change the file by hand"):
            change()
    with pytest.raises(ConfigError, match="f: no edit 2; there are edits 1 to 1"):
        without_edit(text, 2, "f")


def test_named_documents_are_those_of_topics_and_moves() -> None:
    edits = [asked("move", topic(0, ["a", "b"]), documents=["c"]), asked("pin", topic(1, ["b", "d"]))]
    assert named_documents(edits) == ["c", "a", "b", "d"]
