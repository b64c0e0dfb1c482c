"""Topic folder: the artifacts of a finished topic model -> the folder of its run, which the user reads.

Imports no Prefect: if every stage is a hit, the command line writes the folder itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed
from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.passages import join_passages
from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.publish.edits import (
    edit_figures,
    edit_record,
    edit_remarks,
    without_advice,
    without_path,
    write_edits,
)
from topicflow.tasks.publish.folder import write_run_folder
from topicflow.tasks.publish.known_topics.given import given_figures, given_record, given_remarks
from topicflow.tasks.publish.known_topics.seeds import seed_figures, seed_remarks, write_seeds
from topicflow.tasks.publish.remarks import naming_remarks, remarks
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.publish.slice_tables import with_shares, write_slices
from topicflow.tasks.publish.topic_tree import tree_metrics, write_tree
from topicflow.tasks.report.report_page import finish_report
from topicflow.tasks.runs.changes import changes_since
from topicflow.tasks.runs.records import METRICS, RunId, RunRecord, write_json
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import RENAME, final_labels, final_topics, named_topics, read_stability
from topicflow.tasks.topics.named import with_topic_names


def publish_run(
    store: ArtifactStore, config: TopicModelConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the record of a run after writing its folder; `latest` moves if no gate holds the run back.

    Parameters
    ----------
    store : ArtifactStore
        Where the artifacts are.
    config : TopicModelConfig
        The resolved config.
    stages : mapping of str to ArtifactRef
        The artifact of each stage in order, as `flows.planning.stages` names them.
    run : RunId
        Name, number and start of the run.

    Raises
    ------
    ArtifactError
        When the folder cannot be written.
    """
    record = _record(store, config, stages, run)
    with write_run_folder(config, run, record) as folder:
        names = (
            store.table(stages.get("name", named_topics(stages)), "topics").select("topic", "name").collect()
        )
        documents = documents_table(store, stages, config.load, names)
        documents.sink_parquet(folder / "documents.parquet")
        is_stable = read_stability(store, final_labels(stages)) is not None
        columns = ["topic", *(["stability"] if is_stable else [])]
        placed = pl.read_parquet(folder / "documents.parquet", columns=columns)
        topics = topics_table(store, stages, placed)
        topics.write_parquet(folder / "topics.parquet")
        write_csv(flat_topics(topics), folder / "topics.csv")
        if "tree" in stages:
            named = store.table(stages["name"], "groups").collect() if "name" in stages else None
            write_tree(folder, store, stages["tree"], topics, names=named)
        record["n_documents"] = placed.height
        record["n_topics"] = topics.height
        if seeds := write_seeds(folder, store, stages, topics):
            record["seeds"] = seeds
        write_slices(folder, store, stages)
        write_metrics(folder, record)
        write_edits(folder, record)
        shutil.copytree(store.whole(final_topics(stages), "model"), folder / "model")
        record |= changes_since(Path(config.runtime.runs), record, folder)
        write_report(folder, store, stages["report"], record)
        if "name" in stages or RENAME in stages:
            name_topics(folder / "model", topics["name"].to_list())
        name_encoder(folder / "model", config.embed, config.runtime.device)
    return record


def write_metrics(folder: Path, record: RunRecord) -> None:
    """Write the metrics of a run, with what other smallest topics would give if the smallest topic was chosen."""
    chosen = {"size_choice": record["size_choice"]} if "size_choice" in record else {}
    write_json(folder / METRICS, record["metrics"] | chosen)


def size_record(store: ArtifactStore, labels: ArtifactRef) -> RunRecord:
    """Return the choice of the smallest topic of a fit for a run's record; empty if the config has a number."""
    choice = store.meta(labels).get("size_choice")
    return {} if choice is None else {"size_choice": choice}


def write_report(folder: Path, store: ArtifactStore, page: ArtifactRef, record: RunRecord) -> None:
    """Write the report of a run, from the page of its topics and what its record adds."""
    text = store.whole(page, "report.html").read_text(encoding="utf-8")
    (folder / "report.html").write_text(finish_report(text, record), encoding="utf-8")


