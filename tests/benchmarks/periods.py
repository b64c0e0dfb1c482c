"""Topics over time and by group beside BERTopic's `topics_over_time` and `topics_per_class`; prints JSON.

    python -m tests.benchmarks.periods --documents 100000

Titles of arXiv from 1994 to 2018 in 100 quarters. The topics are given to both sides: the primary categories, a tenth
of the documents without one, and the same categories cut at random into parts for a larger number. The groups are the
50 most frequent second parts of the categories. The clock of topicflow covers the stage: reading dates, labels and
counts from the store, words, shares, trends, and writing the tables; compiled kernels are warm (the first call is
shown, too). The clock of BERTopic covers its method on a fitted model with the same periods as timestamps, global and
evolution tuning on.

`agreement`: with BERTopic's words and weighting (`spread` and `exclusivity` 0, its cleaning of texts) and global
tuning, how many (topic, period) have the same words in the same order, where the weights differ from each other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.fakes import save
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig
from topicflow.tasks.execution.context import Context
from topicflow.tasks.periods.counted import Counted
from topicflow.tasks.periods.groups import groups
from topicflow.tasks.periods.periods import periods
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics.count import count_texts

PEER_WORDS = CountConfig(stop_words="none", token_pattern=r"(?u)\b\w\w+\b")
PEER_WEIGHTS = LabelConfig(spread=0.0, exclusivity=0.0)


def titles(n: int) -> pl.DataFrame:
    """Return titles with dates, categories and groups; text cleaned as BERTopic cleans English texts."""
    table = pl.read_parquet(DATA / "arxiv_titles.parquet").with_columns(
        pl.col("created").cast(pl.String).str.slice(0, 10).str.to_datetime("%Y-%m-%d").alias("created")
    )
    table = table.filter(pl.col("created").dt.year().is_between(1994, 2018))
    rows = np.sort(np.random.default_rng(0).permutation(table.height)[:n])
    text = pl.col("title").str.replace_all("[\n\t]", " ").str.replace_all(r"[^A-Za-z0-9 ]+", "")
    group = pl.col("primary_cat").str.split(".").list.last()
    return table[rows].select(text.alias("text"), "created", "primary_cat", group.alias("group"))


def topics_of(table: pl.DataFrame, parts: int) -> np.ndarray:
    """Return the topic of each title by size: its category, cut at random into parts; -1 for a tenth of all."""
    rng = np.random.default_rng(1)
    cut = pl.Series(rng.integers(0, parts, table.height))
    names = table.select(pl.format("{}-{}", "primary_cat", cut).alias("name"))["name"]
    order = names.value_counts(sort=True)["name"]
    labels = names.replace_strict(order, range(len(order)), return_dtype=pl.Int32).to_numpy().copy()
    labels[rng.random(len(labels)) < 0.1] = -1
    kept, sizes = np.unique(labels[labels >= 0], return_counts=True)
    renumbered = {old: new for new, old in enumerate(kept[np.argsort(-sizes, kind="stable")].tolist())}
    return np.array([renumbered.get(label, -1) for label in labels.tolist()], np.int32)


def stored(store: ArtifactStore, table: pl.DataFrame, labels: np.ndarray, counting: CountConfig) -> Counted:
    """Return the artifacts that both stages read."""
    n, name = table.height, f"{labels.max()}"
    documents = table.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), pl.col("created").alias("timestamp")
    )
    recipe = Recipe("counts", "counts", 1, {"name": name, "pattern": counting.token_pattern})
    with store.writing(recipe) as writer:
        count_texts([table["text"].to_list()], counting, writer)
    counts = store.committed(recipe, writer)
    tables = {"columns": table.select("group"), "documents": documents}
    return Counted(
        save(store, "documents", tables, {"has_passages": False}, name),
        save(store, "labels", {"labels": labels}, name=name),
        ArtifactRef("counts", counts.key, "counts", rows=n),
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = call()
    return found, time.perf_counter() - started


def ours(scratch: Path, table: pl.DataFrame, labels: np.ndarray) -> dict[str, Any]:
    """Return seconds of both stages, cold and warm, and the rows of their tables."""
    found: dict[str, Any] = {}
    stages = {
        "periods": (periods, PeriodsConfig(every="quarter")),
        "groups": (groups, GroupsConfig(columns=("group",))),
    }
    for visit in ("first", "warm"):
        store = ArtifactStore(scratch / f"{visit}-{labels.max()}")
        counted = stored(store, table, labels, CountConfig())
        for name, (stage, config) in stages.items():
            run = lambda: stage.fn(Context(store), counted, config=config, weighting=LabelConfig())  # noqa: B023, E731
            ref, seconds = timed(run)
            found[f"{name}_{visit}_s"] = round(seconds, 2)
            found[f"{name}_rows"] = ref.rows
    return found


def quarter_starts(table: pl.DataFrame) -> list[Any]:
    return table["created"].dt.truncate("1q").to_list()


def fitted_peer(table: pl.DataFrame, labels: np.ndarray) -> Any:
    """Return a BERTopic model with these topics; nothing is embedded, reduced or clustered."""
    from bertopic import BERTopic
    from bertopic.backend import BaseEmbedder
    from bertopic.cluster import BaseCluster
    from bertopic.dimensionality import BaseDimensionalityReduction

    model = BERTopic(
        embedding_model=BaseEmbedder(),
        umap_model=BaseDimensionalityReduction(),
        hdbscan_model=BaseCluster(),
    )
    vectors = np.zeros((table.height, 2), np.float32)
    model.fit(table["text"].to_list(), embeddings=vectors, y=labels.tolist())
    return model


def peer(table: pl.DataFrame, labels: np.ndarray) -> tuple[dict[str, Any], Any, Any]:
    """Return seconds of BERTopic's two methods, its model, and its topics over time with global tuning alone."""
    model, texts = fitted_peer(table, labels), table["text"].to_list()
    starts, kinds = quarter_starts(table), table["group"].to_list()
    both, seconds = timed(lambda: model.topics_over_time(texts, starts))
    _, per_class = timed(lambda: model.topics_per_class(texts, kinds))
    alone = model.topics_over_time(texts, starts, evolution_tuning=False)
    return (
        {
            "topics_over_time_s": round(seconds, 2),
            "topics_per_class_s": round(per_class, 2),
            "rows": len(both),
            "rows_that_evolution_tuning_changes": int(
                (both.Words.to_numpy() != alone.Words.to_numpy()).sum()
            ),
        },
        model,
        alone,
    )


