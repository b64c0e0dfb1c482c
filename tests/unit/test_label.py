"""Keywords, names and examples of planted topics, and the BERTopic model of a run."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import TOPIC_WORDS, Corpus, HashEncoder, counted, save, save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import PrecomputedEmbed, SentenceTransformersEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import best_topics, topic_centroids
from topicflow.tasks.core.clusters.central import closest_rows
from topicflow.tasks.core.words.keywords import closest_words, distinct_names, diverse_words
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import (
    Clustered,
    choose_keywords,
    label,
    representative_rows,
    topics_table,
    weigh_words,
)

PRECOMPUTED = PrecomputedEmbed(method="precomputed", column="v")
RUNTIME = RuntimeConfig(device="cpu")
COUNTING = CountConfig(min_df=1)


def unit(*rows: list[float]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- choosing words ---

WORDS = unit([1, 0], [1, 1], [0, 1], [-1, 0])


def test_the_closest_words_are_those_of_the_cosine() -> None:
    rows, similarity = closest_words(WORDS, np.array([0, 5], np.float32), 3)
    assert rows.tolist() == [2, 1, 0]
    np.testing.assert_allclose(similarity, [1, np.sqrt(0.5), 0], atol=1e-6)


@pytest.mark.parametrize(
    ("diversity", "taken"),
    [
        (0.0, [0, 1, 2, 3]),  # relevance alone
        (0.3, [0, 1, 3, 2]),  # after 0: .63-.3*.707 against .35; then .7*.2=.14 against .35-.3*.707=.138
        (0.5, [0, 2, 3, 1]),  # after 0: .45-.5*.707=.10, .25, .10
        (1.0, [0, 2, 3, 1]),
    ],
)
def test_mmr_by_hand(diversity: float, taken: list[int]) -> None:
    relevance = np.array([1.0, 0.9, 0.5, 0.2], np.float32)
    assert diverse_words(WORDS, relevance, 4, diversity).tolist() == taken
    assert diverse_words(WORDS, relevance, 2, diversity).tolist() == taken[:2]
    assert diverse_words(WORDS, relevance, 9, diversity).tolist() == taken


def test_representations_choose_among_the_candidates() -> None:
    candidates = [[("a", 4.0), ("b", 2.0), ("c", 1.0)], []]
    vectors = dict(zip("abc", unit([1, 0], [1, 0.1], [0, 1]), strict=True))
    centroids = np.array([[0, 1], [1, 0]], np.float32)
    keybert = choose_keywords(
        candidates, centroids, vectors, LabelConfig(representation="keybert", top_n_words=2)
    )
    assert [[word for word, _ in topic] for topic in keybert] == [["c", "b"], []]
    mmr = choose_keywords(
        candidates, centroids, vectors, LabelConfig(representation="mmr", top_n_words=2, diversity=0.5)
    )
    assert mmr == [[("a", 4.0), ("c", 1.0)], []]


def test_names_are_distinct_by_more_words_then_by_number() -> None:
    keywords = [["a", "b", "c"], ["a", "b", "d"], ["a", "b", "d"], [], ["a"], []]
    assert distinct_names(keywords, 2) == ["a, b", "a, b, d", "a, b, d (2)", "topic 3", "a", "topic 5"]


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "topic 1", "a (1)", "b (2)"]), max_size=3), max_size=8),
    st.integers(1, 4),
)
def test_names_are_always_distinct_and_never_empty(keywords: list[list[str]], n_words: int) -> None:
    names = distinct_names(keywords, n_words)
    assert len(set(names)) == len(names) == len(keywords)
    assert all(names)


def test_examples_are_the_closest_distinct_texts_closest_first(store: ArtifactStore) -> None:
    vectors = unit([1, 0], [1, 0.1], [1, 0.1], [1, 0.3], [1, 0.9], [0, 1], [1, 0])
    labels = np.array([0, 0, 0, 0, 0, 1, -1], np.int32)
    texts = ["far a", "same", "same", "near", "far b", "other", "noise"]
    centroids = topic_centroids(vectors, labels)
    similarity = vectors[:5] @ centroids[0] / np.linalg.norm(centroids[0])
    order = np.argsort(-similarity, kind="stable")
    distinct = [int(i) for i in order if i != 2]
    closest = closest_rows(vectors, labels, centroids, 50)
    assert [rows.tolist() for rows in closest] == [order.tolist(), [5]]
    assert [rows.tolist() for rows in closest_rows(vectors, labels, centroids, 2)] == [
        order[:2].tolist(),
        [5],
    ]
    documents = save_documents(store, texts)
    assert representative_rows(store, documents, closest, 3) == [distinct[:3], [5]]
    assert representative_rows(store, documents, closest, 50) == [distinct, [5]]
    assert representative_rows(store, documents, [], 3) == []


def test_keywords_of_planted_topics_are_their_words(corpus: Corpus) -> None:
    words = weigh_words(*counted([corpus.texts], COUNTING), corpus.truth, LabelConfig())
    found = words.candidates(6)
    assert [{word for word, _ in topic} for topic in found] == [set(words) for words in TOPIC_WORDS]
    assert all(weights == sorted(weights, reverse=True) for weights in [[w for _, w in t] for t in found])


def test_the_table_of_no_topics_has_its_columns() -> None:
    labels = np.full(3, -1, np.int32)
    table = topics_table([], labels, [], pl.Series(["a", "b", "c"]), LabelConfig())
    assert table.height == 0
    assert table.schema["keywords"] == pl.List(pl.String)


# --- the stage ---


class Planted:
    """A planted corpus in a store, with the artifacts that label reads."""

    def __init__(
        self,
        store: ArtifactStore,
        corpus: Corpus,
        labels: np.ndarray,
        texts: list[str] | None = None,
        counting: CountConfig | None = None,
    ) -> None:
        self.store, self.labels, self.counting = store, labels.astype(np.int32), counting or COUNTING
        self.texts = texts or corpus.texts
        self.embeddings = corpus.embeddings
        self.documents = save_documents(store, self.texts)
        self.counts = count.fn(Context(store, runtime=RUNTIME), self.documents, self.counting)

    def run(
        self, encoding: object = PRECOMPUTED, embeddings: ArtifactRef | None = None, **config: object
    ) -> ArtifactRef:
        embeddings = embeddings or save(self.store, "embeddings", {"embeddings": self.embeddings})
        labels = save(self.store, "labels", {"labels": self.labels})
        config = LabelConfig(**config)
        return label.fn(
            Context(self.store, runtime=RUNTIME),
            Clustered(self.documents, embeddings, labels, self.counts),
            config,
            self.counting,
            encoding,
        )

    def table(self, made: ArtifactRef) -> pl.DataFrame:
        return self.store.table(made, "topics").collect()


def test_keywords_of_counts_need_no_encoder(store: ArtifactStore, corpus: Corpus) -> None:
    planted = Planted(store, corpus, corpus.truth)
    gone = SentenceTransformersEmbed(model="/no/such/model")
    assert planted.table(planted.run(gone)).height > 0
    with pytest.raises(ConfigError):
        planted.run(gone, representation="mmr")


def load_model(folder: Path) -> object:
    from bertopic import BERTopic

    logging.getLogger("BERTopic").setLevel(logging.ERROR)
    return BERTopic.load(str(folder))


NOISE = {"with noise": True, "without noise": False}


@pytest.fixture(params=NOISE.values(), ids=NOISE.keys())
def planted(request: pytest.FixtureRequest, store: ArtifactStore, corpus: Corpus) -> Planted:
    labels = corpus.truth if request.param else np.maximum(corpus.truth, 0)
    return Planted(store, corpus, labels)


def test_the_task_describes_the_topics(planted: Planted) -> None:
    made = planted.run(top_n_words=4, n_representative=3)
    table = planted.table(made)
    assert table["topic"].to_list() == [0, 1, 2]
    assert table["size"].to_list() == np.bincount(planted.labels[planted.labels >= 0]).tolist()
    assert [len(words) for words in table["keywords"]] == [4, 4, 4]
    for topic in (1, 2):
        assert set(table["keywords"][topic]) < set(TOPIC_WORDS[topic])
    assert table["name"].to_list() == [", ".join(words) for words in table["keywords"]]
    for topic, ids in enumerate(table["representative"].to_list()):
        assert len(set(ids)) == 3
        assert {planted.labels[int(i[1:])] for i in ids} == {topic}
    centroids = topic_centroids(planted.embeddings, planted.labels)
    np.testing.assert_array_equal(planted.store.array(made, "centroids"), centroids)
    again = planted.run(top_n_words=4, n_representative=3)
    assert (again.cached, again) == (True, made)
    assert not planted.run(top_n_words=5, n_representative=3).cached


def test_bertopic_loads_the_model_with_the_same_topics(planted: Planted) -> None:
    made = planted.run(top_n_words=6)
    model = load_model(planted.store.path(made, "model"))
    assert model.topics_ == planted.labels.tolist()
    first = int(planted.labels.min())
    assert sorted(model.get_topics()) == list(range(first, 3))
    for row in planted.table(made).iter_rows(named=True):
        words, weights = zip(*model.get_topic(row["topic"]), strict=True)
        assert list(words) == row["keywords"]
        np.testing.assert_allclose(weights, row["weights"], rtol=1e-5)
    info = model.get_topic_info()
    assert dict(zip(info["Topic"], info["Count"], strict=True)) == {
        t: int((planted.labels == t).sum()) for t in range(first, 3)
    }
    assert info["CustomName"].tolist()[-3:] == planted.table(made)["name"].to_list()


def read_model(folder: Path) -> dict[str, object]:
    """Return each file's content: JSON values, arrays as lists."""
    from safetensors.numpy import load_file

    read = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for path in folder.glob("*.safetensors"):
        read |= {f"{path.name}/{name}": array for name, array in load_file(path).items()}
    return read


