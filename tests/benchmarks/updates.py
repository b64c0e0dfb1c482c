"""Assign a corpus by months, twice, with two seeds: are topic ids the same? Compared with BERTopic's merges.

    python -m tests.benchmarks.updates --scratch DIR [--corpus arxiv_titles|tweets_dated] [--months 36]
        [--only topicflow|bertopic]
        [--vectors FILE.npy --documents FILE.parquet] [--refit-after 12]

The first year is fitted, then each month is assigned by a run of `update_topics`, with a refit after at most
`--refit-after` runs. Both stories share the first run; the second continues with another seed, which makes its next
run refit. `ids` is over documents that both stories have in topics which continue from the first run: the share that
has the same id. `beyond` counts the documents whose topic continues in one story and which have none, or a later one,
in the other. The peer fits a model of each month and merges it into the last one (`merge_models`, its defaults), from
the same vectors. Seconds are of the flow's line in one process, without Prefect and encoder. `--only bertopic` only
runs the peer's side.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.updates import tell as run_line
from topicflow.configs.flows.update_topics import UpdateTopicsConfig

CORPORA = {
    "arxiv_titles": ("title", "created", datetime(2009, 1, 1), 15),  # noqa: DTZ001
    "tweets_dated": ("text", "created_at", datetime(2012, 1, 1), 15),  # noqa: DTZ001
}
"""Text column, time column, begin of the story, min_cluster_size."""


def write_slices(args: argparse.Namespace) -> Path:
    """Return a Parquet file of the story's documents with their vectors in a column, oldest first."""
    text, time_column, begin, _ = CORPORA[args.corpus]
    target = args.scratch / f"{args.corpus}-story.parquet"
    if target.exists():
        return target
    args.scratch.mkdir(parents=True, exist_ok=True)
    table = pl.read_parquet(args.documents or DATA / f"{args.corpus}.parquet").with_row_index("place")
    ends = pl.Series([begin]).dt.offset_by(f"{12 + args.months}mo")[0]
    told = table.filter(
        pl.col(time_column).is_between(begin, ends, closed="left"), pl.col(text).is_not_null()
    )
    told = told.sort(time_column, "place").select(
        pl.col("place"), pl.col(text).alias("text"), pl.col(time_column).cast(pl.Datetime("us")).alias("time")
    )
    if args.vectors:
        vectors = np.load(args.vectors, mmap_mode="r")[told["place"].to_numpy()]
    else:
        from topicflow.configs.sections.embed import StaticEmbed
        from topicflow.tasks.encoding.encoder_files import find_encoder
        from topicflow.tasks.encoding.encoders import load_encoder

        config = StaticEmbed(method="static")
        vectors = load_encoder(find_encoder(config, "cpu"), config).encode(told["text"].to_list())[0]
    told = told.with_columns(
        pl.col("place").cast(pl.String).alias("id"), pl.Series("vector", np.asarray(vectors, np.float32))
    )
    told.drop("place").write_parquet(target)
    return target


def tell(path: Path, work: Path, name: str, seed: int, untils: list[str], args: argparse.Namespace) -> Any:
    """Return the records of the runs of one story, run in this process."""
    records = []
    for until in untils:
        config = UpdateTopicsConfig(
            name=name,
            seed=seed,
            load={"path": str(path), "id_column": "id", "timestamp_column": "time", "columns": ["vector"]},
            new_documents={"watermark": "time", "until": until},
            embed={"method": "precomputed", "column": "vector"},
            drift={"refit_after": args.refit_after},
            cluster={"min_cluster_size": CORPORA[args.corpus][3]},
            runtime={"store": str(work / "store"), "runs": str(work / "runs")},
        )
        records.append(run_line(config))
    return records


def documents(work: Path, record: dict[str, Any]) -> pl.DataFrame:
    """Return id and topic of a run's documents."""
    folder = work / "runs" / record["name"] / record["run_id"]
    return pl.read_parquet(folder / "documents.parquet", columns=["doc_id", "topic"])


def agreement(first: pl.DataFrame, second: pl.DataFrame, lasting: set[int]) -> dict[str, Any]:
    """Return how many documents have the same id in both stories, among those in topics that continue in both."""
    both = first.join(second, on="doc_id", suffix="_second")
    own, other = (pl.col(name).is_in(list(lasting)) for name in ("topic", "topic_second"))
    held, either = both.filter(own & other), both.filter(own | other)
    same = int((held["topic"] == held["topic_second"]).sum())
    return {
        "n_documents": both.height,
        "n_lost": first.height + second.height - 2 * both.height,
        "n_lasting_topics": len(lasting),
        "n_in_lasting_topics_of_both": held.height,
        "ids": same / max(1, held.height),
        "beyond": either.height - held.height,
        "ids_of_either": same / max(1, either.height),
    }


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return times and results of a story's runs."""
    told = [record["update"] for record in records]
    return {
        "n_runs": len(records),
        "n_refits": sum(update["refit"] for update in told),
        "reasons": [update["reason"] for update in told if update["refit"]],
        "n_topics": [records[0]["n_topics"], records[-1]["n_topics"]],
        "outlier_share": [records[0]["metrics"]["outlier_share"], records[-1]["metrics"]["outlier_share"]],
        "lineage": [r["lineage"] for r in records if r["update"]["refit"]],
        "seconds_of_runs": round(sum(r["seconds"] for r in records), 1),
        "median_seconds_told": float(
            np.median([r["seconds"] for r in records if not r["update"]["refit"]] or [0])
        ),
        "median_seconds_refit": float(np.median([r["seconds"] for r in records if r["update"]["refit"]])),
    }


