"""Features: columns beside the vectors, compared with scikit-learn; kept, refused, and measured with and without."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import Corpus, save, save_documents
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import FeaturesConfig, LabelsConfig, PredictConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.classifier_files import classifier_key
from topicflow.tasks.classify.classifiers import Classifier, export_setfit, load_classifier
from topicflow.tasks.classify.compare_methods import compare_methods
from topicflow.tasks.classify.features import CUT, Features, feature_table, identified, read_features
from topicflow.tasks.classify.fitted_head import Examples, FittedHead, read_examples
from topicflow.tasks.classify.labelled_texts import labelled_texts
from topicflow.tasks.classify.predict import predict
from topicflow.tasks.classify.train import train
from topicflow.tasks.core.learning.heads import Head
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.model_card import verdict
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

BOTH = FeaturesConfig(numeric=("price",), categorical=("shop",))
TABLE = pl.DataFrame({"price": [1, 2, 3, 6], "shop": ["a", "b", "b", "c"]})


def encoded(fitted_on: dict[str, Any], others: dict[str, Any], **config: Any) -> list[list[float]]:
    section = FeaturesConfig(**{"weight": 1.0, **config})
    features = Features.fit(feature_table(pl.DataFrame(fitted_on), section), section)
    return features.encode(feature_table(pl.DataFrame(others), section)).round(4).tolist()


def test_numbers_and_categories_are_those_of_scikit_learn() -> None:
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {"x": rng.normal(3, 2, 60), "n": rng.integers(0, 9, 60), "kind": rng.choice(["a", "b", "c"], 60)}
    )
    config = FeaturesConfig(numeric=("x", "n"), categorical=("kind",), weight=2.0)
    fitted, others = table[:40], table[40:]
    features = Features.fit(feature_table(fitted, config), config)
    scaled = StandardScaler().fit(fitted.select("x", "n").to_numpy())
    values = list(features.categories[0].values)
    one_hot = OneHotEncoder(sparse_output=False, categories=[values]).fit(fitted.select("kind").to_numpy())
    expected = np.hstack(
        [scaled.transform(others.select("x", "n").to_numpy()), one_hot.transform(others.select("kind").to_numpy())]
    )  # fmt: skip
    found = features.encode(feature_table(others, config))
    np.testing.assert_allclose(found, expected * 2.0 / np.sqrt(3), atol=1e-6)
    block = features.encode(feature_table(fitted, config))
    assert (block**2).sum(axis=1).mean() == pytest.approx(4.0)  # as long as twice a unit vector


def test_missing_and_extreme_numbers_by_hand() -> None:
    fitted = {"price": [1.0, 3.0, None, float("nan"), float("inf")]}
    others = {"price": [3.0, None, 1e9, -1e9]}
    assert encoded(fitted, others, numeric=["price"]) == [[1.0, 0.0], [0.0, 1.0], [CUT, 0.0], [-CUT, 0.0]]
    assert encoded({"price": [1, 3]}, {"price": [None, 3]}, numeric=["price"]) == [[0.0], [1.0]]
    assert encoded({"price": [7, 7]}, {"price": [7, 9]}, numeric=["price"]) == [[0.0], [0.0]]  # a constant
    assert encoded({"price": [None, " "]}, {"price": ["4", ""]}, numeric=["price"]) == [[0, 0], [0, 1]]
    assert encoded({"new": [True, False]}, {"new": [True]}, numeric=["new"]) == [[1.0]]
    assert encoded({"price": ["1", " 3 "]}, {"price": ["2"]}, numeric=["price"]) == [[0.0]]


def test_missing_unseen_and_rare_categories_by_hand() -> None:
    fitted = {"shop": ["b", "a", "b", None, " "]}
    assert encoded(fitted, {"shop": ["a", "b", "", "c"]}, categorical=["shop"]) == [
        [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0],
    ]  # fmt: skip
    assert encoded(fitted, {"shop": ["a", "b"]}, categorical=["shop"], max_categories=1) == [[0], [1]]
    assert encoded({"year": [2020, 2021]}, {"year": [2021]}, categorical=["year"]) == [[0, 1]]
    config = FeaturesConfig(categorical=("shop",))
    features = Features.fit(feature_table(pl.DataFrame(fitted), config), config)
    others = feature_table(pl.DataFrame({"shop": ["x", "y", "a", None]}), config)
    assert features.unseen(others) == {"shop": 2}
    assert features.unseen(others[2:]) == {}


@pytest.mark.parametrize(
    ("column", "config", "line"),
    [
        ({"price": ["1", "five", "x"]}, {"numeric": ["price"]}, r"'price' has 'five', expected numbers \(2 such"),
        ({"price": [[1], [2]]}, {"numeric": ["price"]}, "'price' has values of type List"),
        ({"shop": [["a"], ["b"]]}, {"categorical": ["shop"]}, "expected one category a document"),
        ({"shops": ["a", "b"]}, {"categorical": ["shop"]}, r"no column 'shop' \(features.categorical\).*'shops'"),
    ],
)  # fmt: skip
def test_columns_that_are_no_features(
    store: ArtifactStore, column: dict[str, Any], config: dict[str, Any], line: str
) -> None:
    documents = save_documents(store, ["t"] * len(next(iter(column.values()))), **column)
    with pytest.raises(DataError, match=line):
        read_features(store, documents, FeaturesConfig(**config))


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"features": {"numeric": ["a"], "categorical": ["a"]}}, "'a' is named twice"),
        ({"features": {"categorical": ["label"]}}, "'label', which is the label"),
        (
            {"load": {"path": "p", "columns": ["b"]}, "features": {"numeric": ["a"]}},
            "load.columns leaves it out",
        ),
    ],
)
def test_configs_that_fit_no_features(sections: dict[str, Any], line: str) -> None:
    values = {"load": {"path": "p", "label_column": "label"}, "labels": {"path": "l.csv"}} | sections
    with pytest.raises(ValueError, match=line):
        TrainClassifierConfig(**values)


# --- keys ---


def test_a_config_without_features_has_the_keys_of_before(store: ArtifactStore, tmp_path: Path) -> None:
    config = TrainClassifierConfig(load={"path": "a", "label_column": "label"})
    assert recipes.comparison(config, "a", None).config.keys() == {"head", "setfit", "compare"}
    assert recipes.classifier(config, "probe", "a", None).config.keys() == {"head", "setfit", "method"}
    before = recipes.predictions(PredictConfig(), "e", "a", "c")
    assert before.inputs.keys() == {"embeddings", "annotations", "classifier"}
    pl.DataFrame({"doc_id": ["d0", "d1", "d2", "d3"], "label": ["x", "y", "x", "y"]}).write_csv(
        tmp_path / "l.csv"
    )
    vectors = np.eye(4, dtype=np.float32)
    embeddings = save(store, "embeddings", {"embeddings": vectors}, {"encoder": "hash"})
    labels = LabelsConfig(path=str(tmp_path / "l.csv"))
    documents = save_documents(store, ["a", "b", "c", "d"])
    ref = labelled_texts.fn(Context(store), documents, embeddings, labels, tmp_path)
    content = store.manifest(ref.kind, ref.key)["recipe"]["inputs"]["content"]
    assert content == "3370f8c404d1fd332343318cc3d59612"  # as the version without features computed it
    assert "features" not in store.meta(ref)


def test_every_field_of_the_features_changes_the_keys_of_training() -> None:
    from tests.property.test_keys import perturbed

    base = TrainClassifierConfig(load={"path": "a", "label_column": "label"}, features=BOTH)
    for field, changed in perturbed(BOTH):
        config = base.model_copy(update={"features": changed})
        for one, other in zip(
            (recipes.comparison(config, "a", None), recipes.classifier(config, "probe", "a", None)),
            (recipes.comparison(base, "a", None), recipes.classifier(base, "probe", "a", None)),
            strict=True,
        ):
            assert one.key != other.key, field
    with_documents = recipes.predictions(PredictConfig(), "e", "a", "c", "d")
    assert with_documents.key != recipes.predictions(PredictConfig(), "e", "a", "c").key


# --- examples ---


def test_equal_texts_with_other_features_are_two_examples(store: ArtifactStore, tmp_path: Path) -> None:
    texts = ["late", "late", "fine", "fine", "late"]
    documents = save_documents(store, texts, shop=["a", "b", "a", None, "b"])
    vectors = np.eye(5, dtype=np.float32)
    embeddings = save(store, "embeddings", {"embeddings": vectors}, {"encoder": "hash"})
    labels = {"doc_id": [f"d{i}" for i in range(5)], "label": ["x", "y", "x", "y", "y"]}
    pl.DataFrame(labels).write_csv(tmp_path / "l.csv")
    labels_config = LabelsConfig(path=str(tmp_path / "l.csv"))
    with pytest.raises(DataError, match="2 texts have different labels"):
        labelled_texts.fn(Context(store), documents, embeddings, labels_config, tmp_path)
    config = FeaturesConfig(categorical=("shop",))
    ref = labelled_texts.fn(Context(store), documents, embeddings, labels_config, tmp_path, config)
    examples = read_examples(store, ref)
    assert examples.features is not None
    own = examples.classes.argmax(axis=1).tolist()
    rows = zip(examples.texts, examples.features["shop"], own, strict=True)
    assert sorted(rows, key=str) == [("fine", "a", 0), ("fine", None, 1), ("late", "a", 0), ("late", "b", 1)]
    same = identified(pl.Series(texts), read_features(store, documents, config))
    assert same[1] == same[4]
    assert same.n_unique() == 4


def test_only_the_training_rows_decide_the_scales(tiny: Path) -> None:
    config = config_of(tiny, {"numeric": ["price"], "categorical": ["shop"]})
    table = feature_table(TABLE, BOTH)
    classes = np.eye(2, dtype=bool)[[0, 1, 0, 1]]
    vectors = np.eye(4, 8, dtype=np.float32)
    examples = Examples(["a", "b", "c", "d"], vectors, classes, multilabel=False, features=table)
    rows = np.array([0, 1])
    fitted = FittedHead.fit(examples, rows, vectors[rows], config)
    assert fitted.features is not None
    assert fitted.features.numbers[0].mean == 1.5
    assert fitted.features.categories[0].values == ("a", "b")


# --- from labelled texts to predictions ---


def config_of(model: Path, features: dict[str, Any], **sections: Any) -> TrainClassifierConfig:
    values: dict[str, Any] = {
        "load": {"path": "a", "label_column": "label"}, "embed": {"model": str(model)},
        "setfit": {"enabled": False}, "compare": {"n_splits": 3}, "features": features,
    }  # fmt: skip
    return TrainClassifierConfig(**{**values, **sections})


@pytest.fixture
def line(store: ArtifactStore, corpus: Corpus, tmp_path: Path) -> tuple[ArtifactRef, ArtifactRef, list[str]]:
    """Documents whose vectors say one of three things and whose shop the other half of the class."""
    rng = np.random.default_rng(0)
    n = len(corpus.texts)
    shop = rng.choice(["a", "b"], n)
    documents = save_documents(
        store,
        corpus.texts,
        shop=[*shop[:-2], "zoo", None],
        price=(rng.normal(size=n) + 4 * (shop == "a")).tolist(),
    )
    meta = {"encoder": "hash", "model": "planted", "truncated_share": 0.0}
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings}, meta)
    names = [f"{topic}{where}" for topic, where in zip(corpus.truth, shop, strict=True)]
    rows = np.flatnonzero(corpus.truth >= 0)[:80]
    labels = {"doc_id": [f"d{row}" for row in rows], "label": [names[row] for row in rows]}
    pl.DataFrame(labels).write_csv(tmp_path / "labels.csv")
    return documents, embeddings, names


def test_the_line_with_features(
    store: ArtifactStore, tiny: Path, corpus: Corpus, tmp_path: Path,
    line: tuple[ArtifactRef, ArtifactRef, list[str]],
) -> None:  # fmt: skip
    documents, embeddings, names = line
    config = config_of(tiny, {"numeric": ["price"], "categorical": ["shop"]})
    labels = LabelsConfig(path=str(tmp_path / "labels.csv"))
    annotations = labelled_texts.fn(Context(store), documents, embeddings, labels, tmp_path, config.features)
    comparison = compare_methods.fn(Context(store), annotations, config)
    table = store.table(comparison, "trials").collect()
    assert table["method"].to_list() == ["probe", "probe without features"] * 3
    assert len(store.hits("trials")) == 3  # a training scores both
    summary = store.json(comparison, "summary")
    assert summary["recommended"] == "probe"
    assert summary["features"]["probe"]["low"] > 0
    assert summary["features"]["probe"]["mean"] > 0.3  # without the shop half of each class is guessed
    with_features = summary["rows"][0]
    assert (with_features["method"], with_features["accuracy"]["mean"] > 0.9) == ("probe", True)
    assert "The features' gain in macro_f1 beside the vectors of the probe is +0." in verdict(summary)

    trained = train.fn(Context(store), annotations, comparison, config)
    ref = predict.fn(Context(store), documents, embeddings, annotations, trained, PredictConfig())
    best = np.asarray(store.array(ref, "best"))
    known = corpus.truth >= 0
    known[-2:] = False  # their shop is not what decided their class
    found = np.array(store.json(annotations, "names"))[best]
    assert (found[known] == np.array(names)[known]).mean() > 0.9
    assert store.meta(ref)["unseen"] == {"shop": 1}
    assert store.meta(ref)["n_labelled"] == 80

    folder = store.path(trained, "classifier.json").parent
    classifier = load_classifier(folder)
    assert classifier.features is not None
    own = read_features(store, documents, classifier.features.config)
    np.testing.assert_array_equal(classifier.probabilities(corpus.embeddings, own).argmax(axis=1), best)
    with pytest.raises(ConfigError, match="it reads the columns price, shop beside the vectors"):
        classifier.probabilities(corpus.embeddings)
    with pytest.raises(
        ConfigError, match=r"cluster\.classifier: .* reads the columns price, shop beside the vectors"
    ):
        classifier_key(str(folder))
    with pytest.raises(ConfigError, match="SetFit reads texts alone, this classifier also price, shop"):
        export_setfit(folder, SentenceTransformersEmbed(model=str(tiny)), tmp_path / "exported")


def test_setfit_is_tuned_once_for_both(store: ArtifactStore, tiny: Path, corpus: Corpus) -> None:
    from topicflow.tasks.classify.compare_methods import try_setfit

    rows = np.flatnonzero(corpus.truth >= 0)[:24]
    table = pl.DataFrame({"shop": [["a", "b"][i % 2] for i in range(24)]})
    classes = np.eye(2, dtype=bool)[np.arange(24) % 2]
    texts = [corpus.texts[row] for row in rows]
    examples = Examples(texts, np.zeros((24, 32), np.float32), classes, multilabel=False, features=table)
    config = config_of(tiny, {"categorical": ["shop"]}, setfit={"n_steps": 2, "batch_texts": 8})
    tried = try_setfit(examples, np.arange(12), np.arange(12, 24), config, 0)
    assert tried.without is not None
    assert (tried.probabilities.argmax(axis=1) == np.arange(12) % 2).all()  # the shop decides
    assert not (tried.without.probabilities.argmax(axis=1) == np.arange(12) % 2).all()
    assert tried.seconds > 0.01
    assert tried.without.seconds > 0.01  # both say what the body took


@pytest.mark.parametrize("features", [None, BOTH])
def test_a_classifier_comes_back_with_its_features(tmp_path: Path, features: FeaturesConfig | None) -> None:
    rng = np.random.default_rng(0)
    table = feature_table(TABLE, BOTH)
    fitted = None if features is None else Features.fit(table, features)
    head = Head(rng.normal(size=(2, 8 + 4 * (features is not None))), rng.normal(size=2), False)
    vectors = rng.normal(size=(4, 8)).astype(np.float32)
    Classifier("probe", ["x", "y"], head, {"encoder": "e", "dim": 8}, fitted).save(tmp_path / "c", {})
    described = json.loads((tmp_path / "c/classifier.json").read_bytes())
    assert described["format"] == (1 if features is None else 2)  # earlier versions read the first alone
    assert ("features" in described) == (features is not None)
    loaded = load_classifier(tmp_path / "c")
    assert loaded.features == fitted
    expected = vectors if fitted is None else np.hstack([vectors, fitted.encode(table)])
    np.testing.assert_array_equal(loaded.probabilities(vectors, table), head.probabilities(expected))
