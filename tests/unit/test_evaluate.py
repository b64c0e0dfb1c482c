"""The evaluate stage on a planted corpus, and on every degenerate input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.tasks.core.clusters import quality
from topicflow.tasks.core.words import coherence
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics.evaluate import Measured, evaluate, measure, read_classes

WORDS = [["cat", "dog", "bird", "fish"], ["tea", "milk", "juice", "wine"], ["red", "blue", "green", "pink"]]
FIXED_NAMES = {
    "n_documents", "n_topics", "outlier_share", "outlier_share_before", "npmi", "c_v", "diversity",
    "trustworthiness", "dbcv", "truncated_share", "n_empty", "median_topic_size", "largest_topic_share",
}  # fmt: skip
CLASS_NAMES = {"n_labelled", "nmi", "ari", "purity", "nmi_clustered", "ari_clustered", "purity_clustered"}


class Planted:
    """Documents of three topics with known words, vectors, layout, labels and classes."""

    def __init__(self, n: int = 120, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.truth = np.arange(n) % 3
        self.texts = [" ".join(rng.choice(WORDS[t], 8)) for t in self.truth]
        vectors = np.eye(3, 16)[self.truth] + 0.1 * rng.normal(size=(n, 16))
        self.embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        self.reduced = (10 * self.embeddings[:, :5]).astype(np.float32)
        self.labels = self.truth.astype(np.int32)
        self.labels[::10] = -1
        self.keywords: list[list[str]] = WORDS
        self.classes: np.ndarray | None = self.truth.astype(np.int64)

    def measured(self, **config: int) -> dict[str, Any]:
        return measure(
            [self.texts[:50], self.texts[50:]], self.keywords, self.labels, self.embeddings, self.reduced,
            self.classes, EvaluateConfig(**config), CountConfig(), seed=1,
        )  # fmt: skip


def finite(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics after a round trip through JSON, which refuses NaN."""
    return json.loads(json.dumps(metrics, allow_nan=False))


# --- measure ---


def test_a_planted_model_is_measured_as_its_parts_are() -> None:
    planted = Planted()
    metrics = finite(planted.measured())
    assert metrics["n_documents"] == 120
    assert metrics["n_topics"] == 3
    assert metrics["outlier_share"] == 0.1
    assert metrics["median_topic_size"] == 36
    assert metrics["largest_topic_share"] == 0.3
    assert metrics["diversity"] == 1.0
    assert metrics["trustworthiness"] == pytest.approx(
        quality.trustworthiness(planted.embeddings, planted.reduced), abs=1e-9
    )
    assert metrics["dbcv"] == pytest.approx(quality.dbcv(planted.reduced, planted.labels), abs=1e-9)
    assert metrics["nmi"] == pytest.approx(
        normalized_mutual_info_score(planted.truth, planted.labels), abs=1e-9
    )
    assert metrics["ari"] == pytest.approx(adjusted_rand_score(planted.truth, planted.labels), abs=1e-9)
    assert metrics["purity"] == pytest.approx((108 + 4) / 120)  # 12 outliers: one cluster, 4 of each class
    assert [metrics[f"{name}_clustered"] for name in ("nmi", "ari", "purity")] == [1.0, 1.0, 1.0]
    assert metrics["n_labelled"] == 120
    words = coherence.index_words(WORDS)
    ids = coherence.word_ids(planted.texts, words.vocabulary, CountConfig().token_pattern, lowercase=True)
    near, far = coherence.count_windows([ids], words, (10, 110))
    assert metrics["npmi"] == pytest.approx(coherence.npmi(words, near).mean(), abs=1e-9)
    assert metrics["c_v"] == pytest.approx(coherence.c_v(words, far).mean(), abs=1e-9)


def test_the_right_keywords_cohere_more_than_mixed_ones() -> None:
    planted = Planted()
    right = planted.measured()
    planted.keywords = [list(words) for words in zip(*WORDS, strict=True)]
    mixed = planted.measured()
    assert right["npmi"] > 0.2
    assert mixed["npmi"] < 0
    assert right["c_v"] > mixed["c_v"]