def stories(path: Path, args: argparse.Namespace, untils: list[str]) -> dict[str, Any]:
    """Return how much the same story, run with two seeds after one first run, ends with the same ids."""
    work = args.scratch / f"work-{args.corpus}"
    shutil.rmtree(work, ignore_errors=True)
    begun = tell(path, work, "first", 1, untils[:1], args)
    shutil.copytree(work / "runs" / "first", work / "runs" / "second", symlinks=True)
    first = tell(path, work, "first", 1, untils[1:], args)
    second = tell(path, work, "second", 2, untils[1:], args)
    tables = [documents(work, record) for record in (begun[0], first[-1], second[-1])]
    lasting = set.intersection(*({*table["topic"]} - {-1} for table in tables))
    return {
        "n_first": begun[0]["n_documents"],
        **agreement(tables[1], tables[2], lasting),
        "n_doubled": [table.height - table["doc_id"].n_unique() for table in tables],
        "stories": [summary([*begun, *first]), summary([*begun, *second])],
    }


def merged_story(table: pl.DataFrame, bounds: list[datetime], seed: int, size: int, first: Any) -> Any:
    """Return ids (n_docs,) from BERTopic's models of the slices, merged one after the other, and seconds."""
    from bertopic import BERTopic

    merged, started = first, time.perf_counter()
    for low, high in itertools.pairwise(bounds[1:]):
        part = table.filter(pl.col("time").is_between(low, high, closed="left"))
        if part.height <= size:
            continue
        merged = BERTopic.merge_models([merged, fit_slice(part, seed, size)])
    return np.asarray(merged.topics_), time.perf_counter() - started


def fit_slice(part: pl.DataFrame, seed: int, size: int) -> Any:
    """Return BERTopic's model of one slice with its defaults."""
    from bertopic import BERTopic
    from umap import UMAP

    umap = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed)
    model = BERTopic(umap_model=umap, min_topic_size=size)
    model.fit(part["text"].to_list(), np.stack(part["vector"].to_numpy()))
    return model


def peer(path: Path, args: argparse.Namespace, bounds: list[datetime]) -> dict[str, Any]:
    """Return the same measure of BERTopic's merge_models on the same slices."""
    table, size = pl.read_parquet(path), CORPORA[args.corpus][3]
    first = fit_slice(table.filter(pl.col("time") < bounds[1]), 1, size)
    stories = [merged_story(table, bounds, seed, size, first) for seed in (1, 2)]
    n = min(len(ids) for ids, _ in stories)
    lasting = set(first.topics_) - {-1}
    told = [pl.DataFrame({"doc_id": np.arange(n), "topic": ids[:n]}) for ids, _ in stories]
    return {
        **agreement(told[0], told[1], lasting),
        "n_topics": [len(lasting), *(len(set(ids.tolist()) - {-1}) for ids, _ in stories)],
        "outlier_share": [float((ids < 0).mean()) for ids, _ in stories],
        "seconds_of_merges": [round(seconds, 1) for _, seconds in stories],
    }


def main() -> None:
    """Print both stories and the peer's as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--corpus", choices=CORPORA, default="arxiv_titles")
    parser.add_argument("--months", type=int, default=36)
    parser.add_argument("--refit-after", type=int, default=12)
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--only", choices=("topicflow", "bertopic"))
    args = parser.parse_args()
    path, begin = write_slices(args), CORPORA[args.corpus][2]
    bounds = [begin, *(pl.Series([begin]).dt.offset_by(f"{12 + m}mo")[0] for m in range(args.months + 1))]
    untils = [f"{bound:%Y-%m-%d}" for bound in bounds[1:]]
    told = {
        "topicflow": lambda: stories(path, args, untils),
        "bertopic_merge_models": lambda: peer(path, args, bounds),
    }
    wanted = {
        name: measure() for name, measure in told.items() if args.only in (None, name.partition("_")[0])
    }
    facts = {"corpus": args.corpus, "months": args.months, "refit_after": args.refit_after}
    print(json.dumps({"benchmark": "updates", **machine(), **facts, **wanted}, indent=2))


if __name__ == "__main__":
    main()
