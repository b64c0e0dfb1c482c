"""Synthetic examples: documents and their untuned vectors -> pairs of a made question and the document it is about.

rows (n_items,) int64     the item's document, -1 for a question
texts                     table of the items' texts, questions first
links (n_links, 2) int64  items of each pair, question and passage; with link_roles (n_links,) int8
roles, classes, similar   as in `tasks.tuning.examples`
pairs                     table: question, kind, doc_id, rank_by_vectors, rank_by_words, kept

A question is kept if it finds its document: if the document is among the first `found_within` of the whole corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.tuning import SplitExamples, SyntheticExamples
from topicflow.tasks.core.learning.similarity import document_ranks
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tuning import recipes
from topicflow.tasks.tuning.asked_questions import Answered, ask_questions
from topicflow.tasks.tuning.example_set import AnyEmbed, TextEmbed, query_vectors
from topicflow.tasks.tuning.examples import ASIDE, HELD_OUT, TRAINING, VALIDATION, link_roles
from topicflow.tasks.tuning.made_questions import Passage, made_questions
from topicflow.tasks.tuning.word_weights import WordWeights, ranks_by_words, weigh_words

PART_ROWS = 65_536

WITHOUT_SERVER = ("title", "sentence", "words")
"""Kinds of questions without a language model."""


@dataclass(frozen=True)
class Embedded:
    """The documents of a run with their untuned vectors, the section that made these, and what follows a title."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    encoding: AnyEmbed
    separator: str


@dataclass(frozen=True)
class Corpus:
    """The documents of a run and their untuned vectors (n_docs, dim) float32."""

    store: ArtifactStore
    documents: ArtifactRef
    vectors: NDArray[np.float32]

    def parts(self) -> Iterator[list[str]]:
        """Yield the texts of all documents, in parts."""
        for part in text_parts(self.store, self.documents, PART_ROWS):
            yield part.to_list()

    def drawn(self, n: int, seed: int) -> pl.DataFrame:
        """Return `row`, `doc_id` and `text` of at most `n` documents with different texts, in their order."""
        digests = np.concatenate(
            [text_digests([]), *(text_digests(pl.Series(part)) for part in self.parts())]
        )
        firsts = np.sort(np.unique(digests, axis=0, return_index=True)[1])
        if len(firsts) > n:
            firsts = np.sort(np.random.default_rng(seed).choice(firsts, n, replace=False))
        table = self.store.table(self.documents, "documents").select("doc_id", "text").with_row_index("row")
        return table.filter(pl.col("row").is_in(firsts.tolist())).collect()


@dataclass(frozen=True)
class Drafts:
    """Questions before the filter.

    Attributes
    ----------
    table : pl.DataFrame
        question, kind, and row, doc_id and text of the passage.
    weights : WordWeights
        The weights of the words of the corpus.
    answered : Answered, optional
        What a language model wrote.
    """

    table: pl.DataFrame
    weights: WordWeights
    answered: Answered | None = field(default=None)


def draft(corpus: Corpus, config: SyntheticExamples, separator: str, seed: int) -> Drafts:
    """Return the questions about some documents, each different question once.

    Raises
    ------
    ConfigError
        If address, model or key of the language model are wrong.
    StageError
        If its server fails for good.
    """
    passages = corpus.drawn(config.n_passages, seed)
    weights = weigh_words(corpus.parts())
    kinds = config.kinds or (("model",) if config.server is not None else WITHOUT_SERVER)
    found: list[tuple[str, str, int]] = []
    for place, text in enumerate(passages["text"].to_list()):
        made = made_questions(Passage.of(text, separator), kinds, weights)
        found += [(question, kind, place) for kind, question in made.items()]
    answered = None
    if config.server is not None:
        answered = ask_questions(corpus.store, passages["text"], config.server)
        found += [(said, "model", place) for place, each in enumerate(answered.questions) for said in each]
    table = pl.DataFrame(
        found, schema={"question": pl.String, "kind": pl.String, "place": pl.Int64}, orient="row"
    )
    table = table.unique("question", keep="first", maintain_order=True)
    own = passages[table["place"].to_list()]
    return Drafts(pl.concat([table.drop("place"), own], how="horizontal"), weights, answered)


def consistent(
    corpus: Corpus, drafts: Drafts, config: SyntheticExamples, vectors: NDArray[np.float32]
) -> pl.DataFrame:
    """Return the questions with the ranks of their documents, and whether each is `kept`.

    Parameters
    ----------
    corpus : Corpus
        The documents.
    drafts : Drafts
        The questions.
    config : SyntheticExamples
        Which ranking counts, and up to which place.
    vectors : ndarray of shape (n_questions, dim), float32
        Untuned unit vectors of the questions.
    """
    table, none = drafts.table, np.full(drafts.table.height, np.iinfo(np.int64).max)
    rows = table["row"].to_numpy().astype(np.int64)
    by_vectors, by_words = none, none
    if config.found_by != "words":
        by_vectors = document_ranks(vectors, corpus.vectors, rows)
    if config.found_by != "vectors":
        by_words = ranks_by_words(
            table["question"].to_list(), table["text"].to_list(), corpus.parts(), drafts.weights
        )
    worst = (
        np.maximum(by_vectors, by_words) if config.found_by == "both" else np.minimum(by_vectors, by_words)
    )
    return table.with_columns(
        rank_by_vectors=_known(by_vectors),
        rank_by_words=_known(by_words),
        kept=pl.Series(worst <= config.found_within),
    )


