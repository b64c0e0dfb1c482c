"""Classifier run: the artifacts of a finished train_classifier -> its folder.

predictions.parquet   doc_id, class (unsure: null), probability, second, margin, text, the input's own columns
suggestions.csv       doc_id, label (to be filled in), guess, probability, text: what to label next
scores.csv            each training of the comparison; metrics.json its summary
classifier/           the classifier with README.md, its model card
run.json, config.toml
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.tasks.classify.classifiers import load_classifier
from topicflow.tasks.classify.label_sources import OPEN
from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, write_run_folder
from topicflow.tasks.publish.model_card import model_card
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@stage("publish")
def publish_classifier(
    store: ArtifactStore, config: TrainClassifierConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and pointing `latest` at it."""
    record = describe_run(store, config, stages, run)
    comparison = store.json(stages["compare_methods"], "summary")
    record["metrics"] |= metrics(store, stages, comparison)
    record["comparison"] = comparison
    record["seconds_of_training"] = seconds_of_training(store, stages["compare_methods"])
    if "unseen" in (predicted := store.meta(stages["predict"])):
        record["unseen_categories"] = predicted["unseen"]
    record["n_documents"] = stages["load"].rows
    with write_run_folder(config, run, record) as folder:
        names = store.json(stages["labelled_texts"], "names")
        predictions = predictions_table(store, stages, names)
        predictions.write_parquet(folder / "predictions.parquet")
        write_csv(suggestions_table(store, stages, predictions), folder / "suggestions.csv")
        write_csv(scores_with_seconds(store, stages["compare_methods"]), folder / "scores.csv")
        copy_classifier(store, stages["train"], folder / "classifier", comparison, config)
    show_run(record, config, "Scores over the splits, and the predictions")
    return record


def metrics(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], comparison: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the run's figures by name: mean scores of both methods over the splits, counts, and the unsure share."""
    annotated, predicted = store.meta(stages["labelled_texts"]), store.meta(stages["predict"])
    scores = {
        f"{row['method']}_{name}".replace(" ", "_"): row[name]["mean"]
        for row in comparison["rows"]
        if row["shots"] == 0
        for name in ("accuracy", "macro_f1", "calibration_error")
    }
    return {
        "n_documents": stages["load"].rows,
        "n_labelled": predicted["n_labelled"],
        "n_examples": stages["labelled_texts"].rows,
        "n_contradictory": annotated["n_contradictory"],
        "n_classes": annotated["n_classes"],
        **scores,
        "method": store.meta(stages["train"])["method"],
        "unsure_share": predicted["unsure_share"],
    }


def seconds_of_training(store: ArtifactStore, comparison: ArtifactRef) -> list[dict[str, Any]]:
    """Return the mean seconds of a training for each number of examples a class and each method."""
    seconds = pl.DataFrame(store.meta(comparison)["train_s"])
    means = seconds.group_by("shots", "method").agg(pl.col("seconds").mean().round(3)).sort("shots", "method")
    return means.to_dicts()


def scores_with_seconds(store: ArtifactStore, comparison: ArtifactRef) -> pl.DataFrame:
    """Return one row a training: method, shots, number, sizes, scores, seconds."""
    scores = store.table(comparison, "trials").collect()
    seconds = pl.DataFrame(store.meta(comparison)["train_s"]).rename({"seconds": "train_s"})
    return scores.join(seconds, on=["method", "shots", "number"], how="left", maintain_order="left")


def predictions_table(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], names: list[str]
) -> pl.DataFrame:
    """Return one row a document; with several labels `classes` is a list, and `class` is the most likely one."""
    predicted = stages["predict"]
    array = {
        name: np.asarray(store.array(predicted, name, whole=True))
        for name in ("best", "second", "probability", "margin")
    }
    classes = store.array(predicted, "classes", whole=True)
    known = pl.Series(names, dtype=pl.String)
    sure = np.asarray(classes).any(axis=1)
    table = store.table(stages["load"], "documents").select("doc_id", "text").collect()
    columns = [
        pl.select(pl.when(pl.Series(sure)).then(known.gather(array["best"])).alias("class")).to_series(),
        pl.Series("probability", array["probability"]),
        known.gather(array["best"]).alias("likeliest"),
        known.gather(array["second"]).alias("second"),
        pl.Series("margin", array["margin"]),
    ]
    if store.meta(stages["labelled_texts"])["multilabel"]:
        several = [known.filter(pl.Series(row)).to_list() for row in np.asarray(classes)]
        columns.append(pl.Series("classes", several, dtype=pl.List(pl.String)))
    found = pl.DataFrame([table["doc_id"], *columns, table["text"]])
    own = store.table(stages["load"], "columns").collect()
    taken = set(found.columns)
    kept = [
        name for name in own.columns if not (name in {"doc_id", "text"} and own[name].equals(found[name]))
    ]
    return found.hstack([own[name].alias(f"{name}_input" if name in taken else name) for name in kept])


def suggestions_table(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], predictions: pl.DataFrame
) -> pl.DataFrame:
    """Return the documents to label next, with an empty label and the classifier's guess beside it.

    If a document may have several labels or none, OPEN marks a document that is not labelled yet.
    """
    rows = np.asarray(store.array(stages["predict"], "suggested"))
    label = OPEN if store.meta(stages["labelled_texts"])["multilabel"] else None
    chosen = predictions[rows]
    return chosen.select(
        "doc_id",
        pl.lit(label, pl.String).alias("label"),
        pl.col("likeliest").alias("guess"),
        pl.col("second").alias("second_guess"),
        pl.col("probability").round(3),
        "text",
    )


def copy_classifier(
    store: ArtifactStore,
    trained: ArtifactRef,
    target: Path,
    comparison: Mapping[str, Any],
    config: TrainClassifierConfig,
) -> None:
    """Write the classifier's folder with its model card."""
    target.mkdir()
    for name in ("classifier.json", "coefficients.npy", "intercepts.npy"):
        shutil.copy(store.whole(trained, name), target / name)
    if store.meta(trained)["method"] == "setfit":
        shutil.copytree(store.whole(trained, "body"), target / "body")
    made = json.loads((target / "classifier.json").read_bytes())["made"]
    card = model_card(load_classifier(target), made, comparison, config)
    (target / "README.md").write_text(card, encoding="utf-8")
