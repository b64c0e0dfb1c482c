"""Labelled vectors: a corpus of the benchmarks -> texts, classes and unit vectors, embedded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.corpora import DATA
from tests.indexes import index_config, run
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.search.index import SearchIndex

FILES = {
    "banking77": ("banking77_train.parquet", "text", "label"),
    "newsgroups": ("newsgroups.parquet", "text", "label"),
    "clinc150": ("clinc150.parquet", "text", "intent"),
    "arxiv": ("arxiv_titles.parquet", "title", "primary_cat"),
}


@dataclass(frozen=True)
class Labelled:
    """Distinct texts, their classes, their unit vectors (n, 384), and all columns of the corpus."""

    texts: list[str]
    classes: NDArray[np.str_]
    vectors: NDArray[np.float32]
    table: pl.DataFrame


def labelled(name: str, n: int, scratch: Path) -> Labelled:
    """Return a seeded sample of `n` texts, each at most 1,000 characters, as all-MiniLM-L6-v2 embeds it."""
    file, text, label = FILES[name]
    table = (
        pl.read_parquet(DATA / file)
        .filter(pl.col(text).str.strip_chars() != "")
        .unique(text, maintain_order=True)
    )
    table = table.sample(min(n, table.height), shuffle=True, seed=0)
    texts = table[text].str.slice(0, 1000).to_list()
    path = scratch / f"{name}-{n}.npy"
    if not path.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        config = SentenceTransformersEmbed()
        np.save(path, load_encoder(find_encoder(config, "cpu"), config).encode(texts)[0])
    return Labelled(texts, table[label].cast(pl.String).to_numpy().astype(str), np.load(path), table)


def index_of(texts: list[str], vectors: NDArray[np.float32], folder: Path) -> SearchIndex:
    """Return an index of some texts with their vectors; the ids are d0, d1, …"""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"d{row}" for row in range(len(texts))]
    pl.DataFrame({"id": ids, "text": texts, "vector": vectors.tolist()}).write_parquet(
        folder / "documents.parquet"
    )
    return run(index_config(folder, lexical=False))
