"""Sixty updates in a row, every third killed with SIGKILL at a random moment and run again; prints JSON.

    python -m tests.benchmarks.soak --scratch DIR [--updates 60] [--seed 0]

Slices of arXiv titles (or planted documents without that corpus) are assigned one after the other, each by a separate
process that is forked from one with the flow imported: the flow's steps, without a Prefect server. After each slice
artifacts that the last `--keep` runs do not refer to are deleted, as by a nightly `store gc`. Checked: no document
lost or doubled; how many that have a topic before and after an update have the same one; artifacts and bytes of the
store; each process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.fakes import planted_corpus
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.store.resources import highest_peak_bytes


def write_corpus(folder: Path, n: int) -> Path:
    """Return a Parquet file of `n` documents with ids, hourly times and vectors; made in a separate process."""
    path = folder / "corpus.parquet"
    if path.exists():
        return path
    source = DATA / "arxiv_titles.parquet"
    if source.exists():
        table = pl.read_parquet(source, columns=["title", "created"]).sort("created", "title").tail(n)
        texts = table["title"].to_list()
        from topicflow.configs.sections.embed import StaticEmbed
        from topicflow.tasks.encoding.encoder_files import find_encoder
        from topicflow.tasks.encoding.encoders import load_encoder

        config = StaticEmbed(method="static")
        vectors = load_encoder(find_encoder(config, "cpu"), config).encode(texts)[0]
    else:
        corpus = planted_corpus(n_per_topic=n // 3, n_noise=n % 3)
        texts, vectors = corpus.texts, corpus.embeddings
    hours = pl.Series("time", np.arange(n, dtype=np.int64) * 3_600_000_000).cast(pl.Datetime("us"))
    told = pl.DataFrame({"id": [f"d{i}" for i in range(n)], "text": texts, "time": hours})
    folder.mkdir(parents=True, exist_ok=True)
    told.with_columns(pl.Series("vector", np.asarray(vectors, np.float32))).write_parquet(path)
    return path


def config_of(folder: Path, path: Path, until: str) -> UpdateTopicsConfig:
    """Return the config of the update that assigns the documents before a time."""
    return UpdateTopicsConfig(
        name="soak",
        load={"path": str(path), "id_column": "id", "timestamp_column": "time", "columns": ["vector"]},
        new_documents={"watermark": "time", "until": until},
        embed={"method": "precomputed", "column": "vector"},
        drift={"refit_after": 15},
        cluster={"min_cluster_size": 15},
        evaluate={"sample": 500},
        runtime={"store": str(folder / "store"), "runs": str(folder / "runs")},
    )


def child(config: UpdateTopicsConfig, folder: Path) -> None:
    """Run an update in this process, write its figures, and end."""
    from tests.updates import tell

    sys.stderr = (folder / "child.log").open("a")
    os.dup2(sys.stderr.fileno(), 2)
    started = time.perf_counter()
    record = tell(config)
    peak = highest_peak_bytes()
    told = {"state": record["state"], "seconds": time.perf_counter() - started, "peak_rss_bytes": peak}
    (folder / "told.json").write_text(json.dumps(told))
    os._exit(0)


def forked(
    config: UpdateTopicsConfig, folder: Path, kill_after_s: float | None = None
) -> dict[str, Any] | None:
    """Return the figures of an update in a separate process, None if it was killed before its end."""
    (folder / "told.json").unlink(missing_ok=True)
    if (process := os.fork()) == 0:
        try:
            child(config, folder)
        finally:
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if kill_after_s is None and status != 0:
        sys.exit((folder / "child.log").read_text())
    path = folder / "told.json"
    return json.loads(path.read_bytes()) if path.exists() and status == 0 else None


def clean(folder: Path, keep: int) -> dict[str, Any]:
    """Return artifacts and bytes of the store without the runs before the last `keep`, and how many ids were kept.

    A separate process, so that the one that forks starts no threads.
    """
    if (process := os.fork()) == 0:
        from topicflow.tasks.runs.history import list_runs
        from topicflow.tasks.runs.retention import collect_garbage, list_artifacts
        from topicflow.tasks.store.artifact_store import ArtifactStore

        records = list_runs(folder / "runs", "soak")
        told = {"kept_ids": kept_ids(*records[:2]), "refit": records[0]["update"]["refit"]}
        for record in records[keep:]:
            shutil.rmtree(record["folder"])
        store = ArtifactStore(folder / "store")
        collect_garbage(store, [folder / "runs"], 0.0)
        left = list_artifacts(store)
        told |= {"n_artifacts": len(left), "store_bytes": sum(artifact.bytes for artifact in left)}
        (folder / "left.json").write_text(json.dumps(told))
        os._exit(0)
    os.waitpid(process, 0)
    told: dict[str, Any] = json.loads((folder / "left.json").read_bytes())
    return told


def kept_ids(now: dict[str, Any], before: dict[str, Any] | None = None) -> float | None:
    """Return the share of the documents with a topic in two runs that have the same id in both."""
    if before is None:
        return None
    one, other = (
        pl.read_parquet(Path(record["folder"]) / "documents.parquet", columns=["doc_id", "topic"])
        for record in (before, now)
    )
    both = one.join(other, on="doc_id", suffix="_now").filter(pl.col("topic") >= 0, pl.col("topic_now") >= 0)
    return float(both.select((pl.col("topic") == pl.col("topic_now")).mean()).item())


def soak(folder: Path, path: Path, untils: list[str], keep: int, seed: int) -> dict[str, Any]:
    """Return the results of the updates, one per time in `untils`."""
    draw, rows, n_killed = random.Random(seed), [], 0
    usual = 1.0
    for number, until in enumerate(untils):
        config = config_of(folder, path, until)
        if number % 3 == 2:  # every third
            n_killed += forked(config, folder, draw.uniform(0.0, 1.2 * usual)) is None
        told = forked(config, folder)
        assert told is not None
        usual = told["seconds"] if told["state"] == "completed" else usual
        rows.append({**told, **clean(folder, keep)})
    return {"n_killed": n_killed, "rows": rows}


def first_told(folder: Path) -> pl.DataFrame:
    """Return the lineage of all refits: which topics continued."""
    return pl.read_parquet(folder / "runs" / "soak" / "latest" / "lineage.parquet")


def main() -> None:
    """Print the soak as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--first", type=int, default=3000)
    parser.add_argument("--slice", type=int, default=100)
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    n = args.first + args.slice * (args.updates - 1)
    folder = args.scratch / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    if (process := os.fork()) == 0:  # polars and the encoder start threads, which a fork does not take along
        write_corpus(args.scratch, n)
        os._exit(0)
    os.waitpid(process, 0)
    folder.mkdir(parents=True)
    import tests.updates  # noqa: F401  (once, for all processes)

    begin = np.datetime64("1970-01-01T00")
    untils = [str(begin + args.first + args.slice * i)[:10] for i in range(args.updates)]
    hours = [int((np.datetime64(until, "h") - begin).astype(int)) for until in untils]
    done = soak(folder, args.scratch / "corpus.parquet", untils, args.keep, args.seed)
    rows = done["rows"]
    documents = pl.read_parquet(
        folder / "runs" / "soak" / "latest" / "documents.parquet", columns=["doc_id", "topic"]
    )
    lineage = first_told(folder)
    refits = lineage.filter(pl.col("update") > 1)
    ended = refits.group_by("event").len().sort("event")
    given = lineage.filter(pl.col("event").is_in(["born", "split"]))
    third = len(rows) // 3
    print(
        json.dumps(
            {
                "benchmark": "soak",
                **machine(),
                "n_updates": args.updates,
                "n_killed": done["n_killed"],
                "n_documents": documents.height,
                "n_expected": hours[-1],
                "n_doubled": documents.height - documents["doc_id"].n_unique(),
                "n_lost": hours[-1] - documents["doc_id"].n_unique(),
                "n_refits": refits["update"].n_unique(),
                "events_of_refits": dict(ended.iter_rows()),
                "n_ids_used_twice": int(given["topic"].is_duplicated().sum()),
                "least_ids_kept_told": min(row["kept_ids"] for row in rows[1:] if not row["refit"]),
                "ids_kept_over_refits": [row["kept_ids"] for row in rows[1:] if row["refit"]],
                "outlier_share": float((documents["topic"] < 0).mean()),
                "store_bytes": [rows[i]["store_bytes"] for i in (0, third, 2 * third, -1)],
                "n_artifacts": [rows[i]["n_artifacts"] for i in (0, third, 2 * third, -1)],
                "bytes_a_document": [rows[i]["store_bytes"] / hours[i] for i in (0, third, 2 * third, -1)],
                "peak_rss_mb": [round(rows[i]["peak_rss_bytes"] / 1e6) for i in (0, third, 2 * third, -1)],
                "highest_peak_rss_mb": round(max(row["peak_rss_bytes"] for row in rows) / 1e6),
                "median_seconds": float(np.median([row["seconds"] for row in rows])),
                "states": {
                    state: sum(row["state"] == state for row in rows) for state in ("completed", "unchanged")
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
