"""Passages: one row a passage with its topic -> one row a document."""

from __future__ import annotations

import polars as pl

PLACED = ("topic", "probability", "outlier_score", "reassigned", "stability", "x", "y")
"""Columns of documents.parquet that the run adds; `stability` only if clusters were found in a graph."""


def join_passages(passages: pl.DataFrame) -> pl.DataFrame:
    """Return one row a document from one row a passage (doc_id of the document, topic, probability, …).

    A document has the topic with the largest sum of probabilities over its passages; at equal sums, the topic of most
    passages; no topic only if no passage has one. Its probability is that sum divided by the number of all its
    passages, its place the mean of the topic's passages, its outlier score the mean of all passages.
    """
    order = passages.group_by("doc_id", maintain_order=True).agg(
        pl.len().alias("n"), pl.col("outlier_score").mean()
    )
    stable = [pl.col("stability").mean()] if "stability" in passages.columns else []
    best = (
        passages.with_columns((pl.col("topic") >= 0).alias("real"))
        .group_by("doc_id", "real", "topic", maintain_order=True)
        .agg(
            pl.col("probability").sum(),
            pl.col("reassigned").any(),
            *stable,
            pl.col("x").mean(),
            pl.col("y").mean(),
            pl.len().alias("n_own"),
        )
        .sort(
            "real", "probability", "n_own", "topic", descending=[True, True, True, False], maintain_order=True
        )
        .group_by("doc_id", maintain_order=True)
        .first()
    )
    joined = order.join(best, on="doc_id", how="left", maintain_order="left")
    share = (pl.col("probability") / pl.col("n")).alias("probability")
    columns = [name for name in PLACED if name in joined.columns]
    return joined.with_columns(share).select("doc_id", *columns)