def _known(ranks: NDArray[np.int64]) -> pl.Series:
    """Return ranks, null where there is none."""
    found = pl.Series(ranks, dtype=pl.Int64)
    return found.set(found == np.iinfo(np.int64).max, None)


@stage("synthetic")
def synthetic(
    context: Context, embedded: Embedded, config: SyntheticExamples, split: SplitExamples
) -> ArtifactRef:
    """Return the artifact of the examples, making questions on a miss.

    Notes
    -----
    Examples of which some questions are not asked yet, because the budget is spent, are another artifact than complete
    ones: the next run goes on with them.
    """
    store, seed = context.store, context.seed
    inputs = embedded.documents.key, embedded.embeddings.key
    recipe = recipes.synthetic(config, split, inputs, embedded.separator, seed)
    if found := store.find(recipe):
        return found
    assert isinstance(embedded.encoding, TextEmbed)
    corpus = Corpus(store, embedded.documents, store.array(embedded.embeddings, "embeddings"))
    drafts = draft(corpus, config, embedded.separator, seed)
    if drafts.answered is not None and drafts.answered.n_waiting:
        recipe = recipes.unfinished(recipe, drafts.answered.keys)
        if found := store.find(recipe):
            return found
    vectors = query_vectors(store, drafts.table["question"], embedded.encoding, context.runtime)
    pairs = consistent(corpus, drafts, config, vectors)
    figures = _figures(drafts, pairs, config)
    arrays, texts = arrays_of(pairs.filter("kept"), split, seed)
    with store.writing(recipe) as writer:
        for name, array in arrays.items():
            writer.save_array(name, array)
        writer.save_table("texts", texts)
        writer.save_table("pairs", pairs.drop("row", "text"))
        parts = {name: int((arrays["link_roles"] == role).sum()) for name, role in _COUNTED.items()}
        _check(parts, figures, config)
        writer.rows = sum(parts.values()) - parts["n_left_aside"]
        writer.meta = {"kind": "synthetic", "by_text": True, **parts, **figures}
    return store.committed(recipe, writer)


_COUNTED = {"n_training": TRAINING, "n_validation": VALIDATION, "n_held_out": HELD_OUT, "n_left_aside": ASIDE}


def arrays_of(
    kept: pl.DataFrame, split: SplitExamples, seed: int
) -> tuple[dict[str, NDArray[Any]], pl.DataFrame]:
    """Return the arrays of the pairs, and the texts of their items: the questions, then the passages."""
    rows, places = np.unique(kept["row"].to_numpy().astype(np.int64), return_inverse=True)
    n = kept.height
    links = np.stack([np.arange(n), n + places.reshape(-1)], axis=1).astype(np.int64).reshape(-1, 2)
    passages = kept.select("row", "text").unique("row", keep="first").sort("row")
    texts = pl.concat([kept["question"].rename("text"), passages["text"]])
    if n:
        roles_of_links, roles = link_roles(links, n + len(rows), split, seed)
    else:
        roles_of_links, roles = np.empty(0, np.int8), np.empty(0, np.int8)
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.concatenate([np.full(n, -1), rows]), "roles": roles, "classes": np.full(n + len(rows), -1),
        "links": links, "link_roles": roles_of_links, "similar": np.ones(n, bool),
    }  # fmt: skip
    return arrays, texts.to_frame()


def _figures(drafts: Drafts, pairs: pl.DataFrame, config: SyntheticExamples) -> dict[str, Any]:
    """Return what became of the questions, and say it."""
    n_dropped = int((~pairs["kept"]).sum())
    figures: dict[str, Any] = {
        "n_passages": pairs["row"].n_unique(), "n_questions": pairs.height, "n_dropped": n_dropped,
    }  # fmt: skip
    LOG.info(
        "examples: %s questions about %s passages; %s dropped, whose passage is not among the first %s (%s)",
        f"{pairs.height:,}",
        f"{figures['n_passages']:,}",
        f"{n_dropped:,}",
        config.found_within,
        config.found_by,
    )
    if (asked := drafts.answered) is None:
        return figures
    figures |= {
        "n_drawn": len(asked.questions),
        "n_unanswered": asked.n_unanswered,
        "n_waiting": asked.n_waiting,
    }
    figures |= {"n_calls": asked.n_calls, "n_tokens": asked.n_tokens}
    return figures | {"waiting_for": asked.waiting_for, "beside": [["answers", key] for key in asked.keys]}


def _check(parts: dict[str, int], figures: dict[str, Any], config: SyntheticExamples) -> None:
    for name, what in (("n_training", "to train on"), ("n_held_out", "held out to measure on")):
        if not parts[name]:
            msg = (
                f"examples: no question is left {what}: {figures['n_questions']:,} were made and "
                f"{figures['n_dropped']:,} dropped; raise examples.found_within (now {config.found_within}), or choose "
                "other examples.kinds"
            )
            raise DataError(msg)
