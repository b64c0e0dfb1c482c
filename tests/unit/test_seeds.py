"""Seeds: documents near one come nearer to it, copies stay copies, seed words rise where the seed has documents."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from tests.fakes import save, save_documents
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.shaping import SeededTopics, ZeroShotTopics
from topicflow.flows.planning.plan import chain_recipes
from topicflow.flows.planning.stages import stages_of
from topicflow.tasks.core.clusters import pull as core
from topicflow.tasks.core.clusters.given import fit_given
from topicflow.tasks.core.clusters.pull import pull_rows, towards
from topicflow.tasks.core.words.seed_words import raise_seed_words, seed_shares
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.given.pull import write_pulled
from topicflow.tasks.given.seeds import ended_table, figures, seed_of_topics, unknown_words
from topicflow.tasks.given.topic_vectors import named_rows
from topicflow.tasks.given.topics_file import GivenTopic, given_topics
from topicflow.tasks.publish.known_topics.seeds import seed_remarks, shared_topics
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.topics.neighbors import ordered_points

N, DIM = 200, 16


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors around four axes, and the axis of each."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), N // 4)
    vectors = np.eye(4, DIM)[truth] + 0.2 * rng.normal(size=(N, DIM))
    return unit(vectors), truth


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pulled(vectors: np.ndarray, names: np.ndarray, strength: float = 0.5) -> core.Pulled:
    rows = np.arange(len(vectors))
    (block,) = pull_rows(vectors, rows, names, fit_given(vectors, names, 0.8), strength)
    return block


def test_documents_near_a_seed_come_nearer_to_each_other_and_others_stay() -> None:
    vectors, truth = planted()
    names = np.eye(1, DIM, dtype=np.float32)
    found = pulled(vectors, names)
    assert (truth[found.seeds == 0] == 0).all()
    assert (found.seeds == 0).sum() > 20
    np.testing.assert_array_equal(found.vectors[found.seeds < 0], vectors[found.seeds < 0])
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-6)
    own = found.seeds == 0
    before, after = (float((v[own] @ v[own].T).mean()) for v in (vectors, found.vectors))
    assert after > before + 0.02
    away = [float((v[own] @ v[truth > 0].T).mean()) for v in (vectors, found.vectors)]
    assert away[1] < away[0] + 0.005  # no nearer to documents of other kinds
    np.testing.assert_array_equal(pulled(vectors, names, 0.0).vectors, vectors)


def test_a_document_turns_towards_its_seed_by_its_weight() -> None:
    mean, target = np.zeros(2, np.float32), np.array([[0.0, 1.0]], np.float32)
    vector = np.array([[1.0, 0.0]], np.float32)
    angles = [
        np.degrees(np.arctan2(*towards(vector, mean, target, np.array([w], np.float32))[0][::-1]))
        for w in (0.0, 0.25, 0.5)
    ]
    np.testing.assert_allclose(angles, [0.0, 18.435, 45.0], atol=1e-3)


def test_copies_stay_copies_in_any_order_and_in_any_blocks(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, _ = planted()
    names = np.eye(2, DIM, dtype=np.float32)
    seeds = fit_given(vectors, names, 0.8)
    documents = np.random.default_rng(3).permutation(np.repeat(np.arange(N), 2))
    monkeypatch.setattr(core, "BLOCK_ROWS", 64)
    recipe = Recipe("pull", "pulled", 1)
    with store.writing(recipe) as writer:
        blocks = pull_rows(vectors, np.arange(N), names, seeds, 0.5)
        write_pulled(writer, blocks, documents.astype(np.int32), (2 * N, DIM))
        writer.rows = 2 * N
    made = store.committed(recipe, writer)
    monkeypatch.undo()
    whole = pulled(vectors, names)
    found = np.asarray(store.array(made, "embeddings"))
    np.testing.assert_allclose(found, whole.vectors[documents], atol=1e-6)
    assert len(np.unique(found, axis=0)) == N
    np.testing.assert_array_equal(store.array(made, "seeds"), whole.seeds[documents])
    np.testing.assert_array_equal(store.array(made, "nearest"), whole.nearest[documents])


def test_the_order_of_documents_changes_no_bit(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "BLOCK_ROWS", 48)
    vectors, _ = planted()
    names = unit(np.eye(3, DIM) + 0.1)

    def all_pulled(own: np.ndarray, name: str) -> np.ndarray:
        rows, _, point = ordered_points(own, 1)
        recipe = Recipe("pull", "pulled", 1, {"name": name})
        with store.writing(recipe) as writer:
            blocks = pull_rows(own, rows, names, fit_given(own, names, 0.6), 0.35)
            write_pulled(writer, blocks, point, own.shape)
            writer.rows = len(own)
        return np.asarray(store.array(store.committed(recipe, writer), "embeddings"))

    order = np.random.default_rng(5).permutation(N)
    np.testing.assert_array_equal(all_pulled(vectors[order], "b"), all_pulled(vectors, "a")[order])


# --- words ---


def test_seed_words_rise_by_the_share_of_documents_of_the_seed() -> None:
    seeds = np.array([0, 0, 0, -1, 1, -1, 0])
    labels = np.array([0, 0, 1, 1, 1, 1, -1])
    shares = seed_shares(seeds, labels, 2, 3)
    np.testing.assert_allclose(shares, [[1.0, 0.0], [0.25, 0.25], [0.0, 0.0]])
    weights = csr_matrix(np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 4.0], [1.0, 1.0, 1.0]]))
    raised = raise_seed_words(
        weights, ["Battery", "post", "cable"], [["battery", "cable"], ["CABLE"]], shares, 3.0
    )
    np.testing.assert_allclose(raised.toarray(), [[3.0, 2.0, 0.0], [1.5, 0.0, 6.0], [1.0, 1.0, 1.0]])


# --- where seeds ended ---

OWN = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1, -1], np.int32)
LABELS = np.array([0, 0, 0, -1, 0, 0, 1, 1, 1, -1], np.int32)
NAMES = ["a", "b", "c"]


def test_where_seeds_ended_by_hand() -> None:
    table = ended_table(OWN, LABELS, NAMES)
    assert table.select("seed", "topic", "n_documents", "n_shared", "ended").rows() == [
        (0, 0, 4, 3, True), (0, -1, 4, 1, False), (1, 0, 3, 2, True), (1, 1, 3, 1, True), (2, None, 0, 0, False)
    ]  # fmt: skip
    assert table["share"].to_list() == pytest.approx([0.75, 0.25, 2 / 3, 1 / 3, 0.0])
    assert table["share_of_topic"].to_list() == pytest.approx([0.6, 0.5, 0.4, 1 / 3, 0.0])
    assert seed_of_topics(table) == {0: 0, 1: 1}
    assert shared_topics(table) == ["'a' and 'b'"]


def test_a_seed_did_not_end_where_a_few_of_its_documents_are() -> None:
    own, labels = np.zeros(21, np.int32), np.array([0] * 19 + [1] * 2, np.int32)
    assert ended_table(own, labels, ["a"])["ended"].to_list() == [True, False]
    assert seed_of_topics(ended_table(own, np.full(21, -1, np.int32), ["a"])) == {}


def test_figures_by_hand() -> None:
    nearest = np.array([0, 0, 0, 0, 1, 0, 1, 1, 2, 2], np.int32)
    wanted = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1, -1], np.int32)
    found = figures(ended_table(OWN, LABELS, NAMES), OWN, nearest, LABELS, wanted)
    assert found.pop("seeded_nmi") < found.pop("nearest_seed_nmi")
    assert found == pytest.approx({
        "seeded_share": 0.7, "seeds_empty": 1, "seeds_without_topic": 0, "seeded_as_nearest": 6 / 8,
        "seeded_accuracy": 4 / 7, "nearest_seed_accuracy": 6 / 7,
    })  # fmt: skip
    nothing = figures(ended_table(OWN, LABELS * 0 - 1, NAMES), OWN, nearest, LABELS * 0 - 1, None)
    assert nothing == {"seeded_share": 0.7, "seeds_empty": 1, "seeds_without_topic": 2}


def test_remarks_by_hand(store: ArtifactStore) -> None:
    table = ended_table(OWN, LABELS, NAMES)
    made = save(
        store, "seeds", {"seeds": table},
        {"figures": {"seeded_share": 0.7, "seeded_as_nearest": 0.75}, "unknown_words": {"a": ["zebra", "yak"]}},
    )  # fmt: skip
    assert seed_remarks(store, {}) == []
    assert seed_remarks(store, {"seeds": made}) == [
        (
            "70% of the documents are near one of the 3 seeds. Of the documents in topics of seeds, 75% have the "
            "seed of their topic as the nearest one."
        ),
        "Seeds that ended in one topic: 'a' and 'b'.",
        "No document is near 'c'.",
        "The corpus has no word 'zebra', 'yak' of the seed 'a'.",
    ]


def test_words_that_the_corpus_does_not_have(store: ArtifactStore) -> None:
    counts = save(store, "counts", {"words": pl.DataFrame({"word": ["Battery", "post"]})})
    given = [
        {"name": "a", "words": ["battery", "zebra"]},
        {"name": "b", "words": ["POST"]},
        {"name": "c", "words": []},
    ]
    assert unknown_words(store, counts, given) == {"a": ["zebra"]}
    assert unknown_words(store, counts, given[2:]) == {}


# --- the section and its file ---


def test_seed_documents_are_looked_up_by_their_ids(store: ArtifactStore) -> None:
    documents = save_documents(store, ["x", "y", "z"])
    ids = store.table(documents, "documents").collect()["doc_id"].to_list()
    topics = (GivenTopic(name="a", documents=(ids[2], ids[0])), GivenTopic(name="b"))
    assert [rows.tolist() for rows in named_rows(store, documents, topics)] == [[2, 0], []]
    wrong = (GivenTopic(name="late", documents=(ids[0], "gone", "lost")),)
    with pytest.raises(ConfigError, match="topic 'late': document 'gone' and 1 more not found"):
        named_rows(store, documents, wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[topic]]\nname = 'a'\nwords = ['']", "topic 1: words.0: string should have at least 1 character"),
        ("[[topic]]\nname = 'a'\nwords = [' ']", "topic 1: words.0: .*not blank"),
        ("[[topic]]\nname = ' '", "topic 1: name: .*not blank"),
        ("[[topic]]\nname = 'a'\ndocuments = [7]", "topic 1: documents.0: input should be a valid string"),
        ("[[topic]]\nname = 'a'\nwords = 'b'", "topic 1: words: input should be a valid tuple"),
        ("[[topic]]\nwords = ['b']", "topic 1: name: field required"),
        ("[[topic]]\nname = 'a'\n[[topic]]\nname = 'a'", "'a' is there twice"),
        ("", "has no topics"),
    ],
)  # fmt: skip
def test_an_odd_file_of_seeds_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "seeds.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        given_topics(SeededTopics(method="seeded", path=str(path)))
    assert "\n" not in str(raised.value)


def test_the_method_decides_the_fields() -> None:
    config = TopicModelConfig(load={"path": "a"}, topics={"names": ["a"]})
    assert isinstance(config.topics, ZeroShotTopics)
    seeded = TopicModelConfig(
        load={"path": "a"}, topics={"names": ["a"], "method": "seeded", "strength": 0.1}
    )
    assert isinstance(seeded.topics, SeededTopics)
    with pytest.raises(ValueError, match="strength"):
        TopicModelConfig(load={"path": "a"}, topics={"names": ["a"], "strength": 0.1})


# --- keys ---

SEEDED = {"method": "seeded", "names": ["a", "b"]}
MOVED = {"pull", "neighbors", "reduce", "map", "cluster", "label", "evaluate", "seeds", "report"}


def chain(store: ArtifactStore, tiny: Path, topics: object) -> dict[str, str]:
    documents = save_documents(store, ["a b", "c d"])
    config = TopicModelConfig(load={"path": "a"}, embed={"model": str(tiny)}, topics=topics)
    found = {stage: recipe.key for stage, recipe in chain_recipes(store, config, documents).items()}
    assert ["load", *found] == list(stages_of(config)) or set(stages_of(config)) == {"load", *found}
    return found


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"names": ["a", "c"]}, MOVED),
        ({"strength": 0.2}, MOVED),
        ({"threshold": 0.5}, MOVED),
        ({"word_weight": 3.0}, {"label", "evaluate", "report"}),
    ],
)
def test_what_a_changed_seed_costs(
    store: ArtifactStore, tiny: Path, changes: dict[str, object], moved: set[str]
) -> None:
    before, after = chain(store, tiny, SEEDED), chain(store, tiny, SEEDED | changes)
    assert {stage for stage in before if before[stage] != after[stage]} == moved


def test_without_seeds_and_with_given_topics_no_vector_is_pulled(store: ArtifactStore, tiny: Path) -> None:
    without, zero_shot = chain(store, tiny, None), chain(store, tiny, {"names": ["a", "b"]})
    assert not {"pull", "seeds"} & (without.keys() | zero_shot.keys())
    assert without["cluster"] == zero_shot["cluster"] != chain(store, tiny, SEEDED)["cluster"]
