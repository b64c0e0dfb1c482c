"""Classifiers: tuning, comparing, keeping, predicting; a classifier comes back to the same probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tests.fakes import Corpus, save, save_documents
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import HeadConfig, PredictConfig, SetFitConfig
from topicflow.configs.sections.cluster import ClassesCluster
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify.class_topics import number_classes
from topicflow.tasks.classify.classifier_files import classifier_key
from topicflow.tasks.classify.classifiers import Classifier, export_setfit, load_classifier
from topicflow.tasks.classify.compare_methods import Trial, compare_methods, plan_trials, split_of, summarize
from topicflow.tasks.classify.predict import predict, sure_classes
from topicflow.tasks.classify.setfit_training import embed_for_training, pair_loss, tune_body
from topicflow.tasks.classify.train import train
from topicflow.tasks.core.learning.heads import Head, fit_head
from topicflow.tasks.core.learning.splits import draw_batch
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_body, load_encoder
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.runs.records import RunId, run_folder, write_json
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster

QUICK = {"n_steps": 6, "batch_texts": 8, "judge_every": 2}
NAMES = ["animals", "colours", "drinks"]


def config_of(model: Path, **sections: Any) -> TrainClassifierConfig:
    values: dict[str, Any] = {
        "load": {"path": "a", "label_column": "label"}, "embed": {"model": str(model)}, "setfit": QUICK,
        "compare": {"n_splits": 2},
    }  # fmt: skip
    return TrainClassifierConfig(**{**values, **sections})


def annotations_of(store: ArtifactStore, corpus: Corpus, model: Path, n: int = 30) -> ArtifactRef:
    """Return annotations of the first `n` planted texts, with vectors of the tiny model."""
    rows = np.flatnonzero(corpus.truth >= 0)[:n]
    texts = [corpus.texts[row] for row in rows]
    embed = SentenceTransformersEmbed(model=str(model))
    files = find_encoder(embed, "cpu")
    files_of = {
        "texts": pl.DataFrame({"text": texts}),
        "digests": text_digests(texts),
        "vectors": load_encoder(files, embed).encode(texts)[0],
        "names": NAMES,
        "classes": np.eye(3, dtype=bool)[corpus.truth[rows]],
    }
    meta = {
        "space": {"encoder": files.key, "model": files.name, "dim": 32}, "multilabel": False,
        "sizes": dict(zip(NAMES, files_of["classes"].sum(axis=0).tolist(), strict=True)),
    }  # fmt: skip
    return save(store, "annotations", files_of, meta)


# --- tuning ---


def test_the_loss_is_that_of_sentence_transformers_over_all_pairs(tiny: Path) -> None:
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    embed = SentenceTransformersEmbed(model=str(tiny))
    body = load_body(find_encoder(embed, "cpu"), embed)
    texts, codes = ["red cat", "blue dog", "tea", "milk juice"], np.array([0, 0, 1, 1])
    alike = torch.from_numpy(codes[:, None] == codes)
    with torch.no_grad():
        ours = pair_loss(embed_for_training(body, texts, 16), alike)
        pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
        theirs = {0.0: [], 1.0: []}
        for i, j in pairs:
            label = float(codes[i] == codes[j])
            features = [body.preprocess([texts[k]]) for k in (i, j)]
            theirs[label].append(float(CosineSimilarityLoss(body)(features, torch.tensor([label]))))
    assert float(ours) == pytest.approx((np.mean(theirs[0.0]) + np.mean(theirs[1.0])) / 2, abs=1e-6)


def test_groups_of_like_length_give_each_text_its_own_vector(tiny: Path) -> None:
    embed = SentenceTransformersEmbed(model=str(tiny))
    body = load_body(find_encoder(embed, "cpu"), embed)
    texts = [f"{'word ' * (i % 5)}t{i}" for i in range(20)]
    with torch.no_grad():
        together = embed_for_training(body, texts, 16)
        alone = torch.cat([embed_for_training(body, [text], 16) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_tuning_draws_classes_together_is_repeatable_and_stops_early(tiny: Path, corpus: Corpus) -> None:
    embed = SentenceTransformersEmbed(model=str(tiny))
    files = find_encoder(embed, "cpu")
    rows = np.flatnonzero(corpus.truth >= 0)[:36]
    texts, classes = [corpus.texts[row] for row in rows], np.eye(3, dtype=bool)[corpus.truth[rows]]
    alike = torch.from_numpy(classes.astype(np.float32) @ classes.T.astype(np.float32) > 0)
    config = SetFitConfig(n_steps=8, batch_texts=12, learning_rate=5e-3, validation_from=100)

    def tuned(**changes: Any) -> tuple[Any, torch.Tensor, float]:
        body = load_body(files, embed)
        done = tune_body(body, texts, classes, config.model_copy(update=changes), HeadConfig(), 1)
        with torch.no_grad():
            vectors = embed_for_training(body, texts, 16)
        return done, vectors, float(pair_loss(vectors, alike))

    before = load_body(files, embed)
    with torch.no_grad():
        untrained = float(pair_loss(embed_for_training(before, texts, 16), alike))
    first, vectors, loss = tuned()
    assert (first.n_steps, first.judgements) == (8, [])
    assert loss < 0.8 * untrained
    torch.testing.assert_close(tuned()[1], vectors, atol=0, rtol=0)
    judged, _, _ = tuned(validation_from=5, judge_every=1, patience=1, learning_rate=1e-8)
    assert judged.n_steps < 8  # nothing is learned, so nothing is gained
    assert judged.kept_step == min(judged.judgements, key=lambda one: one[1])[0]


def test_forty_thousand_examples_need_no_list_of_pairs(tiny: Path) -> None:
    import tracemalloc

    embed = SentenceTransformersEmbed(model=str(tiny))
    body = load_body(find_encoder(embed, "cpu"), embed)
    codes = np.arange(40_000) % 100
    texts, classes = [f"text {i} of {code}" for i, code in enumerate(codes)], np.eye(100, dtype=bool)[codes]
    config = SetFitConfig(n_steps=2, batch_texts=16, validation_from=100_000)
    tracemalloc.start()
    done = tune_body(body, texts, classes, config, HeadConfig(), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.n_steps == 2
    assert peak < 50_000_000  # the places of all pairs would be 12.8 GB
    members = [np.flatnonzero(column) for column in classes.T]
    rows = draw_batch(members, 32, np.random.default_rng(0), balance=True)
    assert (
        np.bincount(codes[rows], minlength=100)[codes[rows]].tolist() == [4] * 32
    )  # eight classes, four of each


# --- comparing ---


def test_trials_are_planned_and_split_alike_for_both_methods(tiny: Path) -> None:
    classes = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [9, 12, 20])]
    config = config_of(tiny, compare={"n_splits": 2, "n_draws": 2, "shots": [4, 9]}).compare
    planned = plan_trials(classes, config, ("probe", "setfit"))
    assert {(t.shots, t.number) for t in planned} == {
        (0, 0),
        (0, 1),
        (4, 0),
        (4, 1),
    }  # of nine none is left to test
    assert len(planned) == 8
    for shots in (0, 4):
        probe, setfit = (
            split_of(classes, Trial(method, shots, 1), config, 3) for method in ("probe", "setfit")
        )
        np.testing.assert_array_equal(probe[0], setfit[0])
        np.testing.assert_array_equal(probe[1], setfit[1])
        assert not np.isin(probe[0], probe[1]).any()


def trials(gains: list[float]) -> list[dict[str, Any]]:
    same = {"shots": 0, "n_train": 75, "n_test": 25, "accuracy": 0.5, "calibration_error": 0.1}
    return [
        {**same, "method": method, "number": i, "macro_f1": 0.5 + (gain if method == "setfit" else 0.0)}
        for i, gain in enumerate(gains)
        for method in ("probe", "setfit")
    ]


def test_setfit_is_recommended_only_if_it_is_significantly_better(tiny: Path) -> None:
    config = config_of(tiny).compare
    assert summarize(trials([0.1, 0.11, 0.09, 0.1]), config)["recommended"] == "setfit"
    unsure = summarize(trials([0.2, -0.1, 0.15, 0.0]), config)
    assert unsure["recommended"] == "probe"
    assert unsure["gain"]["mean"] == pytest.approx(0.0625)
    assert unsure["gain"]["low"] < 0
    alone = [trial for trial in trials([0.0, 0.0]) if trial["method"] == "probe"]
    assert summarize(alone, config)["gain"] is None


# --- from annotations to predictions ---


def test_the_line_with_setfit(store: ArtifactStore, tiny: Path, corpus: Corpus, tmp_path: Path) -> None:
    annotations = annotations_of(store, corpus, tiny)
    config = config_of(tiny, predict={"method": "setfit"})
    comparison = compare_methods.fn(Context(store), annotations, config)
    table = store.table(comparison, "trials").collect()
    assert table["method"].to_list() == ["probe", "setfit"] * 2
    assert len(store.hits("trials")) == 4
    assert compare_methods.fn(Context(store), annotations, config) == comparison
    more = config_of(tiny, compare={"n_splits": 3}, predict={"method": "setfit"})
    assert compare_methods.fn(Context(store), annotations, more).key != comparison.key
    assert len(store.hits("trials")) == 6  # two more, and none again

    trained = train.fn(Context(store), annotations, comparison, config)
    assert train.fn(Context(store), annotations, comparison, config) == trained
    folder = store.path(trained, "classifier.json").parent
    classifier = load_classifier(folder)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".json",
        ".npy",
        ".safetensors",
        ".txt",
    }
    body = SentenceTransformersEmbed(model=str(folder / "body"))
    files = find_encoder(body, "cpu")
    assert classifier.space["encoder"] == files.key
    examples = store.table(annotations, "texts").collect()["text"].to_list()
    vectors = load_encoder(files, body).encode(examples)[0]
    again = fit_head(
        vectors, np.asarray(store.array(annotations, "classes")), 10.0, balance=True, multilabel=False
    )
    np.testing.assert_allclose(classifier.probabilities(vectors), again.probabilities(vectors), atol=1e-6)

    documents = save_documents(store, corpus.texts)
    foreign = save(
        store, "embeddings", {"embeddings": corpus.embeddings}, {"encoder": "hash", "truncated_share": 0.0}
    )
    with pytest.raises(ConfigError, match="predict: the classifier: trained on embeddings of SetFit body of"):
        predict.fn(Context(store), documents, foreign, annotations, trained, PredictConfig())

    target = tmp_path / "exported"
    export_setfit(folder, SentenceTransformersEmbed(model=str(tiny)), target)
    from setfit import SetFitModel

    theirs = SetFitModel.from_pretrained(str(target), device="cpu")
    found = theirs.predict_proba(examples, as_numpy=True)
    np.testing.assert_allclose(found, classifier.probabilities(vectors), atol=1e-4)
    assert theirs.predict(examples[:3]) == [NAMES[i] for i in found[:3].argmax(axis=1)]
    with pytest.raises(ConfigError, match="is not empty"):
        export_setfit(folder, SentenceTransformersEmbed(model=str(tiny)), target)


def planted(
    store: ArtifactStore, corpus: Corpus, n: int = 30
) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Return documents, embeddings and annotations of the planted vectors themselves."""
    meta = {"encoder": "hash", "model": "planted", "truncated_share": 0.0}
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings}, meta)
    rows = np.flatnonzero(corpus.truth >= 0)[:n]
    texts = [corpus.texts[row] for row in rows]
    annotations = save(
        store,
        "annotations",
        {
            "texts": pl.DataFrame({"text": texts}),
            "digests": text_digests(texts),
            "vectors": corpus.embeddings[rows],
            "names": NAMES,
            "classes": np.eye(3, dtype=bool)[corpus.truth[rows]],
        },
        {"space": {"encoder": "hash", "model": "planted", "dim": 16}, "multilabel": False, "sizes": {}},
    )
    return save_documents(store, corpus.texts), embeddings, annotations