def test_the_files_are_those_that_bertopic_saves_of_it(planted: Planted, tmp_path: Path) -> None:
    made = planted.run(top_n_words=6, bm25_weighting=True)
    folder = planted.store.path(made, "model")
    load_model(folder).save(
        tmp_path / "again", serialization="safetensors", save_ctfidf=True, save_embedding_model=False
    )
    ours, theirs = read_model(folder), read_model(tmp_path / "again")
    assert set(ours) == set(theirs)
    theirs["config.json"]["language"] = ours["config.json"][
        "language"
    ]  # a loaded model has an encoder and so none
    for name, value in ours.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == theirs[name].dtype
            np.testing.assert_array_equal(value, theirs[name])
        else:
            assert value == theirs[name]


def test_describing_topics_imports_no_bertopic() -> None:
    """Importing it takes seconds and also imports umap, hdbscan and plotly."""
    code = (
        "import sys, topicflow.tasks.topics.label, topicflow.tasks.topics.bertopic_files\n"
        "print([m for m in ('bertopic', 'umap') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    for module in ("label", "bertopic_files"):
        text = (Path(__file__).parents[2] / "tasks" / "topics" / f"{module}.py").read_text(encoding="utf-8")
        assert "import bertopic" not in text
        assert "from bertopic" not in text


def test_transform_of_held_back_documents_is_our_own_assignment(planted: Planted) -> None:
    made = planted.run()
    model = load_model(planted.store.path(made, "model"))
    rng = np.random.default_rng(1)
    held_back = (planted.embeddings + 0.3 * rng.normal(size=planted.embeddings.shape)).astype(np.float32)
    first = int(planted.labels.min())
    ours, similarity = best_topics(held_back, topic_centroids(planted.embeddings, planted.labels, first))
    theirs, probabilities = model.transform(planted.texts, embeddings=held_back)
    assert len(np.unique(ours)) == 3 - first
    np.testing.assert_array_equal(theirs, ours + first)
    np.testing.assert_allclose(probabilities, similarity, atol=1e-6)


def test_the_model_counts_words_as_the_run_did(planted: Planted) -> None:
    from topicflow.tasks.topics.count import read_counts

    model = load_model(planted.store.path(planted.run(), "model"))
    counts, words = read_counts(planted.store, planted.counts)
    assert model.vectorizer_model.get_feature_names_out().tolist() == words
    np.testing.assert_array_equal(model.vectorizer_model.transform(planted.texts).toarray(), counts.toarray())
    assert model.c_tf_idf_.shape == (len(np.unique(planted.labels)), len(words))


def test_nothing_in_the_model_is_pickled(planted: Planted) -> None:
    made = planted.run()
    files = sorted(path.name for path in planted.store.path(made, "model").iterdir())
    assert files == [
        "README.md", "config.json", "ctfidf.safetensors", "ctfidf_config.json", "topic_embeddings.safetensors",
        "topics.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (None, "- runs of Chinese, Japanese, Thai, Lao, Khmer and Burmese are not cut into words;"),
        (
            r"\w+",
            "The vectorizer cuts texts into words by the run's own `count.token_pattern`, as the run did.",
        ),
    ],
)
def test_the_card_says_how_the_vectorizer_differs(
    store: ArtifactStore, corpus: Corpus, pattern: str | None, line: str
) -> None:
    planted = Planted(store, corpus, corpus.truth, counting=CountConfig(token_pattern=pattern))
    card = store.path(planted.run(), "model") / "README.md"
    assert line in card.read_text(encoding="utf-8").splitlines()


