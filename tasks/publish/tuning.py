"""Publish a tuning: the artifacts of a finished run of `tune_embeddings` -> its folder, and tables in the Prefect UI.

RUNS/<name>/<run id>/    examples.parquet questions.parquet contradictory.csv metrics.json run.json config.toml run.log
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.tuning import AdapterTune, SyntheticExamples
from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, write_run_folder
from topicflow.tasks.publish.remarks import synthetic_remarks
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.runs.records import RunId, RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tuning.example_files import MEMBERS
from topicflow.tasks.tuning.example_set import AnyEmbed
from topicflow.tasks.tuning.examples import ASIDE, HELD_OUT, TRAINING, UNLABELLED, VALIDATION

ROLES = {
    TRAINING: "training",
    VALIDATION: "validation",
    HELD_OUT: "held out",
    UNLABELLED: "unlabelled",
    ASIDE: "left aside",
}


def tuned_encoding(store: ArtifactStore, config: TuneEmbeddingsConfig, tuned: ArtifactRef) -> AnyEmbed:
    """Return the section `embed` that makes the tuned vectors: the run's own with the adapter, or the tuned model."""
    if isinstance(config.tune, AdapterTune):
        return config.embed.model_copy(update={"adapter": tuned.key})
    assert isinstance(config.embed, SentenceTransformersEmbed)
    return config.embed.model_copy(update={"model": str(store.whole(tuned, "model")), "revision": None})


def publish_tuned_run(
    store: ArtifactStore, config: TuneEmbeddingsConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder; `stages` end with tune, embed_again and measure."""
    tuned, described = stages["tune"], describe_run(store, config, stages, run)
    record = {
        **described,
        "n_documents": stages["load"].rows,
        "metrics": described["metrics"] | store.json(stages["measure"], "metrics"),
        "tuned": store.meta(tuned),
    }
    record |= (
        {"adapter": tuned.key} if tuned.kind == "adapters" else {"model": str(store.whole(tuned, "model"))}
    )
    is_synthetic = isinstance(config.examples, SyntheticExamples)
    if is_synthetic:
        record["remarks"] = [*described["remarks"], *synthetic_remarks(store.meta(stages["examples"]))]
    with write_run_folder(config, run, record) as folder:
        if is_synthetic:
            store.table(stages["examples"], "pairs").sink_parquet(folder / "questions.parquet")
        table = examples_table(store, stages)
        table.write_parquet(folder / "examples.parquet")
        if "contradictory" in table.columns and table["contradictory"].any():
            contradictory = table.filter("contradictory").select("doc_id", "label", "text")
            write_csv(contradictory, folder / "contradictory.csv")
    return record


def examples_table(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> pl.DataFrame:
    """Return one row an example with its role: documents with their label, or the members of a pair or triplet."""
    chosen, about = stages["examples"], store.meta(stages["examples"])
    documents = store.table(stages["load"], "documents")
    roles = np.asarray(store.array(chosen, "roles" if about["kind"] == "classes" else "link_roles"))
    named = pl.Series("role", [ROLES[role] for role in roles.tolist()], dtype=pl.String)
    rows = np.asarray(store.array(chosen, "rows"))
    if about["kind"] == "classes":
        names = np.array([*about["classes"], None], dtype=object)
        contradictory = np.zeros(len(rows), bool)
        contradictory[np.asarray(store.array(chosen, "contradictory"))] = True
        columns = ["doc_id", "text", *(["label"] if "label" in documents.collect_schema() else [])]
        table = documents.select(columns).collect()
        classes = pl.Series(
            "class", names[np.asarray(store.array(chosen, "classes"))].tolist(), dtype=pl.String
        )
        own = table["label"] if "label" in table.columns else classes.alias("label")
        return table.select("doc_id").with_columns(
            named, classes, own, table["text"], pl.Series("contradictory", contradictory)
        )
    links, similar = np.asarray(store.array(chosen, "links")), np.asarray(store.array(chosen, "similar"))
    items = (
        store.table(chosen, "texts").collect()["text"]
        if about["by_text"]
        else documents.select("doc_id").collect()["doc_id"].gather(rows)
    )
    members = [items.gather(links[:, place]).alias(name) for place, name in enumerate(MEMBERS[about["kind"]])]
    is_told = len(similar) and about["kind"] != "synthetic"  # there all pairs are similar
    beside = [pl.Series("similar", similar)] if is_told else []
    if about.get("graded"):
        beside = [pl.Series("score", np.asarray(store.array(chosen, "scores")))]
    return pl.DataFrame([*members, *beside, named])


@stage("publish")
def publish_tuned(
    store: ArtifactStore, config: TuneEmbeddingsConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing its figures and its config in the UI."""
    record = publish_tuned_run(store, config, stages, run)
    show_run(record, config, "Raw beside tuned, on held-out examples")
    return record
