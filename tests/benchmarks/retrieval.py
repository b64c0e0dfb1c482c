"""Retrieval on cranfield: nDCG@10, MRR, recall@100 and milliseconds of every way to search; prints JSON.

    python -m tests.benchmarks.retrieval --scratch DIR [--precision int8]

1,400 abstracts (title and text), 225 queries; relevance above 0 counts as relevant. Each mode is measured with and
without feedback, on an index of plain words and on one with base forms. The fusion's constant and weight, and the
constants of the feedback, are tried on every second query (`tuned_on`), and everything is also reported on the others
(`held_out`). Milliseconds are processor time, with the encoding of the query. The reranker is not measured: it needs a
download.
"""

from __future__ import annotations

import argparse
import json
import time
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
from topicflow.tasks.search import ranking
from topicflow.tasks.search.arguments import DENSE_WEIGHT, FUSION_K
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.ranking import DEPTH, Question
from topicflow.tasks.search.scoring import feedback

FUSIONS = (5.0, 10.0, 20.0, 30.0, 60.0, 100.0)
WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DEPTHS = (100, 200)

FEEDBACKS = {
    "DOCUMENTS": (3, 5, 8), "VECTOR_SHARE": (0.5, 1.0), "WORDS": (10, 20, 40), "WORD_SHARE": (0.3, 0.4, 0.5),
}  # fmt: skip
"""Values that are tried for the constants of `tasks.search.scoring.feedback`, all others as they are."""

Ranking = Sequence[str]


def scores(rankings: Sequence[Ranking], relevant: Sequence[set[str]]) -> dict[str, float]:
    """Return the mean figures of rankings, best first, of which up to 100 places count."""
    discounts = 1 / np.log2(np.arange(2, 12))
    found = []
    for ranked, wanted in zip(rankings, relevant, strict=True):
        hits = np.array([doc_id in wanted for doc_id in ranked[:100]] + [False] * (100 - len(ranked[:100])))
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
    words = [ranking.query_words(index._open, query) for query in queries]
    return dense, [ranking.by_words(index._open, each, max(DEPTHS), None)[0] for each in words]


class Judge:
    """The queries of the corpus, their relevant documents, and the figures of rankings."""

    def __init__(self) -> None:
        self.queries, self.relevant = judged()

    def figures(self, rankings: Sequence[Ranking]) -> dict[str, Any]:
        """Return the figures of one ranking per query, for all queries and for both halves."""
        halves = {"all": slice(None), "tuned_on": slice(0, None, 2), "held_out": slice(1, None, 2)}
        return {name: scores(rankings[part], self.relevant[part]) for name, part in halves.items()}

    def of_search(self, index: SearchIndex, **options: Any) -> dict[str, Any]:
        """Return the figures of searches as a user makes them, and their processor time."""
        index.search("warm up", 100, **options)
        started = time.process_time()
        rankings = [[hit.doc_id for hit in index.search(query, 100, **options)] for query in self.queries]
        took = 1000 * (time.process_time() - started) / len(self.queries)
        return {**self.figures(rankings), "ms": round(took, 1)}

    def of_fusions(self, index: SearchIndex) -> dict[str, Any]:
        """Return the constants of the fusion with the best figures on the tuning half."""
        dense, words = rankings_of(index, self.queries)
        ids = index.documents["doc_id"].to_numpy()

        def fused(fusion_k: float, weight: float, depth: int) -> list[Ranking]:
            pairs = zip(dense, words, strict=True)
            return [
                ids[fuse_ranks([d[:depth], w[:depth]], [weight, 1 - weight], fusion_k)[0]] for d, w in pairs
            ]

        tried = {
            each: scores(fused(*each)[::2], self.relevant[::2]) for each in product(FUSIONS, WEIGHTS, DEPTHS)
        }
        best = max(tried, key=lambda each: sum(tried[each].values()))
        shipped = (FUSION_K, DENSE_WEIGHT, DEPTH)
        return {
            "fusion_k, dense_weight, depth": {"shipped": shipped, "best": best},
            **self.figures(fused(*best)),
        }

    def of_feedbacks(self, index: SearchIndex) -> dict[str, float]:
        """Return nDCG@10 on the tuning half for other constants of the feedback, each with the others as shipped."""
        found, vectors = {}, index.queries.encode(self.queries[::2])[0]
        for name, values in FEEDBACKS.items():
            shipped = getattr(feedback, name)
            for value in values:
                setattr(feedback, name, value)
                found[f"{name}={value}"] = self._tuned(index, vectors)
            setattr(feedback, name, shipped)
        return found

    def _tuned(self, index: SearchIndex, vectors: np.ndarray) -> float:
        ids, rankings = index.documents["doc_id"].to_numpy(), []
        for query, vector in zip(self.queries[::2], vectors, strict=True):
            question = Question(ranking.query_words(index._open, query), vector, None)
            moved = ranking.with_feedback(index._open, question)
            rankings.append(ids[ranking.ranking_of(index._open, moved).best(100)[0]])
        return scores(rankings, self.relevant[::2])["ndcg_at_10"]


def index_of(scratch: Path, precision: str, lemmas: tuple[str, ...]) -> SearchIndex:
    """Return an index of the corpus."""
    config = BuildIndexConfig(
        name=f"cranfield-{precision}-{'-'.join(lemmas)}".rstrip("-"),
        load={
            "path": str(DATA / "cranfield_docs.parquet"), "text_column": ["title", "text"], "id_column": "doc_id",
        },
        embed={"precision": precision},
        index={"lemmas": lemmas},
        runtime={"store": str(scratch / "store"), "runs": str(scratch / "runs")},
    )  # fmt: skip
    return run(config)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--precision", default="float32")
    args = parser.parse_args()
    judge, found = Judge(), {}
    for lemmas in ((), ("en",)):
        index = index_of(args.scratch, args.precision, lemmas)
        for mode, expand in product(("dense", "bm25", "hybrid"), ("none", "feedback")):
            if mode != "dense" or not lemmas:
                name = f"{mode}{', lemmas' if lemmas else ''}{', feedback' if expand != 'none' else ''}"
                found[name] = judge.of_search(index, mode=mode, expand=expand)
        found[f"best fusion{', lemmas' if lemmas else ''}"] = judge.of_fusions(index)
        found[f"constants of feedback{', lemmas' if lemmas else ''}"] = judge.of_feedbacks(index)
    report = {
        "benchmark": "retrieval",
        **machine(),
        "corpus": "cranfield",
        "n_documents": len(index),
        "n_queries": len(judge.queries),
        "precision": args.precision,
        **found,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