def same_words(scratch: Path, table: pl.DataFrame, model: Any, over_time: Any) -> dict[str, Any]:
    """Return how often both sides have the same words of a topic in a period, by the same definition."""
    store, labels = ArtifactStore(scratch / "same"), np.asarray(model.topics_, np.int32)
    counted = stored(store, table, labels, PEER_WORDS)
    config = PeriodsConfig(every="quarter", evolution_tuning=False, words=6)
    made = periods.fn(Context(store), counted, config=config, weighting=PEER_WEIGHTS)
    rows = (
        store.table(made, "over_time").filter((pl.col("topic") >= 0) & (pl.col("n_documents") > 0)).collect()
    )
    own = {
        (topic, start): (n, words, weights)
        for topic, start, n, words, weights in rows.select(
            "topic", "start", "n_documents", "keywords", "weights"
        ).iter_rows()
    }
    n_same = n_compared = n_counts = n_sets = 0
    theirs = over_time[over_time.Topic >= 0]
    for topic, words, frequency, start in theirs.itertuples(index=False):
        n, found, weights = own[int(topic), start.date()]
        n_counts += n == frequency
        if (np.diff(weights) < -1e-9).all():  # words of equal weight have any order
            n_compared += 1
            n_same += found[:5] == [word for word in words.split(", ") if word][:5]
        n_sets += 1
    return {
        "pairs": n_sets,
        "same_counts": n_counts,
        "pairs_without_equal_weights": n_compared,
        "same_words_in_the_same_order": n_same,
    }


def main() -> None:
    """Print seconds, rows and agreement as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--parts", type=int, nargs="*", default=[1, 8])
    args = parser.parse_args()
    table = titles(args.documents)
    found: dict[str, Any] = {"benchmark": "periods", **machine(), "documents": table.height}
    with tempfile.TemporaryDirectory() as scratch:
        for parts in args.parts:
            labels = topics_of(table, parts)
            result: dict[str, Any] = {"topicflow": ours(Path(scratch), table, labels)}
            theirs, model, alone = peer(table, labels)
            result |= {
                "bertopic": theirs,
                "agreement": same_words(Path(scratch) / f"{parts}", table, model, alone),
            }
            for own, other in (("periods", "topics_over_time"), ("groups", "topics_per_class")):
                ratio = theirs[f"{other}_s"] / max(result["topicflow"][f"{own}_warm_s"], 0.01)
                result[f"{own}_times_faster"] = round(ratio, 1)
            found[f"{int(labels.max()) + 1} topics"] = result
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