def documents_of(stages: Mapping[str, ArtifactRef]) -> ArtifactRef:
    """Return the documents of the topics: the loaded ones, or the kept ones if duplicates were removed."""
    return stages.get("keep", stages["load"])


def topics_table(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], placed: pl.DataFrame
) -> pl.DataFrame:
    """Return one row a topic; if documents were split, sizes and examples are those of documents, not of passages.

    `placed` has the topic of each document, and its stability if that was measured; a topic's is the mean.
    """
    topics = store.table(stages.get("name", named_topics(stages)), "topics").collect()
    if "stability" in placed.columns:
        means = placed.group_by("topic").agg(pl.col("stability").mean())
        topics = topics.join(means, on="topic", how="left", maintain_order="left")
    topics = topics.drop("centroid")  # a row of an array in the store
    if not store.meta(documents_of(stages))["has_passages"]:
        return topics.drop("representative_rows")
    sizes = placed.group_by("topic").agg(pl.len().cast(pl.UInt32).alias("size"))
    whole = (
        pl.col("representative")
        .list.eval(pl.element().str.replace(r"#\d+$", ""))
        .list.unique(maintain_order=True)
    )
    return (
        topics.drop("representative_rows")
        .rename({"size": "n_passages"})
        .join(sizes, on="topic", how="left", maintain_order="left")
        .with_columns(pl.col("size").fill_null(0), whole)
        .select("topic", "size", pl.exclude("topic", "size"))
    )


def documents_table(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], loading: LoadConfig, names: pl.DataFrame
) -> pl.LazyFrame:
    """Return one row a document: id, topic, probability, outlier score, place on the map, the input's own columns.

    `names` has the number (topic) and the name (name) of each topic of the labels. The table is lazy: writing it
    streams, so that memory never holds all texts. Only documents that were split into passages are joined in memory.
    """
    documents, labels = documents_of(stages), final_labels(stages)
    layout = store.array(stages["map"], "reduced", whole=True)
    table = store.table(documents, "documents")
    placed = pl.DataFrame(
        {
            "topic": np.asarray(store.array(labels, "labels", whole=True)),
            "probability": np.asarray(store.array(labels, "probabilities", whole=True)),
            "outlier_score": np.asarray(store.array(labels, "outlier_scores", whole=True)),
            "reassigned": np.asarray(store.array(labels, "reassigned", whole=True)),
            "x": np.ascontiguousarray(layout[:, 0]),
            "y": np.ascontiguousarray(layout[:, 1]),
        }
    )
    if (stability := read_stability(store, labels)) is not None:
        placed.insert_column(placed.columns.index("x"), pl.Series("stability", stability).fill_nan(None))
    own = store.table(documents, "columns")
    if not store.meta(documents)["has_passages"]:
        beside = pl.concat([table.select("doc_id"), with_topic_names(placed.lazy(), names)], how="horizontal")
        beside = with_shares(store, stages, beside)
        return with_own_columns(beside, table.select("text"), own, loading)
    passages, columns = table.collect(), own.collect()
    joined = join_passages(passages.select(pl.col("parent").alias("doc_id")).hstack(placed))
    first = passages.with_row_index("at").group_by("parent", maintain_order=True).first()["at"]
    texts = _whole_texts(passages[first], columns[first], loading)
    named = with_shares(store, stages, with_topic_names(joined.lazy(), names))
    return with_own_columns(named, texts.lazy(), columns[first].lazy(), loading)


