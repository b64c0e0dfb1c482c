"""Seed block: the table of seeds -> the data of the page's part that shows in which topics they ended."""

from __future__ import annotations

from typing import Any

import polars as pl


def seed_block(seeds: pl.DataFrame) -> list[dict[str, Any]]:
    """Return name and documents of each seed, and topic and share of each topic in which it ended."""
    return [
        {
            "name": own["name"][0],
            "n": own["n_documents"][0],
            "topics": own.filter("ended").select("topic", "n_shared", "share").to_dicts(),
        }
        for own in seeds.partition_by("seed", maintain_order=True)
    ]