def test_only_the_first_keywords_count() -> None:
    planted = Planted()
    expected = planted.measured(top_n_words=3)
    planted.keywords = [[*words[:3], "spam"] for words in WORDS]
    assert planted.measured(top_n_words=3) == expected
    assert planted.measured(top_n_words=4)["diversity"] == pytest.approx(10 / 12)


def test_the_sample_is_seeded() -> None:
    planted = Planted(n=3000)
    assert planted.measured(sample=100) == planted.measured(sample=100)
    assert planted.measured(sample=100)["trustworthiness"] != planted.measured(sample=300)["trustworthiness"]
    whole = planted.measured(sample=3000)
    for name in ("trustworthiness", "dbcv"):
        assert planted.measured(sample=600)[name] == pytest.approx(whole[name], abs=0.15), name


def test_fewer_documents_than_the_sample_are_measured_whole() -> None:
    planted = Planted(n=60)
    assert planted.measured(sample=60) == planted.measured(sample=5000)


def test_figures_do_not_depend_on_threads() -> None:
    from threadpoolctl import threadpool_limits

    planted = Planted(n=2000)
    with threadpool_limits(1):
        alone = planted.measured(sample=1000)
    with threadpool_limits(2):
        assert planted.measured(sample=1000) == alone


def test_no_topics() -> None:
    planted = Planted()
    planted.labels[:] = -1
    planted.keywords = []
    metrics = finite(planted.measured())
    assert metrics["n_topics"] == 0
    assert metrics["outlier_share"] == 1.0
    undefined = (
        "npmi",
        "c_v",
        "diversity",
        "dbcv",
        "median_topic_size",
        "largest_topic_share",
        "nmi_clustered",
    )
    assert {name: metrics[name] for name in undefined} == dict.fromkeys(undefined)
    assert metrics["nmi"] == 0.0
    assert metrics["purity"] == pytest.approx(1 / 3)
    assert metrics["trustworthiness"] > 0.5


def test_one_topic() -> None:
    planted = Planted()
    planted.labels[:] = 0
    planted.keywords = WORDS[:1]
    metrics = finite(planted.measured())
    assert (metrics["n_topics"], metrics["largest_topic_share"], metrics["outlier_share"]) == (1, 1.0, 0.0)
    assert metrics["dbcv"] is None
    assert metrics["npmi"] > 0
    assert (metrics["nmi"], metrics["ari"]) == (0.0, 0.0)


def test_all_documents_equal() -> None:
    planted = Planted()
    planted.texts = ["cat dog"] * 120
    planted.embeddings = np.repeat(planted.embeddings[:1], 120, axis=0)
    planted.reduced = np.zeros((120, 5), np.float32)
    planted.labels[:] = 0
    planted.keywords = [["cat", "dog"]]
    metrics = finite(planted.measured())
    assert metrics["trustworthiness"] == 1.0
    assert metrics["dbcv"] is None
    assert metrics["npmi"] == pytest.approx(-1.0)  # gensim's value if every window contains both words
    planted.labels[60:] = 1  # k-means would split even these
    assert finite(planted.measured())["dbcv"] == 0.0


def test_a_single_class_gives_no_agreement() -> None:
    planted = Planted()
    planted.classes = np.zeros(120, np.int64)
    metrics = finite(planted.measured())
    assert [metrics[n] for n in ("nmi", "ari", "nmi_clustered", "ari_clustered")] == [None] * 4
    assert (metrics["purity"], metrics["purity_clustered"]) == (1.0, 1.0)


def test_documents_without_a_class_are_left_out_of_agreement() -> None:
    planted = Planted()
    planted.labels[:60] = 2  # wrong, were it known
    assert planted.classes is not None
    planted.classes[:60] = -1
    metrics = finite(planted.measured())
    assert metrics["n_labelled"] == 60
    assert metrics["nmi_clustered"] == 1.0
    planted.classes[:] = -1
    metrics = finite(planted.measured())
    assert metrics["n_labelled"] == 0
    assert {metrics[n] for n in CLASS_NAMES - {"n_labelled"}} == {None}


