"""Index files: the files of an index artifact, written part by part and read as memory maps.

    documents/part-00000.arrow    doc_id, text, the input's own columns; rows are numbered through all parts
    vectors/part-00000.npy        unit vectors float32; a link to the embeddings' file if that is possible
    words/part-00000.*            postings for BM25: words.arrow, offsets, rows, counts, lengths
    removed.npy                   flags of removed documents
    topics.npy, topics.parquet, topic_vectors.npy    topic of each document, table of topics, their centroids
    graph.usearch                 the HNSW graph, if there is one

A part contains the documents of one build or one addition. A new generation of an index links the parts of the last
one and adds its own, so that only the addition takes time; both are complete, and a process that has the old one open
keeps it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.graphs.graph_file import GraphShape, check_graph_file
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.core.vectors.nearest import Parts
from topicflow.tasks.core.vectors.postings import Postings, transpose_counts
from topicflow.tasks.core.words.cutting import INDEXED
from topicflow.tasks.core.words.inflections import BaseForm
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.search.index_checks import (
    check_flags,
    check_meta,
    check_offsets,
    check_range,
    damaged,
    load_array,
    read_arrow,
    unreadable,
)
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter, file_digest

FORMAT = 1
"""Version of these files; an index with a newer version is refused."""

COUNTING = CountConfig(stop_words="none")

_GRAPH_SOUND = "neighbours of graph.usearch"

_POSTINGS = ("offsets", "rows", "counts", "lengths")


@dataclass(frozen=True)
class IndexFiles:
    """An open index artifact: its manifest's `meta`, and its files, each checked before it is read.

    Attributes
    ----------
    store : ArtifactStore
        The store of the index.
    ref : ArtifactRef
        Its key; `rows` also counts removed documents.
    meta : dict
        The values of its manifest.
    digests : dict
        The digest of each file when it was written.
    """

    store: ArtifactStore
    ref: ArtifactRef
    meta: dict[str, Any]
    digests: dict[str, str]
    _sound: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def open(cls, store: ArtifactStore, key: str) -> IndexFiles:
        """Return an index of a store.

        Raises
        ------
        ArtifactError
            If it does not exist, is damaged, or was written by a newer version.
        """
        state = store.state("indexes", key)
        address = store.backend.address("indexes", key, "")
        if state != "hit":
            msg = f"index: {address.rstrip('/')} is {state}; `topicflow index CONFIG` makes it again"
            raise ArtifactError(msg)
        manifest = store.manifest("indexes", key)
        found = manifest["meta"].get("format")
        if not isinstance(found, int) or found > FORMAT:
            msg = (
                f"index: {key} has format {found}, this version reads up to {FORMAT}; upgrade topicflow or run "
                "`topicflow index CONFIG` again"
            )
            raise ArtifactError(msg)
        check_meta(store.backend.address("indexes", key, "manifest.json"), manifest["meta"], manifest["rows"])
        digests = {name: str(entry.get("blake2b")) for name, entry in manifest["files"].items()}
        return cls(
            store,
            ArtifactRef("indexes", key, stage="index", rows=manifest["rows"]),
            manifest["meta"],
            digests,
        )

    @property
    def n_parts(self) -> int:
        """The number of parts."""
        return len(self.meta["parts"])

    # --- checking ---

    def check(self, *, everything: bool = False) -> IndexFiles:
        """Check every file that native code reads, and all arrays; return these files or raise ArtifactError.

        With `everything` the digests of vectors and postings are checked, too; this is for files that will be part of
        another index.
        """
        names = (
            list(self.digests) if everything else [name for name in self.digests if not name.endswith(".npy")]
        )
        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(self.trusted, names))
        self.vectors()
        self.removed()
        if self.meta["method"] == "hnsw":
            self.graph()
        if self.meta["topics"] is not None:
            self.topics()
        if self.meta["lexical"]:
            self._postings()
        return self

    def trusted(self, name: str) -> Path:
        """Return the path on this machine of a file after checking its digest; raise ArtifactError if it is wrong."""
        path = self.path(name)
        if name in self._sound:
            return path
        if name not in self.digests:
            raise damaged(path, "the manifest does not name it")
        try:
            found = file_digest(path)
        except OSError as error:
            raise unreadable(path, error) from None
        if found != self.digests[name]:
            raise damaged(path, "it is not what was written")
        self._sound.add(name)
        return path

    # --- reading ---

    def path(self, name: str) -> Path:
        """Return the path on this machine of one file."""
        return self.store.path(self.ref, name)

    def vectors(self) -> Parts:
        """Return the vectors of all parts."""
        return Parts(
            [
                self._array(f"vectors/part-{number:05d}", "float32", n, self.meta["dim"])
                for number, n in enumerate(self.meta["parts"])
            ]
        )

    def removed(self) -> NDArray[np.bool_]:
        """Return which documents (n,) are removed."""
        flags = self._array("removed", "bool", self.ref.rows)
        check_flags(self.path("removed.npy"), flags, self.meta["n_documents"])
        return flags

    def graph(self) -> Path:
        """Return the path on this machine of the graph, after checking that its links stay inside the graph."""
        path, meta = self.trusted("graph.usearch"), self.meta
        if _GRAPH_SOUND not in self._sound:
            try:
                check_graph_file(path, GraphShape(self.ref.rows, meta["dim"], meta["codes"], meta["M"]))
            except ValueError as error:
                raise damaged(path, str(error)) from None
            self._sound.add(_GRAPH_SOUND)
        return path

    def topics(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the topic (n,) of each document, -1 for none, and the topics' centroids (n_topics, dim)."""
        centroids = self._array("topic_vectors", "float32", None, self.meta["dim"])
        labels = self._array("topics", "int32", self.ref.rows)
        check_range(self.path("topics.npy"), labels, -1, max(len(centroids), 0))
        return labels, centroids

    def topic_table(self) -> pl.DataFrame:
        """Return the table of topics: topic, size, name, keywords."""
        table = pl.read_parquet(self.trusted("topics.parquet"))
        check_range(self.path("topics.parquet"), table["topic"].to_numpy(), 0, len(self.topics()[1]))
        return table

    def documents(self) -> pl.DataFrame:
        """Return the documents of all parts."""
        tables = []
        for number, n in enumerate(self.meta["parts"]):
            path = self.trusted(f"documents/part-{number:05d}.arrow")
            table = read_arrow(path)
            if table.height != n or table.columns[:2] != ["doc_id", "text"]:
                raise damaged(
                    path,
                    f"it contains {table.height:,} rows of {table.columns[:2]}, expected {n:,} documents",
                )
            tables.append(table)
        return pl.concat(tables, rechunk=False)

    def postings(self) -> tuple[list[Postings], list[pl.DataFrame]]:
        """Return the postings of all parts and their words, each with its `place`."""
        parts, words = self._postings(), []
        for number, part in enumerate(parts):
            path = self.trusted(f"words/part-{number:05d}/words.arrow")
            words.append(read_arrow(path))
            check_range(path, words[-1]["place"].to_numpy(), 0, len(part.offsets) - 1)
        return parts, words

    def _postings(self) -> list[Postings]:
        found = []
        for number, n in enumerate(self.meta["parts"]):
            name = f"words/part-{number:05d}"
            offsets = self._array(f"{name}/offsets", "int64", None)
            rows, counts = (self._array(f"{name}/{each}", "int32", None) for each in ("rows", "counts"))
            lengths = self._array(f"{name}/lengths", "int32", n)
            if len(rows) != len(counts):
                raise damaged(
                    self.path(f"{name}/counts.npy"), f"{len(counts):,} counts of {len(rows):,} rows"
                )
            check_offsets(self.path(f"{name}/offsets.npy"), offsets, len(rows))
            check_range(self.path(f"{name}/rows.npy"), rows, 0, n)
            check_range(self.path(f"{name}/counts.npy"), counts, 1, 2**31)
            check_range(self.path(f"{name}/lengths.npy"), lengths, 0, 2**31)
            found.append(Postings(offsets, rows, counts, lengths))
        return found

    def _array(self, name: str, dtype: str, *shape: int | None) -> NDArray[Any]:
        return np.asarray(load_array(self.path(f"{name}.npy"), dtype, shape))