def probe_of(store: ArtifactStore, annotations: ArtifactRef, tiny: Path) -> ArtifactRef:
    config = config_of(tiny, setfit={"enabled": False})
    return train.fn(
        Context(store), annotations, compare_methods.fn(Context(store), annotations, config), config
    )


def test_predictions_and_suggestions(store: ArtifactStore, tiny: Path, corpus: Corpus) -> None:
    documents, embeddings, annotations = planted(store, corpus)
    trained = probe_of(store, annotations, tiny)
    config = PredictConfig(threshold=0.8, n_suggestions=12)
    ref = predict.fn(Context(store), documents, embeddings, annotations, trained, config)
    best, probability = store.array(ref, "best"), store.array(ref, "probability")
    known = corpus.truth >= 0
    assert (best[known] == corpus.truth[known]).mean() > 0.95
    classes = np.asarray(store.array(ref, "classes"))
    np.testing.assert_array_equal(classes.any(axis=1), probability >= 0.8)
    assert store.meta(ref)["unsure_share"] == pytest.approx((probability < 0.8).mean())
    suggested = store.array(ref, "suggested").tolist()
    labelled = np.flatnonzero(known)[:30]
    assert len(set(suggested)) == 12
    assert not set(suggested) & set(labelled.tolist())
    assert (~known)[suggested].mean() > 0.5  # noise is between the classes
    assert predict.fn(Context(store), documents, embeddings, annotations, trained, config) == ref
    other = predict.fn(
        Context(store), documents, embeddings, annotations, trained, PredictConfig(threshold=0.9)
    )
    assert other.key != ref.key