def _record(
    store: ArtifactStore, config: TopicModelConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    metrics = store.json(stages["evaluate"], "metrics")
    if "deduplicate" in stages:
        metrics["n_duplicates"] = store.meta(stages["deduplicate"])["n_duplicates"]
    metrics |= tree_metrics(store, stages)
    described, graph = describe_run(store, without_path(config), stages, run), store.meta(stages["neighbors"])
    chosen = size_record(store, stages["cluster"])
    choice = chosen.get("size_choice")
    if choice is not None:
        metrics["min_cluster_size"] = choice["min_cluster_size"]
    edits = edit_record(store, stages)
    given, of_given = given_record(store, stages), given_figures(store, stages)
    return {
        **described,
        **chosen,
        **edits,
        **given,
        "metrics": described["metrics"]
        | metrics
        | edit_figures(edits)
        | of_given
        | seed_figures(store, stages),
        "remarks": described["remarks"]
        + given_remarks(given, of_given)
        + seed_remarks(store, stages)
        + edit_remarks(edits)
        + remarks(without_advice(metrics, edits), config.cluster, graph.get("copies"), choice)
        + (naming_remarks(store.meta(stages["name"])) if "name" in stages else []),
        "graph": graph,
    }


def _whole_texts(passages: pl.DataFrame, own: pl.DataFrame, loading: LoadConfig) -> pl.DataFrame:
    """Return the documents' texts from the input's own columns; the first passages if these were not kept."""
    names = [loading.text_column] if isinstance(loading.text_column, str) else list(loading.text_column)
    if not set(names) <= set(own.columns):
        return passages.select("text")
    joined = pl.concat_str(
        [pl.col(name).cast(pl.String) for name in names], separator=loading.text_separator, ignore_nulls=True
    )
    return own.select(joined.alias("text"))


def with_own_columns(
    placed: pl.LazyFrame, texts: pl.LazyFrame, own: pl.LazyFrame, loading: LoadConfig | None = None
) -> pl.LazyFrame:
    """Return the table with the input's own columns beside it; a column whose name is taken ends in `_input`.

    A column of the same values as `text` or `doc_id` is left out if it has that name, or if `loading` reads the texts
    or the ids from it.
    """
    theirs = own.collect_schema().names()
    named = own.rename({name: f"{_OWN}{name}" for name in theirs})
    table = pl.concat([placed, texts, named], how="horizontal")
    same = {"text": "text", "doc_id": "doc_id"}
    if loading is not None:
        same |= {str(loading.text_column): "text", str(loading.id_column): "doc_id"}
    kept = [name for name in theirs if not (name in same and _repeats(table, name, same[name]))]
    names = [*placed.collect_schema().names(), *texts.collect_schema().names()]
    columns = [pl.col(name) for name in names]
    for own_name in kept:
        name = own_name
        while name in names or (name != own_name and name in kept):
            name = f"{name}_input"
        columns.append(pl.col(f"{_OWN}{own_name}").alias(name))
        names.append(name)
    return table.select(columns)


_OWN = "own\0"
"""Prefix of the input's own columns while both tables are joined; no column of a file has it."""


def _repeats(table: pl.LazyFrame, name: str, other: str) -> bool:
    """Return whether the input's own column `name` has the same values as the table's column `other`."""
    schema = table.collect_schema()
    if schema[other] != schema[f"{_OWN}{name}"]:
        return False
    same = pl.col(other).eq_missing(pl.col(f"{_OWN}{name}")).all()
    return bool(table.select(same).collect(engine="streaming").item())


def flat_topics(topics: pl.DataFrame) -> pl.DataFrame:
    """Return the topics with their lists joined, for a CSV file."""
    rounded = pl.col("weights").list.eval(pl.element().round(4).cast(pl.String)).list.join(" ")
    return topics.with_columns(
        pl.col("keywords").list.join(", "), rounded, pl.col("representative").list.join(" ")
    )


def name_topics(model: Path, names: Sequence[str]) -> None:
    """Write the names of topics, in the order of their numbers, into the BERTopic model as its custom labels."""
    path = model / "topics.json"
    held = json.loads(path.read_bytes())
    held["custom_labels"] = held["custom_labels"][: held["_outliers"]] + list(names)
    path.write_text(json.dumps(held, separators=(",", ":")), encoding="utf-8")


def name_encoder(model: Path, config: EmbedConfig, device: str) -> None:
    """Write the path of the encoder on this machine into the BERTopic model, so that `BERTopic.load` finds it."""
    if not isinstance(config, SentenceTransformersEmbed) or config.adapter is not None:
        return  # BERTopic would compare plain vectors with centroids of adapted ones
    path = model / "config.json"
    settings = json.loads(path.read_bytes())
    settings["embedding_model"] = find_encoder(config, device).loadable_name
    write_json(path, settings)
