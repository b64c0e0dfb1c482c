"""Count: texts of n_docs documents -> word counts (n_docs, n_words), one sparse matrix for every relabelling."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from scipy.sparse import csr_matrix

from configs.models import CountConfig, RuntimeConfig
from tasks import recipes
from tasks.core.counts import Block, WordTotals, count_blocks, place_words, select_words
from tasks.core.vocabulary import SCANNED, AnalyzedWords, ScannedWords, Vocabulary
from tasks.embed import text_parts
from tasks.errors import ConfigError
from tasks.progress import track
from tasks.states import cached
from tasks.store import ArtifactRef, ArtifactStore, ArtifactWriter


def stop_words(config: CountConfig) -> list[str]:
    """Return the words left out, sorted; raise ConfigError where a language is unknown.

    English is scikit-learn's list (318 words), the other languages the stop-words package's.
    """
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    names = [config.stop_words] if isinstance(config.stop_words, str) else list(config.stop_words)
    words = set(config.extra_stop_words)
    for name in names:
        if name == "none":
            continue
        if name == "english":
            from sklearn.feature_extraction.text import (
                ENGLISH_STOP_WORDS,  # 90 MB, so only where it is wanted
            )

            words |= ENGLISH_STOP_WORDS
        elif name in AVAILABLE_LANGUAGES:
            words |= set(get_stop_words(name))
        else:
            msg = f"count.stop_words: no list for {name!r}; there are: none, {', '.join(sorted(AVAILABLE_LANGUAGES))}"
            raise ConfigError(msg)
    return sorted(words)


def left_out(config: CountConfig) -> list[str]:
    """Return the stop words as they stand in cut texts, sorted.

    They are cut by the same pattern as the texts, so that "don't" leaves out the "don" it becomes.

    Raises
    ------
    ConfigError
        When the pattern cannot be used or a language is unknown.
    """
    try:
        pattern = re.compile(config.token_pattern)
    except re.error as error:
        msg = f"count.token_pattern: not a regular expression: {error}"
        raise ConfigError(msg) from None
    if pattern.groups > 1:
        msg = f"count.token_pattern: has {pattern.groups} groups, expected one or none; write (?:…) for the others"
        raise ConfigError(msg)
    words = (word.lower() if config.lowercase else word for word in stop_words(config))
    return sorted({piece for word in words for piece in pattern.findall(word)})


def vectorizer_params(config: CountConfig) -> dict[str, object]:
    """Return the parameters of the scikit-learn CountVectorizer that counts as `config` says."""
    return {
        "lowercase": config.lowercase,
        "ngram_range": config.ngram_range,
        "token_pattern": config.token_pattern,
        "stop_words": left_out(config) or None,
    }


def vocabulary_of(config: CountConfig) -> Vocabulary:
    """Return the empty vocabulary that cuts texts as `config` says: compiled where the pattern allows it."""
    if config.token_pattern in SCANNED:
        shortest, longest = config.ngram_range
        return ScannedWords(
            config.token_pattern,
            lowercase=config.lowercase,
            stop_words=left_out(config),
            shortest=shortest,
            longest=longest,
        )
    from sklearn.feature_extraction.text import CountVectorizer

    return AnalyzedWords(CountVectorizer(**vectorizer_params(config)).build_analyzer())


def count_texts(
    parts: Iterable[Sequence[str]], config: CountConfig, writer: ArtifactWriter, n_threads: int | None = None
) -> None:
    """Write the counts (n_docs, n_words) int32 and the words of texts that come in parts, as an artifact's files.

    Notes
    -----
    Two passes: word numbers, which only the last text completes, go to an unnamed file beside the artifact; then
    they are read back and become columns. Memory is a few slices of texts and the vocabulary.
    """
    vocabulary, totals = vocabulary_of(config), WordTotals()
    sizes: list[tuple[int, int]] = []
    with tempfile.TemporaryFile(dir=writer.folder) as spilled:
        for block in count_blocks(parts, vocabulary, totals, n_threads or os.cpu_count() or 1):
            spilled.write(block.numbers.tobytes() + block.counts.tobytes() + block.ranges.tobytes())
            sizes.append((len(block.numbers), len(block.ranges)))
        words, columns = select_words(vocabulary, totals, config.min_df, config.max_features)
        del vocabulary
        n_docs = sum(n_ranges - 1 for _, n_ranges in sizes)
        n_counts = int(totals.document_frequency[columns >= 0].sum())
        spilled.seek(0)
        place_words(
            _read_back(spilled, sizes),
            columns,
            data=writer.open_array("data", (n_counts,), "int32"),
            indices=writer.open_array("indices", (n_counts,), "int32"),
            indptr=writer.open_array("indptr", (n_docs + 1,), "int64"),
        )
    writer.save_table("words", words.alias("word").to_frame())
    writer.rows = n_docs
    writer.meta = {"n_words": len(words), "n_tokens": int(totals.totals[columns >= 0].sum())}


def _read_back(spilled: IO[bytes], sizes: Iterable[tuple[int, int]]) -> Iterator[Block]:
    for n_numbers, n_ranges in sizes:
        yield Block(
            np.frombuffer(spilled.read(8 * n_numbers), np.int64),
            np.frombuffer(spilled.read(4 * n_numbers), np.int32),
            np.frombuffer(spilled.read(8 * n_ranges), np.int64),
        )


@task(name="count", cache_policy=NO_CACHE, persist_result=False)
def count(
    store: ArtifactStore, documents: ArtifactRef, config: CountConfig, runtime: RuntimeConfig
) -> ArtifactRef:
    """Return the counts' artifact, computing it on a miss."""
    recipe = recipes.count(config, store.meta(documents)["texts"])
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        count_texts(_watched(store, documents, runtime.chunk_rows), config, writer, runtime.n_threads)
    return store.committed(recipe, writer)


def read_counts(store: ArtifactStore, counts: ArtifactRef) -> tuple[csr_matrix, list[str]]:
    """Return the counts (n_docs, n_words) and the words of an artifact."""
    words = store.table(counts, "words").collect()["word"].to_list()
    parts = (store.array(counts, "data"), store.array(counts, "indices"), store.array(counts, "indptr"))
    return csr_matrix(parts, shape=(counts.rows, len(words)), copy=False), words


def _watched(store: ArtifactStore, documents: ArtifactRef, rows: int) -> Iterator[list[str]]:
    with track("count", documents.rows, unit="documents") as progress:
        for texts in text_parts(store, documents, rows):
            yield texts.to_list()
            progress.advance(len(texts))
