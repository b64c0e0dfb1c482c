"""Count parts: texts -> word counts (n_docs, n_words) in parts for workers; each part numbers its own words.

The joined parts equal the result of one process, bit for bit: columns depend on the words, not on their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.core.words.counts import (
    Block,
    Selection,
    WordTotals,
    count_blocks,
    select_words,
    smallest_type,
)
from topicflow.tasks.core.words.inflections import in_shown_forms
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.parts import made_parts
from topicflow.tasks.execution.word_pairs import say_if_pairs_were_used
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.tokenization import vocabulary_of

PART_ROWS = 2**18
"""Documents counted between two commits: a second of work on two cores with titles."""


def make_tallies(
    store: ArtifactStore, documents: ArtifactRef, config: CountConfig, runtime: RuntimeConfig
) -> list[ArtifactRef]:
    """Return the parts of the word counts of all documents, in their order."""
    make = partial(tally_part, store, documents, config, runtime, PART_ROWS)
    return made_parts("count", make, -(-documents.rows // PART_ROWS), runtime)


def join_tallies(
    store: ArtifactStore, parts: list[ArtifactRef], config: CountConfig
) -> tuple[Selection, Iterator[tuple[Block, NDArray[np.int32]]]]:
    """Return the words that are counted, and each part's counts with the columns of its numbers.

    Notes
    -----
    Memory is the vocabularies of all parts and the counts of one; the others are memory-mapped from the store.
    """
    spelled = [store.table(part, "words").collect() for part in parts]
    joined = pl.concat(spelled).group_by("word").sum().sort("word")
    largest = max((store.meta(part)["largest"] for part in parts), default=0)
    totals = WordTotals(joined["document_frequency"].to_numpy(), joined["total"].to_numpy(), largest)
    forms = [store.table(part, "forms").collect() for part in parts] if config.lemmas else []
    spell = in_shown_forms(joined["word"].gather, forms)
    selection = select_words(spell, totals, config.min_df, config.max_features)
    columns = joined.select("word", column=selection.columns)
    own = [table.join(columns, on="word", how="left", maintain_order="left")["column"] for table in spelled]
    return selection, zip(_blocks(store, parts), (each.to_numpy() for each in own), strict=True)


def tally_part(
    store: ArtifactStore,
    documents: ArtifactRef,
    config: CountConfig,
    runtime: RuntimeConfig,
    n_rows: int,
    number: int,
) -> ArtifactRef:
    """Return the artifact of a part's words and their counts in each document; a part has `n_rows` documents."""
    start = number * n_rows
    recipe = recipes.count_part(config, store.meta(documents)["texts"], (start, start + n_rows))
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        vocabulary, totals = vocabulary_of(config), WordTotals()
        texts = text_parts(store, documents, runtime.chunk_rows, start=start, length=n_rows)
        n_threads = runtime.n_threads or n_cores()
        blocks = list(count_blocks((part.to_list() for part in texts), vocabulary, totals, n_threads))
        say_if_pairs_were_used("count")
        met = np.flatnonzero(totals.document_frequency)
        position = np.full(len(totals.totals), -1, np.int64)
        position[met] = np.arange(len(met))
        counted = {"document_frequency": totals.document_frequency[met], "total": totals.totals[met]}
        writer.save_table("words", pl.DataFrame({"word": vocabulary.words(met), **counted}))
        if (forms := vocabulary.forms) is not None:
            writer.save_table("forms", forms)
        writer.save_array("numbers", position[np.concatenate([block.numbers for block in blocks])])
        kept = smallest_type(totals.largest)
        writer.save_array("counts", np.concatenate([block.counts.astype(kept) for block in blocks]))
        writer.save_array("ranges", _joined_ranges(blocks))
        writer.rows = sum(len(block.ranges) - 1 for block in blocks)
        writer.meta["largest"] = totals.largest
    return store.committed(recipe, writer)


def _joined_ranges(blocks: list[Block]) -> NDArray[np.int64]:
    """Return the bounds (n_docs + 1,) of each document's words in the concatenated blocks."""
    sizes = np.concatenate([np.diff(block.ranges) for block in blocks])
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _blocks(store: ArtifactStore, parts: list[ArtifactRef]) -> Iterator[Block]:
    for part in parts:
        numbers, counts, ranges = (
            np.asarray(store.array(part, name)) for name in ("numbers", "counts", "ranges")
        )
        yield Block(numbers, counts.astype(np.int32), ranges)