def test_thresholds_are_inclusive() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3]], np.float32)
    assert sure_classes(probabilities, 0.5, multilabel=False).tolist() == [[True, False, False], [False] * 3]
    several = sure_classes(probabilities, 0.3, multilabel=True)
    assert several.tolist() == [[True, False, False], [True, True, True]]


# --- kept and loaded ---


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_classifier_comes_back_to_the_same_probabilities(
    tmp_path: Path, n_classes: int, multilabel: bool, tiny: Path
) -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(n_classes, 32)), rng.normal(size=n_classes), multilabel)
    names = NAMES[:n_classes]
    classifier = Classifier("probe", names, head, {"encoder": "e", "dim": 32})
    classifier.save(tmp_path / "c", {})
    loaded = load_classifier(tmp_path / "c")
    assert (loaded.names, loaded.space, loaded.method) == (names, {"encoder": "e", "dim": 32}, "probe")
    texts = ["red cat", "tea", "blue"]
    embed = SentenceTransformersEmbed(model=str(tiny))
    vectors = load_encoder(find_encoder(embed, "cpu"), embed).encode(texts)[0]
    np.testing.assert_array_equal(loaded.probabilities(vectors), classifier.probabilities(vectors))
    export_setfit(tmp_path / "c", embed, tmp_path / "setfit")
    from setfit import SetFitModel

    theirs = SetFitModel.from_pretrained(str(tmp_path / "setfit"), device="cpu")
    found = theirs.predict_proba(texts, as_numpy=True)
    np.testing.assert_allclose(found, loaded.probabilities(vectors), atol=1e-4)