def test_without_classes_there_are_no_class_figures() -> None:
    planted = Planted()
    planted.classes = None
    assert not CLASS_NAMES & set(planted.measured())


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_documents(n: int) -> None:
    planted = Planted(n=n)
    planted.labels[:] = -1
    planted.keywords = []
    metrics = finite(planted.measured())
    assert metrics["n_documents"] == n
    assert (metrics["trustworthiness"], metrics["dbcv"], metrics["npmi"]) == (None, None, None)
    assert metrics["outlier_share"] == (1.0 if n else None)


# --- the task ---


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def save_inputs(
    store: ArtifactStore, planted: Planted, label: list[str | None] | None
) -> dict[str, ArtifactRef]:
    """Return references to a planted model's artifacts, saved like those of the stages."""
    n = len(planted.texts)
    documents = pl.DataFrame({"doc_id": [f"d{i}" for i in range(n)], "text": planted.texts})
    if label is not None:
        documents = documents.with_columns(pl.Series("label", label, pl.String))
    topics = pl.DataFrame(
        {"topic": [2, -1, 0, 1], "keywords": [WORDS[2], ["noise", "words"], WORDS[0], WORDS[1]]}
    )
    contents: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "documents": ({"documents": documents}, {"n_empty": 4}),
        "embeddings": ({"embeddings": planted.embeddings}, {"truncated_share": 0.25}),
        "reduced": ({"reduced": planted.reduced}, {}),
        "labels": (
            {"labels": planted.labels, "reassigned": planted.labels < 0},
            {"outlier_share_before": 0.4},
        ),
        "topics": ({"topics": topics}, {}),
    }
    refs = {}
    for kind, (files, meta) in contents.items():
        recipe = Recipe(stage=kind, kind=kind, version=1, config={"label": label})
        with store.writing(recipe) as writer:
            for name, value in files.items():
                (writer.save_table if isinstance(value, pl.DataFrame) else writer.save_array)(name, value)
            writer.rows, writer.meta = n, meta
        refs[kind] = store.committed(recipe, writer)
    return refs


def run(store: ArtifactStore, refs: dict[str, ArtifactRef], seed: int = 1, **config: int) -> Any:
    return evaluate.fn(
        Context(store, seed), Measured(**refs), config=EvaluateConfig(**config), counting=CountConfig()
    )


def test_the_task_saves_what_measure_returns_and_what_the_stages_recorded(store: ArtifactStore) -> None:
    planted = Planted()
    refs = save_inputs(store, planted, [f"class {t}" for t in planted.truth])
    found = run(store, refs)
    assert (found.kind, found.rows, found.cached) == ("metrics", 120, False)
    metrics = store.json(found, "metrics")
    assert set(metrics) == FIXED_NAMES | CLASS_NAMES
    recorded = {"outlier_share_before": 0.4, "truncated_share": 0.25, "n_empty": 4}
    assert metrics == {**planted.measured(), **recorded}


def test_without_a_label_column_there_are_no_class_figures(store: ArtifactStore) -> None:
    found = run(store, save_inputs(store, Planted(), None))
    assert set(store.json(found, "metrics")) == FIXED_NAMES


def test_a_second_run_is_a_hit_and_a_changed_config_or_seed_is_not(store: ArtifactStore) -> None:
    refs = save_inputs(store, Planted(), None)
    first = run(store, refs)
    again = run(store, refs)
    assert again.cached
    assert (again.cached, again) == (True, first)
    others = [run(store, refs, top_n_words=5), run(store, refs, sample=50), run(store, refs, seed=2)]
    assert len({first.key, *(other.key for other in others)}) == 4
    assert not any(other.cached for other in others)


def test_classes_are_codes_of_the_label_column_with_nulls_apart(store: ArtifactStore) -> None:
    planted = Planted(n=6)
    refs = save_inputs(store, planted, ["b", None, "a", "b", None, "c"])
    codes = read_classes(store, refs["documents"])
    assert codes is not None
    assert codes.tolist() == [1, -1, 0, 1, -1, 2]
    assert codes.dtype == np.int64
    all_null = save_inputs(store, planted, [None] * 6)
    assert read_classes(store, all_null["documents"]).tolist() == [-1] * 6
