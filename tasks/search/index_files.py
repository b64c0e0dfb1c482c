"""Index files: what an index artifact is made of, written part by part and read back as memory maps.

    documents/part-00000.arrow    doc_id, text, the input's own columns; rows are numbered through all parts
    vectors/part-00000.npy        unit vectors float32; a link to the embeddings' file where that is possible
    words/part-00000.*            postings for BM25: words.arrow, offsets, rows, counts, lengths
    removed.npy                   documents that are no more
    topics.npy, topics.parquet, topic_vectors.npy    topic of each document, what the topics are, their centroids
    graph.usearch                 the HNSW graph, where there is one

A part is what one build or one addition brought. A new generation of an index links the parts of the one before and
adds its own, so that it costs what it adds; both are whole, and whoever has the old one open keeps it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.vectors.nearest import Parts
from topicflow.tasks.core.vectors.postings import Postings, transpose_counts
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter

FORMAT = 1
"""Version of these files; an index written by a newer one is refused."""

WORD_PATTERN = r"(?u)\b\w\w+\b"
"""What a word is to BM25: scikit-learn's and bm25s's own pattern, which is compiled here."""

COUNTING = CountConfig(stop_words="none", token_pattern=WORD_PATTERN)

_POSTINGS = ("offsets", "rows", "counts", "lengths")


@dataclass(frozen=True)
class IndexFiles:
    """An index artifact opened: its manifest's `meta`, and its files as memory maps."""

    store: ArtifactStore
    ref: ArtifactRef
    meta: dict[str, Any]

    @classmethod
    def open(cls, store: ArtifactStore, key: str) -> IndexFiles:
        """Return an index of a store.

        Raises
        ------
        ArtifactError
            When it is not there, damaged, or written by a newer version.
        """
        state = store.state("indexes", key)
        if state != "hit":
            where = store.backend.address("indexes", key, "")
            msg = f"index: {where.rstrip('/')} is {state}; `topicflow index CONFIG` makes it again"
            raise ArtifactError(msg)
        manifest = store.manifest("indexes", key)
        found = manifest["meta"].get("format")
        if not isinstance(found, int) or found > FORMAT:
            msg = (
                f"index: {key} has format {found}, this version reads up to {FORMAT}; upgrade topicflow or run "
                "`topicflow index CONFIG` again"
            )
            raise ArtifactError(msg)
        return cls(store, ArtifactRef("indexes", key, stage="index", rows=manifest["rows"]), manifest["meta"])

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return len(self.meta["parts"])

    def path(self, name: str) -> Path:
        """Return the path on this machine of one file."""
        return self.store.path(self.ref, name)

    def array(self, name: str) -> NDArray[Any]:
        """Return one array."""
        return self.store.array(self.ref, name)

    def vectors(self) -> Parts:
        """Return the vectors of all parts."""
        return Parts([np.asarray(self.array(f"vectors/part-{number:05d}")) for number in range(self.n_parts)])

    def documents(self) -> pl.DataFrame:
        """Return the documents of all parts; texts stay in the file until they are looked at."""
        paths = [self.path(f"documents/part-{number:05d}.arrow") for number in range(self.n_parts)]
        return pl.concat([read_arrow(path) for path in paths], rechunk=False)

    def postings(self) -> tuple[list[Postings], list[pl.DataFrame]]:
        """Return the postings of all parts and their words, each with its `place`."""
        parts, words = [], []
        for number in range(self.n_parts):
            name = f"words/part-{number:05d}"
            parts.append(Postings(*(np.asarray(self.array(f"{name}/{each}")) for each in _POSTINGS)))
            words.append(read_arrow(self.path(f"{name}/words.arrow")))
        return parts, words


def read_arrow(path: Path) -> pl.DataFrame:
    """Return a table of an Arrow file, mapped into memory; raise ArtifactError where it cannot be read."""
    try:
        return pl.read_ipc(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"index: {path} cannot be read ({str(error).splitlines()[0]}); `topicflow store verify` finds damage"
        raise ArtifactError(msg) from None


# --- writing ---


def write_documents(writer: ArtifactWriter, number: int, documents: pl.LazyFrame) -> None:
    """Write the documents of a part; they stream, texts are never held at once."""
    path = writer.path(f"documents/part-{number:05d}.arrow")
    documents.sink_ipc(path, compression="uncompressed", maintain_order=True)


def write_postings(
    writer: ArtifactWriter, number: int, texts: Iterable[Sequence[str]], n_threads: int | None
) -> None:
    """Write the postings of a part's texts, which come in their order and in pieces."""
    from topicflow.tasks.topics.count import count_texts

    name = f"words/part-{number:05d}"
    with tempfile.TemporaryDirectory(dir=writer.folder) as scratch:
        counted = ArtifactWriter(Path(scratch), "counts")
        count_texts(texts, COUNTING, counted, n_threads)
        words = pl.read_parquet(counted.path("words.parquet"))
        data, indices, indptr = (
            np.load(counted.path(f"{each}.npy"), mmap_mode="r") for each in ("data", "indices", "indptr")
        )
        postings = transpose_counts(data, indices, indptr, words.height)
    for each in _POSTINGS:
        writer.save_array(f"{name}/{each}", getattr(postings, each))
    places = words.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    places.write_ipc(writer.path(f"{name}/words.arrow"), compression="uncompressed")


def take_file(writer: ArtifactWriter, source: Path, name: str) -> None:
    """Put a file that never changes into an artifact: by a second link, or a copy on another filesystem."""
    target = writer.path(name)
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def take_parts(writer: ArtifactWriter, files: IndexFiles) -> None:
    """Put all parts of an index into its next generation."""
    suffixes = [f"words/part-{{:05d}}/{each}.npy" for each in _POSTINGS] + ["words/part-{:05d}/words.arrow"]
    names = ["documents/part-{:05d}.arrow", "vectors/part-{:05d}.npy"]
    for number in range(files.n_parts):
        for name in names + (suffixes if files.meta["lexical"] else []):
            take_file(writer, files.path(name.format(number)), name.format(number))
