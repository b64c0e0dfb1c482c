"""Retrieval on cranfield: nDCG@10, MRR and recall@100 by meaning, by words, and by both; prints JSON.

    python -m tests.benchmarks.retrieval --scratch DIR [--precision int8]

1,400 abstracts (title and text), 225 queries; relevance above 0 counts as relevant. The fusion's constant and weight
are tried on every second query (`tuned_on`), and everything is also reported on the others (`held_out`); the shipped
constants are reported together with the best of the tuning half. The reranker is not measured: it needs a download.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.indexes import run
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.core.vectors.postings import fuse_ranks
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.ranking import DENSE_WEIGHT, DEPTH, FUSION_K, by_words

FUSIONS = (5.0, 10.0, 20.0, 30.0, 60.0, 100.0)
WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DEPTHS = (100, 200)

Ranking = Sequence[str]


def scores(rankings: Sequence[Ranking], relevant: Sequence[set[str]]) -> dict[str, float]:
    """Return the mean figures of rankings, best first, of which up to 100 places count."""
    discounts = 1 / np.log2(np.arange(2, 12))
    found = []
    for ranking, wanted in zip(rankings, relevant, strict=True):
        hits = np.array([doc_id in wanted for doc_id in ranking[:100]] + [False] * (100 - len(ranking[:100])))
        ideal = discounts[: min(10, len(wanted))].sum()
        first = np.flatnonzero(hits)
        found.append(
            [
                hits[:10] @ discounts / ideal,
                1 / (first[0] + 1) if len(first) else 0.0,
                hits.sum() / len(wanted),
            ]
        )
    return dict(
        zip(("ndcg_at_10", "mrr", "recall_at_100"), np.mean(found, axis=0).round(4).tolist(), strict=True)
    )


def judged() -> tuple[list[str], list[set[str]]]:
    """Return the queries that have a relevant document among the corpus, and the ids of these."""
    documents = pl.read_parquet(DATA / "cranfield_docs.parquet")
    kept = documents.filter(pl.col("text").fill_null("").str.strip_chars() != "")["doc_id"].cast(pl.String)
    qrels = pl.read_parquet(DATA / "cranfield_qrels.parquet").filter(pl.col("relevance") > 0)
    qrels = qrels.with_columns(pl.col("doc_id").cast(pl.String)).filter(
        pl.col("doc_id").is_in(kept.implode())
    )
    wanted = dict(qrels.group_by("query_id", maintain_order=True).agg("doc_id").iter_rows())
    queries = pl.read_parquet(DATA / "cranfield_queries.parquet").filter(
        pl.col("query_id").is_in(list(wanted))
    )
    return queries["text"].to_list(), [set(wanted[query]) for query in queries["query_id"]]


def rankings_of(index: SearchIndex, queries: Sequence[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the rows by meaning and by words for each query, enough for any depth."""
    vectors = index.queries.encode(queries)[0]
    dense = list(index.nearest(vectors, max(DEPTHS))[0])
    return dense, [by_words(index._open, query, max(DEPTHS), None)[0] for query in queries]


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--precision", default="float32")
    args = parser.parse_args()
    config = BuildIndexConfig(
        name=f"cranfield-{args.precision}",
        load={
            "path": str(DATA / "cranfield_docs.parquet"), "text_column": ["title", "text"], "id_column": "doc_id",
        },
        embed={"precision": args.precision},
        runtime={"store": str(args.scratch / "store"), "runs": str(args.scratch / "runs")},
    )  # fmt: skip
    index = run(config)
    queries, relevant = judged()
    dense, words = rankings_of(index, queries)
    ids = index.documents["doc_id"].to_numpy()
    halves = {"all": slice(None), "tuned_on": slice(0, None, 2), "held_out": slice(1, None, 2)}

    def fused(fusion_k: float, weight: float, depth: int) -> list[Ranking]:
        pairs = zip(dense, words, strict=True)
        return [ids[fuse_ranks([d[:depth], w[:depth]], [weight, 1 - weight], fusion_k)[0]] for d, w in pairs]

    def figures(rankings: Sequence[Ranking]) -> dict[str, Any]:
        return {name: scores(rankings[part], relevant[part]) for name, part in halves.items()}

    tried = {
        (fusion_k, weight, depth): scores(fused(fusion_k, weight, depth)[::2], relevant[::2])
        for fusion_k, weight, depth in product(FUSIONS, WEIGHTS, DEPTHS)
    }
    best = max(tried, key=lambda each: sum(tried[each].values()))
    shipped = (FUSION_K, DENSE_WEIGHT, DEPTH)
    report = {
        "benchmark": "retrieval",
        **machine(),
        "corpus": "cranfield",
        "n_documents": len(index),
        "n_queries": len(queries),
        "precision": args.precision,
        "dense": figures([ids[rows] for rows in dense]),
        "bm25": figures([ids[rows] for rows in words]),
        "hybrid": {"fusion_k, dense_weight, depth": shipped, **figures(fused(*shipped))},
        "hybrid_best_of_tuning": {"fusion_k, dense_weight, depth": best, **figures(fused(*best))},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
