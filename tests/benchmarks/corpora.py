"""The corpora of the benchmarks, read from a folder beside the project and embedded once."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

DATA = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Corpus:
    """One corpus: its file, its columns, and the number of rows (all if None)."""

    name: str
    file: str
    text_column: str
    label_column: str | None
    n_rows: int | None = None

    def path(self, scratch: Path) -> Path:
        """Return the file to read; with a number of rows, a copy of a seeded sample of them in `scratch`."""
        source = DATA / self.file
        if self.n_rows is None:
            return source
        target = scratch / f"{self.name}.parquet"
        if not target.exists():
            table = pl.read_parquet(source)
            rows = np.sort(np.random.default_rng(0).permutation(table.height)[: self.n_rows])
            scratch.mkdir(parents=True, exist_ok=True)
            table[rows].write_parquet(target)
        return target

    def load_config(self, scratch: Path) -> LoadConfig:
        """Return how the corpus is loaded."""
        return LoadConfig(
            path=str(self.path(scratch)),
            text_column=self.text_column,
            label_column=self.label_column,
            columns=(),
        )


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("newsgroups", "newsgroups.parquet", "text", "label"),
        Corpus("bbc_news", "bbc_news.parquet", "text", "label"),
        Corpus("clinc150", "clinc150.parquet", "text", "intent"),
        Corpus("octis_bbc_news", "octis_bbc_news.parquet", "text", "label"),
        Corpus("arxiv_20k", "arxiv_titles.parquet", "title", "primary_cat", 20_000),
        Corpus("arxiv_100k", "arxiv_titles.parquet", "title", "primary_cat", 100_000),
        Corpus("arxiv_101k", "arxiv_titles.parquet", "title", "primary_cat", 101_000),
    )
}


def embedded(name: str, store: ArtifactStore, scratch: Path) -> tuple[ArtifactRef, ArtifactRef]:
    """Return the documents and embeddings of a corpus, from the store or computed now."""
    runtime = RuntimeConfig()
    documents = load.fn(Context(store, runtime=runtime), CORPORA[name].load_config(scratch))
    return documents, (embed.fn(Context(store, runtime=runtime), documents, SentenceTransformersEmbed()))


def distinct_vectors(
    corpus: Corpus, store: ArtifactStore, scratch: Path
) -> tuple[ArtifactRef, NDArray[np.float32], NDArray[np.int64]]:
    """Return documents, vectors in 8-bit integers with copies as one, and the row of each vector."""
    context = Context(store, 0, RuntimeConfig())
    documents = load.fn(context, corpus.load_config(scratch))
    encoded = embed.fn(context, documents, SentenceTransformersEmbed(precision="int8"))
    vectors = np.asarray(store.array(encoded, "embeddings"))
    firsts = np.sort(np.unique(vectors, axis=0, return_index=True)[1])
    return documents, np.ascontiguousarray(vectors[firsts]), firsts


def reddit_titles(scratch: Path, n_rows: int) -> Path:
    """Return a Parquet file of the first `n_rows` of reddit_titles_1m."""
    documents = scratch / f"reddit_{n_rows}.parquet"
    scratch.mkdir(parents=True, exist_ok=True)
    if not documents.exists():
        pl.scan_parquet(DATA / "reddit_titles_1m.parquet").head(n_rows).sink_parquet(documents)
    return documents


def reddit_vectors(scratch: Path, n_rows: int) -> tuple[Path, Path]:
    """Return a Parquet file of the first `n_rows` of reddit_titles_1m and the .npy file of their vectors.

    Embedded once, in 8-bit integers, into `scratch`; a million take a quarter of an hour on two free cores.
    """
    source, everything = DATA / "reddit_titles_1m.parquet", scratch / "reddit_titles_1m.npy"
    scratch.mkdir(parents=True, exist_ok=True)
    if not everything.exists():
        config = SentenceTransformersEmbed(precision="int8")
        encoder = load_encoder(find_encoder(config, "cpu"), config)
        titles = pl.read_parquet(source, columns=["title"])["title"]
        order = titles.str.len_bytes().arg_sort().to_numpy()
        partial = everything.with_suffix(".partial")
        vectors = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float32, shape=(len(titles), encoder.dim)
        )
        for start in range(0, len(titles), 16_384):
            rows = order[start : start + 16_384]
            vectors[rows] = encoder.encode(titles.gather(rows).to_list())[0]
        vectors.flush()
        partial.rename(everything)
    vectors_path = scratch / f"reddit_{n_rows}.npy"
    if not vectors_path.exists():
        np.save(vectors_path, np.load(everything, mmap_mode="r")[:n_rows])
    return reddit_titles(scratch, n_rows), vectors_path


def measured_corpora(
    about: str | None, corpora: Mapping[str, Any], measured: Callable[[str, Any, Path], Any]
) -> list[Any]:
    """Return what a script measured on each of the corpora that its command line names, all if it names none."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", default=list(corpora))
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    return [measured(name, corpora[name], args.scratch) for name in args.corpora]


def fresh_store(source: ArtifactStore, folder: Path, *refs: ArtifactRef) -> ArtifactStore:
    """Return a new store in `folder` with only copies of `refs`, so that no stage is a hit."""
    shutil.rmtree(folder, ignore_errors=True)
    for ref in refs:
        shutil.copytree(source.folder(ref.kind, ref.key), folder / ref.kind / ref.key)
    shutil.copy(source.root / "format.json", folder / "format.json")
    return ArtifactStore(folder)


def result(returned: object) -> ArtifactRef:
    """Return the artifact of a stage that is called directly, as a reference or in a `Cached` state."""
    return returned  # type: ignore[attr-defined]