# --- writing ---


def write_documents(writer: ArtifactWriter, number: int, documents: pl.LazyFrame) -> None:
    """Write the documents of a part; they are streamed, so that not all texts are in memory together."""
    path = writer.path(f"documents/part-{number:05d}.arrow")
    documents.sink_ipc(path, compression="uncompressed", maintain_order=True)


def write_postings(
    writer: ArtifactWriter,
    number: int,
    texts: Iterable[Sequence[str]],
    n_threads: int | None,
    base_form: BaseForm | None = None,
) -> None:
    """Write the postings of a part's texts, which are given in order and in blocks; words with one base form are one.

    Notes
    -----
    A base form takes about 20 µs, once for each different word.
    """
    from topicflow.tasks.topics.count import count_texts

    name = f"words/part-{number:05d}"
    with tempfile.TemporaryDirectory(dir=writer.folder) as scratch:
        counted = ArtifactWriter(Path(scratch), "counts")
        count_texts(texts, COUNTING, counted, n_threads, INDEXED)
        words = pl.read_parquet(counted.path("words.parquet"))
        data, indices, indptr = (
            np.load(counted.path(f"{each}.npy"), mmap_mode="r") for each in ("data", "indices", "indptr")
        )
        if base_form is not None:
            spelled = pl.Series("word", [base_form(word) for word in words["word"]], dtype=pl.String)
            words = spelled.unique(maintain_order=True).to_frame()
            places = words.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int32))
            bases = spelled.to_frame().join(places, on="word", how="left", maintain_order="left")["place"]
            indices = bases.to_numpy()[indices]
        postings = transpose_counts(data, indices, indptr, words.height)
    for each in _POSTINGS:
        writer.save_array(f"{name}/{each}", getattr(postings, each))
    places = words.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    places.write_ipc(writer.path(f"{name}/words.arrow"), compression="uncompressed")


def take_file(writer: ArtifactWriter, source: Path, name: str) -> None:
    """Add a file that never changes to an artifact: as a hard link, or as a copy on another filesystem."""
    target = writer.path(name)
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def take_parts(writer: ArtifactWriter, files: IndexFiles) -> None:
    """Add all parts of an index to its next generation."""
    files.check(everything=True)  # otherwise the new digests would confirm damaged files
    suffixes = [f"words/part-{{:05d}}/{each}.npy" for each in _POSTINGS] + ["words/part-{:05d}/words.arrow"]
    names = ["documents/part-{:05d}.arrow", "vectors/part-{:05d}.npy"]
    for number in range(files.n_parts):
        for name in names + (suffixes if files.meta["lexical"] else []):
            take_file(writer, files.path(name.format(number)), name.format(number))