def test_all_noise_is_a_model_without_topics(store: ArtifactStore, corpus: Corpus) -> None:
    planted = Planted(store, corpus, np.full(132, -1))
    made = planted.run()
    assert (made.rows, planted.table(made).height) == (0, 0)
    model = load_model(store.path(made, "model"))
    assert model.topics_ == [-1] * 132
    assert model.transform(planted.texts, embeddings=corpus.embeddings)[0].tolist() == [-1] * 132


def test_topics_without_words_are_named_by_number(store: ArtifactStore, corpus: Corpus) -> None:
    texts = [
        "the and of" if topic == 1 else text for text, topic in zip(corpus.texts, corpus.truth, strict=True)
    ]
    planted = Planted(store, corpus, corpus.truth, texts)
    made = planted.run()
    table = planted.table(made)
    assert table["keywords"][1].to_list() == []
    assert table["name"][1] == "topic 1"
    model = load_model(store.path(made, "model"))
    assert model.topics_ == corpus.truth.tolist()
    assert model.transform(texts, embeddings=corpus.embeddings)[0][corpus.truth == 1].tolist() == [1] * 40


def test_a_corpus_without_any_word_is_a_model_too(store: ArtifactStore, corpus: Corpus) -> None:
    planted = Planted(store, corpus, corpus.truth, ["the and of"] * 132)
    made = planted.run()
    assert planted.table(made)["name"].to_list() == ["topic 0", "topic 1", "topic 2"]
    assert load_model(store.path(made, "model")).topics_ == corpus.truth.tolist()


