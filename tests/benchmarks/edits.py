"""Edits: how many topics are found again in other fits, and the seconds of a merge beside BERTopic's; prints JSON.

    python -m tests.benchmarks.edits --work DIR

All topics of one fit of newsgroups (static vectors, smallest topic 40) are renamed. Each other fit applies the renames;
`heir` counts the topics whose name stands on the topic with most of their documents. `other_ids` are the same documents
under other ids, so that only keywords can decide. The clock of the merge covers the stages `edit` and `label_edited`,
and `BERTopic.merge_topics` on the model of the same run; both count the keywords again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.benchmarks.reruns import run
from topicflow.flows.commands.edit import made_edit
from topicflow.tasks.edits.edits_file import with_edit
from topicflow.tasks.edits.run_topics import RunTopics
from topicflow.tasks.runs.resolve import resolve

CONFIG = """
name = "edits"
[load]
path = "{path}"
text_column = "text"
id_column = "doc_id"
columns = []
[embed]
method = "static"
[cluster]
min_cluster_size = 40
[count]
min_df = 5
"""

FITS: dict[str, tuple[str, ...]] = {
    "four fifths of the documents": ("--set", "load.path=part.parquet"),
    "smallest topic 20": ("--set", "cluster.min_cluster_size=20"),
    "leaves, four fifths": ("--set", "cluster.selection=leaf", "--set", "load.path=part.parquet"),
    "UMAP and HDBSCAN": ("--set", "reduce.method=parallel_umap", "--set", "cluster.method=hdbscan"),
    "other_ids, four fifths": ("--set", "load.path=other_ids.parquet"),
    "other_ids, smallest topic 20": (
        "--set", "load.path=other_ids.parquet", "--set", "cluster.min_cluster_size=20",
    ),
}  # fmt: skip


def last(work: Path) -> dict[str, Any]:
    """Return the record of the last run."""
    return resolve(work / "runs", "edits/latest")


def documents(record: dict[str, Any]) -> pl.DataFrame:
    """Return id and topic of each document of a run; an x before an id is not part of it."""
    table = pl.read_parquet(Path(record["folder"]) / "documents.parquet", columns=["doc_id", "topic"])
    return table.with_columns(pl.col("doc_id").str.strip_prefix("x"))


def found_again(before: pl.DataFrame, record: dict[str, Any]) -> dict[str, int]:
    """Return how many of the renamed topics a run has, and how many of these are where most of their documents are."""
    both = before.join(documents(record), on="doc_id", suffix="_now").filter(pl.col("topic_now") >= 0)
    figures = {"topics": 0, "found": 0, "heir": 0}
    for edit in record["edits"]:
        own = both.filter(pl.col("topic") == int(edit["asked"]["name"][1:]))["topic_now"].to_numpy()
        figures["topics"] += 1
        figures["found"] += edit["applied"]
        figures["heir"] += bool(
            edit["applied"] and len(own) and edit["topics"] == [np.bincount(own).argmax()]
        )
    return figures


def merge_seconds(work: Path, config: Path) -> dict[str, float]:
    """Return the seconds of a merge of topics 1 and 2, ours and BERTopic's on the same model."""
    from bertopic import BERTopic

    record = last(work)
    texts = pl.read_parquet(Path(record["folder"]) / "documents.parquet", columns=["text"])["text"].to_list()
    model = BERTopic.load(str(Path(record["folder"]) / "model"))
    started = time.perf_counter()
    model.merge_topics(texts, [1, 2])
    theirs = time.perf_counter() - started
    edits = work / "topics_edits.toml"
    edits.write_text(with_edit("", made_edit(RunTopics.of(record), "merge", ["1", "2"], None, None), "edits"))
    stages = run(work, config)["stages"]
    return {"topicflow_s": stages["edit"][1] + stages["label_edited"][1], "bertopic_s": theirs}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    table = pl.read_parquet(DATA / "newsgroups.parquet").select("doc_id", "text")
    part = table.sample(fraction=0.8, seed=3, shuffle=True)
    part.write_parquet(work / "part.parquet")
    part.with_columns("x" + pl.col("doc_id")).write_parquet(work / "other_ids.parquet")
    config, edits = work / "edits.toml", work / "topics_edits.toml"
    config.write_text(CONFIG.format(path=DATA / "newsgroups.parquet"), encoding="utf-8")
    edits.unlink(missing_ok=True)
    run(work, config)
    merged = merge_seconds(work, config)
    edits.unlink()
    run(work, config)
    topics, before, text = RunTopics.of(last(work)), documents(last(work)), ""
    for number in topics.ids:
        text = with_edit(text, made_edit(topics, "rename", [str(number), f"T{number}"], None, None), "edits")
    edits.write_text(text, encoding="utf-8")
    fits = {}
    for name, options in FITS.items():
        run(work, config, *options)
        fits[name] = found_again(before, last(work))
    print(json.dumps({"benchmark": "edits", **machine(), "merge": merged, "fits": fits}, indent=2))


if __name__ == "__main__":
    main()
