"""Index topics and reranking: documents show their topic, topics are found by a query, a cross-encoder ranks again."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.fakes import tiny_model
from tests.indexes import build, documents_table
from tests.updates import N_FIRST, config_of, documents_of, new_topic, story, tell
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.records import RunId, point_latest, record_failure, run_folder, write_json
from topicflow.tasks.search.index_topics import find_topics
from topicflow.tasks.search.scoring.rerank import rerank_scores

TABLE = documents_table(60)
VECTORS = np.array(TABLE["vector"].to_list(), np.float32)
TOPICS = np.where(np.arange(60) < 50, np.arange(60) % 3, -1)


def topic_run(
    runs: Path,
    ids: list[str],
    state: str = "completed",
    flow: str = "topic_model",
    published: bool = True,
) -> str:
    """Write the folder of a topic model's run over documents of these ids and return its id."""
    run = RunId.new("topics")
    stages = [{"stage": stage, "kind": stage, "key": f"{stage}-key"} for stage in ("load", "label")]
    with run_folder(runs, run) as folder:
        pl.DataFrame({"doc_id": ids, "topic": TOPICS[: len(ids)]}).write_parquet(folder / "documents.parquet")
        topics = {
            "topic": [0, 1, 2], "size": [17, 17, 16], "name": ["reds", "teas", "cats"],
            "keywords": [["red", "blue"], ["tea"], ["cat", "dog"]],
        }  # fmt: skip
        pl.DataFrame(topics).write_parquet(folder / "topics.parquet")
        record = {
            "run_id": run.run_id, "name": run.name, "flow": flow, "state": state, "stages": stages,
            "published": published,
        }  # fmt: skip
        write_json(folder / "run.json", record)
    if published:
        point_latest(runs / "topics", run.run_id)
    return run.run_id


def test_results_show_topics_and_topics_are_found(tmp_path: Path) -> None:
    topic_run(tmp_path / "runs", TABLE["id"].to_list())
    index = build(tmp_path, TABLE, topics="topics")
    for hit in index.search(VECTORS[4], 60):
        row = int(hit.doc_id[1:])
        assert hit.topic == TOPICS[row]
        assert hit.topic_name == (["reds", "teas", "cats"][TOPICS[row]] if TOPICS[row] >= 0 else None)
    means = np.array([VECTORS[topic == TOPICS].mean(axis=0) for topic in range(3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = index.topics(VECTORS[4], 2)
    order = np.argsort(-(means @ VECTORS[4]))
    assert [topic.topic for topic in found] == order[:2].tolist()
    assert [topic.score for topic in found] == pytest.approx(
        (means @ VECTORS[4])[order[:2]].tolist(), abs=1e-6
    )
    assert found[0].keywords == [["red", "blue"], ["tea"], ["cat", "dog"]][found[0].topic]
    index.add([{"doc_id": "new", "text": "red"}], VECTORS[:1])
    assert (index.search(VECTORS[0], 2)[1].topic, index.files.meta["topics"].split("/")[0]) == (-1, "topics")


def test_a_failed_night_and_a_run_that_a_gate_held_change_nothing(tmp_path: Path) -> None:
    runs, ids = tmp_path / "runs", TABLE["id"].to_list()
    published = topic_run(runs, ids)
    topic_run(runs, ids[:5], published=False)
    config = TopicModelConfig(name="topics", load={"path": "a"}, runtime={"runs": str(runs)})
    record_failure(config, RunId.new("topics"), "load: a: no such file")
    found = find_topics(runs, "topics")
    assert found.run == f"topics/{published}"
    assert build(tmp_path, TABLE, topics="topics").files.meta["topics"] == found.run


def test_another_topic_model_is_taken_in(tmp_path: Path) -> None:
    topic_run(tmp_path / "runs", TABLE["id"].to_list())
    plain = build(tmp_path, TABLE)
    with_topics = build(tmp_path, TABLE, topics="topics")
    assert plain.search(VECTORS[0], 1)[0].topic is None
    assert with_topics.search(VECTORS[0], 1)[0].topic == 0


def test_topics_of_an_update_have_the_ids_that_they_keep(tmp_path: Path) -> None:
    tell(config_of(tmp_path, story()[:N_FIRST]))
    record = tell(config_of(tmp_path, pl.concat([story(), new_topic(60, axis=7, start=180)])))
    assert record["update"]["refit"]
    documents = documents_of(tmp_path, record)
    index = build(
        tmp_path, pl.concat([story(), new_topic(60, axis=7, start=180)]).drop("truth"), topics="story"
    )
    assert index.files.meta["topics"] == f"story/{record['run_id']}"
    found = {
        hit.doc_id: (hit.topic, hit.topic_name) for hit in index.search(index.vectors.gather([0])[0], 300)
    }
    assert {name: topic for name, (topic, _) in found.items()} == dict(
        documents.select("doc_id", "topic").iter_rows()
    )
    named = dict(
        pl.read_parquet(tmp_path / "runs/story" / record["run_id"] / "topics.parquet")
        .select("topic", "name")
        .iter_rows()
    )
    assert {pair for pair in found.values() if pair[0] >= 0} == set(named.items())
    again = find_topics(tmp_path / "runs", str(record["run_id"]))
    assert set(again.keys) == {"topics.state"}


@pytest.mark.parametrize(
    ("ids", "state", "flow", "said"),
    [
        (
            ["x", "y"],
            "completed",
            "topic_model",
            "has none of these documents; name a run with the same documents",
        ),
        (
            ["d0"],
            "failed",
            "topic_model",
            "^index.topics: topics has no published run; the newest, .*, is failed$",
        ),
        (
            ["d0"],
            "completed",
            "deduplicate",
            "^index.topics: topics/.* is a run of deduplicate, expected one of topic_model or update_topics$",
        ),
    ],
)
def test_runs_that_have_no_topics_for_it(
    tmp_path: Path, ids: list[str], state: str, flow: str, said: str
) -> None:
    topic_run(tmp_path / "runs", ids, state, flow)
    with pytest.raises(ConfigError, match=said):
        build(tmp_path, TABLE, topics="topics")


# --- reranking ---


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small cross-encoder that gives one number per pair."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross")
    tiny_model(folder / "text")
    torch.manual_seed(1)
    config = BertConfig.from_pretrained(folder / "text-bert", num_labels=1)
    target = folder / "text-bert"
    BertForSequenceClassification(config).save_pretrained(target)
    return target


def test_an_encoder_is_no_cross_encoder_and_gives_no_random_scores(tmp_path: Path) -> None:
    """Without the weights of its last layer transformers makes some up, other ones in each process."""
    tiny_model(tmp_path / "model")
    with pytest.raises(
        ConfigError, match=r"^rerank: .* lacks weights of its model \(\d, such as classifier\."
    ):
        rerank_scores(str(tmp_path / "model"), "red tea", ["tea"])


def test_a_cross_encoder_ranks_the_best_again(tmp_path: Path, cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    model = tiny_model(tmp_path / "model", max_seq_length=32)
    index = build(tmp_path, TABLE.drop("vector"), {"model": str(model), "precision": "float32"})
    texts = TABLE["text"].to_list()
    scores = CrossEncoder(str(cross_encoder)).predict([("red tea", text) for text in texts])
    np.testing.assert_allclose(rerank_scores(str(cross_encoder), "red tea", texts), scores, atol=1e-5)
    hits = index.search("red tea", 60, mode="dense", rerank=str(cross_encoder))
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-5)
    assert rerank_scores(str(cross_encoder), "red tea", []).shape == (0,)