@pytest.mark.parametrize("representation", ["keybert", "mmr"])
def test_words_are_embedded_once_by_the_documents_encoder(
    store: ArtifactStore, corpus: Corpus, tiny: Path, representation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topicflow.tasks.encoding.encoders import SentenceTransformersEncoder

    planted = Planted(store, corpus, corpus.truth)
    encoding = SentenceTransformersEmbed(model=str(tiny))
    embeddings = embed.fn(Context(store, runtime=RUNTIME), planted.documents, encoding)
    config = {"representation": representation, "top_n_words": 3, "n_candidates": 6}
    made = planted.run(encoding, embeddings, **config)
    table = planted.table(made)
    for topic, words in enumerate(table["keywords"].to_list()):
        assert len(set(words)) == 3
        assert set(words) < set(TOPIC_WORDS[topic])
    assert table["weights"].list.len().to_list() == [3, 3, 3]
    if representation == "keybert":
        assert all(weights == sorted(weights, reverse=True) for weights in table["weights"].to_list())

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(SentenceTransformersEncoder, "__init__", refuse)
    again = planted.run(encoding, embeddings, **{**config, "top_n_words": 2})
    assert not again.cached
    assert [words.to_list() for words in planted.table(again)["keywords"]] == [
        words[:2] for words in table["keywords"].to_list()
    ]


def test_the_hash_encoder_of_these_tests_is_deterministic() -> None:
    first, second = (HashEncoder().encode(["a b", "c"])[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert abs(float(first[0] @ first[1])) < 0.99
