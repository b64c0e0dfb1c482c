"""Count: texts of n_docs documents -> word counts (n_docs, n_words), one sparse matrix for every relabelling."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.core.words.counts import (
    Block,
    Selection,
    WordTotals,
    count_blocks,
    offset_type,
    place_words,
    select_words,
    smallest_type,
)
from topicflow.tasks.core.words.cutting import Rule
from topicflow.tasks.core.words.inflections import in_shown_forms
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.parts import discard_all
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.execution.word_pairs import say_if_pairs_were_used
from topicflow.tasks.execution.workers import on_cluster
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.count_parts import join_tallies, make_tallies
from topicflow.tasks.topics.stop_words import (
    DETECTED_TEXTS,
    detect_languages,
    is_detected,
    with_languages,
)
from topicflow.tasks.topics.tokenization import vocabulary_of

_PLACES = 20
"""Places of the corpus, at equal distances, from which documents are taken to find its languages."""


def count_texts(
    parts: Iterable[Sequence[str]],
    config: CountConfig,
    writer: ArtifactWriter,
    n_threads: int | None = None,
    rule: Rule | None = None,
) -> None:
    """Write the counts (n_docs, n_words) and the words of texts in parts, as an artifact's files; see `save_counts`.

    The words are those of `rule`, or of `config` if it is None.

    Notes
    -----
    Two passes: word numbers, which only the last text completes, go to an unnamed temporary file next to the artifact;
    then they are read again and become columns. Memory is a few slices of texts and the vocabulary.
    """
    vocabulary, totals = vocabulary_of(config, rule), WordTotals()
    sizes: list[tuple[int, int]] = []
    with tempfile.TemporaryFile(dir=writer.folder) as spilled:
        for block in count_blocks(parts, vocabulary, totals, n_threads or n_cores()):
            spilled.write(block.numbers.tobytes() + block.counts.tobytes() + block.ranges.tobytes())
            sizes.append((len(block.numbers), len(block.ranges)))
        forms = vocabulary.forms
        spell = in_shown_forms(vocabulary.words, [] if forms is None else [forms])
        selection = select_words(spell, totals, config.min_df, config.max_features)
        del vocabulary, totals, spell
        say_if_pairs_were_used("count")
        spilled.seek(0)
        blocks = ((block, selection.columns) for block in _read_back(spilled, sizes))
        save_counts(writer, selection, blocks, n_docs=sum(n_ranges - 1 for _, n_ranges in sizes))


def save_counts(
    writer: ArtifactWriter,
    selection: Selection,
    blocks: Iterable[tuple[Block, NDArray[np.int32]]],
    n_docs: int,
) -> None:
    """Write the words and the counts (n_docs, n_words) from blocks and the columns of their numbers.

    The counts are uint8, or uint16 or int32 if one is larger; their places are int32, or int64 from 2**31 entries on.
    """
    place_words(
        blocks,
        data=writer.open_array("data", (selection.n_counts,), smallest_type(selection.largest)),
        indices=writer.open_array("indices", (selection.n_counts,), "int32"),
        indptr=writer.open_array("indptr", (n_docs + 1,), offset_type(selection.n_counts)),
    )
    writer.save_table("words", selection.words.to_frame())
    writer.rows = n_docs
    writer.meta = {"n_words": len(selection.words), "n_tokens": selection.n_tokens}


def _read_back(spilled: IO[bytes], sizes: Iterable[tuple[int, int]]) -> Iterator[Block]:
    for n_numbers, n_ranges in sizes:
        yield Block(
            np.frombuffer(spilled.read(8 * n_numbers), np.int64),
            np.frombuffer(spilled.read(4 * n_numbers), np.int32),
            np.frombuffer(spilled.read(8 * n_ranges), np.int64),
        )


@stage("count")
def count(context: Context, documents: ArtifactRef, config: CountConfig) -> ArtifactRef:
    """Return the counts' artifact, computing it on a miss."""
    store, runtime = context.store, context.runtime
    recipe = recipes.count(config, store.meta(documents)["texts"])
    if found := store.find(recipe):
        return found
    config = spoken(store, documents, config)
    parts: list[ArtifactRef] = []
    with store.writing(recipe) as writer:
        if on_cluster(runtime):
            parts = make_tallies(store, documents, config, runtime)
            save_counts(writer, *join_tallies(store, parts, config), n_docs=documents.rows)
        else:
            count_texts(_watched(store, documents, runtime.chunk_rows), config, writer, runtime.n_threads)
        writer.meta["stop_words"] = config.stop_words
    discard_all(store, parts)
    return store.committed(recipe, writer)


def spoken(store: ArtifactStore, documents: ArtifactRef, config: CountConfig) -> CountConfig:
    """Return the config with the languages of the documents where it asks for them."""
    if not is_detected(config):
        return config
    starts = np.linspace(0, documents.rows, _PLACES, endpoint=False).astype(int).tolist()
    length = min(DETECTED_TEXTS, max(documents.rows, _PLACES)) // _PLACES
    texts = [
        text
        for start in dict.fromkeys(starts)
        for part in text_parts(store, documents, start=start, length=length)
        for text in part.to_list()
    ]
    return with_languages(config, detect_languages(texts))


def counted_with(store: ArtifactStore, counts: ArtifactRef, config: CountConfig) -> CountConfig:
    """Return the config with the languages whose stop words are left out of the counts."""
    return config.model_copy(update={"stop_words": store.meta(counts)["stop_words"]})


def read_counts(store: ArtifactStore, counts: ArtifactRef) -> tuple[csr_matrix, list[str]]:
    """Return the counts (n_docs, n_words), uint8, uint16 or int32 as they are stored, and the words of an artifact.

    Before version 3 all counts were int32 and their places int64.
    """
    words = store.table(counts, "words").collect()["word"].to_list()
    parts = (store.array(counts, "data"), store.array(counts, "indices"), store.array(counts, "indptr"))
    return csr_matrix(parts, shape=(counts.rows, len(words)), copy=False), words


def _watched(store: ArtifactStore, documents: ArtifactRef, rows: int) -> Iterator[list[str]]:
    with track("count", documents.rows, unit="documents") as progress:
        for texts in text_parts(store, documents, rows):
            yield texts.to_list()
            progress.advance(len(texts))
