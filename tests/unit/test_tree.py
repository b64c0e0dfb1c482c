"""Tree: the stage on planted topics in planted groups, its files, its metrics, its plan, and what `show` prints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from tests.fakes import save, save_documents
from tests.updates import config_of, documents_of, new_topic, story, tell
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import PrecomputedEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.shaping import TreeConfig
from topicflow.flows.commands.topics import app
from topicflow.flows.planning.plan import plan_topic_model
from topicflow.flows.running.direct import directly
from topicflow.flows.work.topic_model import topic_model
from topicflow.tasks.core.clusters.matching import match_groups
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.tree.group_words import TopicCounts
from topicflow.tasks.tree.shown_tree import shown_tree
from topicflow.tasks.tree.tree import Grouped, tree
from topicflow.tasks.updates.topic_state import read_state

WORDS = ("cat", "dog", "tea", "milk", "red", "blue")
SHARED = ("animal", "drink", "colour")
"""Topic t has its own word and the word of its group t // 2."""


def grouped_corpus(n_each: int = 20) -> pl.DataFrame:
    """Return documents of six topics in three groups: two directions of 16 that are near each other."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(6), n_each))
    vectors = np.eye(16)[truth // 2] + 0.5 * np.eye(16)[6 + truth] + 0.03 * rng.normal(size=(len(truth), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"{WORDS[t]} {WORDS[t]} {SHARED[t // 2]} d{row}" for row, t in enumerate(truth)]
    return pl.DataFrame(
        {
            "text": texts,
            "truth": truth,
            "vector": pl.Series(vectors.astype(np.float32).tolist(), dtype=pl.List(pl.Float32)),
        }
    )


# --- the stage ---


def grown(store: ArtifactStore, labels: np.ndarray, config: TreeConfig) -> ArtifactRef:
    """Return the tree of the grouped corpus with these labels."""
    corpus, context = grouped_corpus(), Context(store)
    vectors = np.array(corpus["vector"].to_list(), np.float32)
    documents = save_documents(store, corpus["text"].to_list())
    embeddings = save(store, "embeddings", {"embeddings": vectors}, {"device": "cpu", "chunks": []})
    graph = neighbors.fn(context, embeddings, NeighborsConfig())
    ones = np.ones(len(labels), np.float32)
    clusters = save(
        store, "labels", {"labels": labels.astype(np.int32), "probabilities": ones, "outlier_scores": ones}
    )
    counts = count.fn(context, documents, CountConfig())
    clustered = Clustered(documents, embeddings, clusters, counts)
    encoding = PrecomputedEmbed(method="precomputed", column="v")
    topics = label.fn(context, clustered, LabelConfig(), CountConfig(), encoding)
    return tree.fn(context, Grouped(embeddings, graph, clusters, counts, topics), config, LabelConfig())


def test_planted_groups_are_found_with_the_words_of_their_documents(store: ArtifactStore) -> None:
    truth = grouped_corpus()["truth"].to_numpy()
    made = grown(store, truth, TreeConfig(about=3))
    nodes = store.table(made, "nodes").collect()
    assert nodes["topic"].to_list() == [0, 1, 2, 3, 4, 5, None, None, None, None]
    groups = nodes.filter(pl.col("group").is_not_null())
    assert groups["topics"].to_list()[0] == list(range(6))
    assert sorted(groups["topics"].to_list()[1:]) == [[0, 1], [2, 3], [4, 5]]
    assert groups.select("group", "parent", "layer", "size").rows() == [
        (0, None, 2, 120), (1, 0, 1, 40), (2, 0, 1, 40), (3, 0, 1, 40),
    ]  # fmt: skip
    for topics, keywords in groups.select("topics", "keywords").rows()[1:]:
        assert set(keywords[:3]) == {SHARED[topics[0] // 2], WORDS[topics[0]], WORDS[topics[1]]}
    assert store.meta(made)["figures"] == {"tree_layers": 3, "tree_layer": 1, "tree_layer_groups": 3}


def test_a_group_is_named_by_words_that_it_uses_more_often_than_all_documents() -> None:
    """`said` is the most frequent word of each topic; of the group's 20 words 5 are `cat`, of all 40 only these."""
    classes = csr_matrix([[6, 3, 1, 0], [6, 2, 2, 0], [6, 0, 2, 2], [6, 0, 2, 2]])
    counts = TopicCounts(classes, classes, np.array([9, 9, 9, 9]), ["said", "cat", "now", "tea"])
    keywords = [[("said", 4.0), ("cat", 3.0), ("now", 2.0)], [("said", 4.0), ("now", 2.0), ("tea", 1.0)]]
    members = csr_matrix([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert counts.name_words(members, keywords) == [["cat", "said", "now"], ["tea", "said", "now"]]


@pytest.mark.parametrize(("n_topics", "layers"), [(0, 0), (1, 1), (2, 2)])
def test_few_topics_have_a_tree(store: ArtifactStore, n_topics: int, layers: int) -> None:
    truth = grouped_corpus()["truth"].to_numpy()
    labels = np.where(truth < n_topics, truth, -1)
    made = grown(store, labels, TreeConfig(hierarchical_topics=True, about=2))
    nodes = store.table(made, "nodes").collect()
    assert nodes["size"].to_list() == [[], [20], [20, 20, 40]][n_topics]
    assert nodes["topics"].to_list() == [[], [[0]], [[0], [1], [0, 1]]][n_topics]
    assert store.table(made, "hierarchical").collect().height == max(0, n_topics - 1)
    assert store.meta(made)["figures"]["tree_layers"] == layers
    topics = nodes.select(pl.col("topics").list.first().alias("topic"), "size", "name").head(n_topics)
    shown = shown_tree(nodes, topics)
    assert shown["node"].to_list() == [[], ["0"], ["g0", "0", "1"]][n_topics]


def test_bertopic_reads_the_merges(store: ArtifactStore) -> None:
    from bertopic import BERTopic

    made = grown(store, grouped_corpus()["truth"].to_numpy(), TreeConfig(hierarchical_topics=True))
    merges = store.table(made, "hierarchical").collect()
    assert merges["Parent_ID"].to_list() == ["10", "9", "8", "7", "6"]
    assert merges["Topics"][0].to_list() == list(range(6))
    assert np.all(np.diff(merges["Distance"].to_numpy()) <= 0)
    printed = BERTopic().get_topic_tree(merges.to_pandas())
    for topic, word in enumerate(WORDS):
        assert next(at for at in printed.splitlines() if at.endswith(f"── Topic: {topic}")).count(word) == 1


def test_a_shown_tree_has_the_ids_names_and_sizes_of_the_run(store: ArtifactStore) -> None:
    nodes = store.table(
        grown(store, grouped_corpus()["truth"].to_numpy(), TreeConfig(about=3)), "nodes"
    ).collect()
    topics = pl.DataFrame(
        {
            "topic": pl.Series([17, 4, 9, 30, 31, 32], dtype=pl.Int32),
            "model_topic": pl.Series([0, 1, 2, 3, 4, 5], dtype=pl.Int32),
            "size": pl.Series([1, 9, 30, 10, 5, 0], dtype=pl.UInt32),
            "name": ["Cats", "Dogs", "Tea", "Milk", "Red", "Blue"],
        }
    )
    found = shown_tree(nodes, topics, group_ids=[8, 5, 6, 7])
    assert found.select("node", "parent", "size").rows() == [
        ("g8", None, 55), ("g6", "g8", 40), ("9", "g6", 30), ("30", "g6", 10), ("g5", "g8", 10), ("4", "g5", 9),
        ("17", "g5", 1), ("g7", "g8", 5), ("31", "g7", 5), ("32", "g7", 0),
    ]  # fmt: skip
    assert found.filter(pl.col("node") == "4")["name"].item() == "Dogs"
    assert found["topics"].to_list()[4] == [4, 17]


# --- a run, its plan, and the terminal ---


def run(config: TopicModelConfig) -> dict[str, Any]:
    """Return the record of a run without Prefect."""
    with directly():
        return topic_model(config)


def config_for(folder: Path, **changes: Any) -> TopicModelConfig:
    path = folder / "documents.parquet"
    grouped_corpus().write_parquet(path)
    values: dict[str, Any] = {
        "name": "grouped",
        "load": {"path": str(path)},
        "embed": {"method": "precomputed", "column": "vector"},
        "reduce": {"method": "pca", "n_components": 4},
        "map": {"n_epochs": 5},
        "cluster": {"method": "kmeans", "n_clusters": 6},
        "evaluate": {"sample": 50},
        "tree": {"about": 3},
        "runtime": {"store": str(folder / "store"), "runs": str(folder / "runs")},
    }
    return TopicModelConfig.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a run of topics by k-means in a tree, and its record."""
    folder = tmp_path_factory.mktemp("grouped")
    return folder, run(config_for(folder))


def planned(config: TopicModelConfig) -> dict[str, str]:
    return {step.stage: step.reason for step in plan_topic_model(config) if not step.is_hit}


def test_the_plan_of_a_run_is_what_it_made(done: tuple[Path, dict[str, Any]]) -> None:
    folder, record = done
    assert [stage["stage"] for stage in record["stages"]][-3:] == ["tree", "evaluate", "report"]
    assert planned(config_for(folder)) == {}
    changed = planned(config_for(folder, tree={"about": 2}))
    assert changed == {"tree": "config changed: about 3 -> 2", "report": "input changed: tree"}
    assert set(planned(config_for(folder, tree=None))) == {"report"}


def test_the_folder_of_a_run_has_its_tree(done: tuple[Path, dict[str, Any]]) -> None:
    _, record = done
    folder = done[0] / "runs" / "grouped" / record["run_id"]
    found = pl.read_parquet(folder / "topics_tree.parquet")
    documents = pl.read_parquet(folder / "documents.parquet")
    assert found["size"][0] == documents.height
    names = dict(pl.read_parquet(folder / "topics.parquet").select("topic", "name").iter_rows())
    for topic, name in found.filter(pl.col("topic").is_not_null()).select("topic", "name").iter_rows():
        assert names[topic] == name
    for topics in found.filter(pl.col("layer") == 1)["topics"]:
        own = documents.filter(pl.col("topic").is_in(topics.to_list()))
        assert len({truth // 2 for truth in own["truth"]}) == 1  # a group is a planted one
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert (metrics["tree_layers"], metrics["tree_layer"], metrics["tree_layer_groups"]) == (3, 1, 3)
    assert not (folder / "hierarchical_topics.parquet").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"neighbors": {"fit_limit": 100}},  # the tree is made from a sample of the documents
        {"cluster": {"method": "graph", "min_cluster_size": 10}, "reduce": {"method": "diffusion"}},
    ],
    ids=["sample", "graph"],
)
def test_planted_groups_are_found_in_other_ways(tmp_path: Path, changes: dict[str, Any]) -> None:
    record = run(config_for(tmp_path, **changes))
    folder = tmp_path / "runs" / "grouped" / record["run_id"]
    found = pl.read_parquet(folder / "topics_tree.parquet")
    documents = pl.read_parquet(folder / "documents.parquet")
    truth = dict(documents.group_by("topic").agg(pl.col("truth").mode().first() // 2).iter_rows())
    groups = found.filter(pl.col("layer") == 1)
    assert groups.height == 3
    assert all(len({truth[topic] for topic in topics}) == 1 for topics in groups["topics"])
    sizes = dict(documents.filter(pl.col("topic") >= 0).group_by("topic").len().iter_rows())
    for topics, size in found.select("topics", "size").iter_rows():
        assert size == sum(sizes[topic] for topic in topics)


def shown_by(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["show", "grouped", "--runs", str(folder / "runs"), *words])
    return done.exit_code, done.output if done.exception is None else f"{done.output}{done.exception}"


def test_show_prints_the_tree(done: tuple[Path, dict[str, Any]]) -> None:
    code, printed = shown_by(done[0], "--tree")
    assert code == 0
    lines = printed.splitlines()
    assert lines[0] == f"6 topics of grouped/{done[1]['run_id']}"
    assert lines[1].startswith("└── g0  ")
    assert lines[1].endswith("  120 documents, 6 topics")
    assert [line.index("──") for line in lines[1:]] == [1, 5, 9, 9, 5, 9, 9, 5, 9, 9]
    code, printed = shown_by(done[0], "--tree", "--layer", "1")
    assert printed.splitlines() == [line for line in lines if "topics" in line]
    code, printed = shown_by(done[0], "--tree", "--json")
    assert [row["layer"] for row in json.loads(printed)] == [2, 1, 0, 0, 1, 0, 0, 1, 0, 0]


def test_show_says_that_a_run_has_no_tree(tmp_path: Path) -> None:
    run(config_for(tmp_path, tree=None))
    code, printed = shown_by(tmp_path, "--tree")
    assert code == 1
    assert "has no topics_tree.parquet; add a section [tree] to its config and run it again" in printed


# --- updates ---


def test_groups_are_matched_by_the_documents_that_they_share() -> None:
    """Old groups {0, 1} and {0, 1, 2}; the new topics 0 and 1 are the old topics 2 and 0 with 1, and 2 is new."""
    shared = np.array([[0, 40, 0], [0, 10, 0], [30, 0, 0]])
    sizes = np.array([40, 10, 30]), np.array([30, 50, 25])
    old, new = np.array([[1, 1, 0], [1, 1, 1]]), np.array([[1, 1, 1], [0, 1, 0], [0, 0, 1]])
    found = match_groups(shared, sizes, (old, new), 0.5)
    assert found.shared.tolist() == [[50, 50, 0], [80, 50, 0]]
    assert found.old_of.tolist() == [1, 0, -1]
    np.testing.assert_allclose(found.similarity, [[100 / 155, 1.0, 0.0], [160 / 185, 100 / 130, 0.0]])


def tree_in(folder: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    table = pl.read_parquet(folder / "runs" / "story" / record["run_id"] / "topics_tree.parquet")
    return {row["node"]: row for row in table.iter_rows(named=True)}


def test_groups_keep_their_ids_over_updates_and_refits(tmp_path: Path) -> None:
    wished = {"tree": {"about": 2}}
    first = tell(config_of(tmp_path, story()[:120], **wished))
    second = tell(config_of(tmp_path, story(), **wished))
    assert not {"match_tree", "cluster"} & {stage["stage"] for stage in second["stages"]}
    everything = pl.concat([story(), new_topic(60, axis=7, start=180)])
    third = tell(config_of(tmp_path, everything, **wished))
    trees = [tree_in(tmp_path, record) for record in (first, second, third)]
    assert trees[0].keys() == trees[1].keys() == {"g0", "g1", "0", "1", "2"}
    assert "match_tree" in {stage["stage"] for stage in third["stages"]}
    for record, found in zip((first, second, third), trees, strict=True):
        documents = documents_of(tmp_path, record)
        for row in found.values():
            assert row["size"] == documents.filter(pl.col("topic").is_in(row["topics"])).height
        page = (tmp_path / "runs" / "story" / record["run_id"] / "report.html").read_text()
        assert '"node":"g0"' in page
    assert third["update"]["refit"]
    assert trees[2]["g0"]["topics"] == [0, 1, 2, 3]  # the root stays the root
    assert {node for node in trees[2] if node.startswith("g")} == {"g0", "g1", "g2"}  # g2 is new
    assert set(trees[0]["g1"]["topics"]) & set(trees[2]["g1"]["topics"])
    assert third["metrics"]["tree_layer_groups"] == 2


def test_a_tree_that_is_added_or_changed_needs_no_refit(tmp_path: Path) -> None:
    calm, store = {"drift": {"on_drift": "warn"}}, ArtifactStore(tmp_path / "store")
    first = tell(config_of(tmp_path, story()[:100], **calm))
    state = ArtifactRef("states", first["update"]["state"], "publish")
    assert "tree" not in store.json(state, "state")  # its key is that of a state before there were trees
    second = tell(config_of(tmp_path, story()[:140], tree={}, **calm))
    assert not second["update"]["refit"]
    assert {"g0", "0", "1", "2"} == tree_in(tmp_path, second).keys()
    kept = read_state(store, second["update"]["state"])
    assert kept.tree is not None
    assert (kept.tree.ids, kept.tree.next_id) == ((0,), 1)
    assert ["trees", kept.tree.key] in kept.refers_to
    third = tell(config_of(tmp_path, story(), tree={"about": 2}, **calm))
    assert not third["update"]["refit"]
    assert {"g0", "g1", "0", "1", "2"} == tree_in(tmp_path, third).keys()