def test_a_folder_without_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the classifier cannot be read"):
        load_classifier(tmp_path)
    with pytest.raises(ConfigError, match=r"cluster\.classifier: .* contains no classifier"):
        classifier_key(str(tmp_path))


@pytest.mark.parametrize("name", ["classifier.json", "coefficients.npy", "intercepts.npy"])
def test_a_run_that_lost_a_file_of_its_classifier_had_one(tmp_path: Path, name: str) -> None:
    number = RunId.new("classes")
    with run_folder(tmp_path, number) as folder:
        Classifier("probe", NAMES, Head(np.eye(3), np.zeros(3), False), {}).save(folder / "classifier", {})
        write_json(folder / "run.json", {"run_id": number.run_id, "name": "classes"})
    run = number.folder(tmp_path)
    assert len(classifier_key(str(run))) == 32
    (run / "classifier" / name).unlink()
    with pytest.raises(DamagedError, match=f"classifier/{name} is damaged"):
        classifier_key(str(run))


# --- classes as a clustering ---


def test_numbers_of_classes_by_hand() -> None:
    labels, order = number_classes(np.array([2, 2, 0, -1, 2, 0, 1]))
    assert labels.tolist() == [0, 0, 1, -1, 0, 1, 2]
    assert order == [2, 0, 1]


def test_classes_as_a_clustering(store: ArtifactStore, tiny: Path, corpus: Corpus) -> None:
    _, embeddings, annotations = planted(store, corpus)
    folder = store.path(probe_of(store, annotations, tiny), "classifier.json").parent
    config = ClassesCluster(method="classes", classifier=str(folder), threshold=0.8)
    unused = ArtifactRef("none", "none", "none")
    ref = cluster.fn(Context(store, 1), embeddings, unused, unused, config)
    labels, names = np.asarray(store.array(ref, "labels")), store.meta(ref)["names"]
    probabilities = load_classifier(folder).probabilities(corpus.embeddings)
    expected = np.where(probabilities.max(axis=1) >= 0.8, probabilities.argmax(axis=1), -1)
    assert [NAMES[i] if i >= 0 else None for i in expected] == [names[i] if i >= 0 else None for i in labels]
    sizes = np.bincount(labels[labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert store.meta(ref)["outlier_share"] == pytest.approx((expected < 0).mean())
    looser = config.model_copy(update={"threshold": 0.1})
    all_sure = cluster.fn(Context(store, 1), embeddings, unused, unused, looser)
    assert (np.asarray(store.array(all_sure, "labels")) >= 0).all()
    other = save(
        store,
        "embeddings",
        {"embeddings": corpus.embeddings},
        {"encoder": "x", "truncated_share": 0.0},
        "other",
    )
    with pytest.raises(ConfigError, match=r"cluster\.classifier .*: trained on embeddings of planted"):
        cluster.fn(Context(store, 1), other, unused, unused, config)
