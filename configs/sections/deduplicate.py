"""Section `deduplicate`: what counts as a near-duplicate, and which document is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag, model_validator

from topicflow.configs.fields.base import AnyOf, Section, method_or
from topicflow.configs.sections.load import LoadConfig


class GroupingConfig(Section):
    """Which documents form a group, and which one is kept."""

    grouping: Literal["star", "components"] = Field(
        default="star",
        description="star: every duplicate reaches the threshold with the document that is kept for it; components: "
        "with any document of its group, so that a chain is one group and its ends can be dissimilar.",
    )
    keep: Literal["first", "longest", "newest", "central", "column"] = Field(
        default="first",
        description="Document of a group that is kept: the first in the input, the longest in characters, the newest "
        "by load.timestamp_column, the central one (most and most similar duplicates), or the one with the largest "
        "value in `keep_column`. Of equal ones the first.",
    )
    keep_column: str | None = Field(
        default=None,
        description="Column of the input; the document with its largest value is kept. Only for keep = 'column'.",
    )

    @model_validator(mode="after")
    def _column_is_named(self) -> GroupingConfig:
        if (self.keep == "column") != (self.keep_column is not None):
            msg = "keep='column' and keep_column belong together: set both or neither"
            raise ValueError(msg)
        return self


class VectorMatchConfig(Section):
    """Pairs of similar vectors: locality-sensitive hashing for candidates, exact cosine to decide."""

    threshold: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Two documents with at least this cosine similarity are duplicates (semhash: .9).",
    )
    floor: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Pairs with at least this cosine similarity are searched for and kept. A threshold at or above it "
        "needs no new search.",
    )
    recall: float = Field(
        default=0.95,
        ge=0.1,
        lt=1.0,
        description="Share of the pairs at exactly `floor` that the search should find. It finds more of the more "
        "similar pairs: .95 at .85 is .993 at .9 and .9999 at .95. Measured on a sample in every run.",
    )
    search: Literal["auto", "lsh", "exact"] = Field(
        default="auto",
        description="lsh hashes with random hyperplanes; exact compares all pairs; auto is exact up to 20,000 "
        "documents on a CPU and 2,000,000 on CUDA, and lsh above.",
    )
    n_bits: int = Field(
        default=512,
        ge=64,
        le=4096,
        multiple_of=64,
        description="Bits of a signature. Every table samples from them, and they reject most candidates.",
    )
    window: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Documents of the same bucket that each document is compared with, at most, so that a large bucket "
        "has no quadratic cost. Equal vectors count as one and are never missed.",
    )
    max_partners: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="Pairs kept for each document, at most: the most similar ones. A pair stays if either document "
        "keeps it.",
    )
    recall_sample: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Documents compared with all others to measure recall; more pairs give a narrower interval.",
    )

    @model_validator(mode="after")
    def _floor_is_below(self) -> VectorMatchConfig:
        if self.floor > self.threshold:
            msg = (
                f"threshold={self.threshold} is below floor={self.floor}, the minimum similarity of the "
                "search; lower floor too"
            )
            raise ValueError(msg)
        return self


class WordMatchConfig(Section):
    """Pairs of texts with the same phrases: MinHash for candidates, exact Jaccard similarity to decide."""

    jaccard_threshold: float = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="Two documents with at least this share of common shingles are duplicates (datatrove and "
        "text-dedup: .7 to .8).",
    )
    jaccard_floor: float = Field(
        default=0.6,
        gt=0.0,
        le=1.0,
        description="Pairs with at least this share of common shingles are searched for and kept.",
    )
    jaccard_recall: float = Field(
        default=0.95,
        ge=0.1,
        lt=1.0,
        description="Share of the pairs at exactly `jaccard_floor` that the search should find; .95 at .6 is .999 at "
        ".7.",
    )
    shingle_words: int = Field(
        default=5,
        ge=1,
        le=50,
        description="Words in a shingle, in lower case; a shorter text is one shingle.",
    )
    n_hashes: int = Field(
        default=256, ge=16, le=4096, description="Values of a MinHash signature, which is cut into bands."
    )
    jaccard_window: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Documents of the same bucket that each document is compared with, at most.",
    )
    jaccard_max_partners: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="Pairs kept for each document, at most: the most similar ones.",
    )

    @model_validator(mode="after")
    def _jaccard_floor_is_below(self) -> WordMatchConfig:
        if self.jaccard_floor > self.jaccard_threshold:
            msg = (
                f"jaccard_threshold={self.jaccard_threshold} is below jaccard_floor={self.jaccard_floor}, the "
                "minimum similarity of the search; lower jaccard_floor too"
            )
            raise ValueError(msg)
        return self


class EmbeddingDeduplicate(GroupingConfig, VectorMatchConfig):
    """Documents that mean the same: cosine of their embeddings."""

    model_config = ConfigDict(title="embedding")

    method: Literal["embedding"] = Field(default="embedding", description="Compare embeddings.")


class MinhashDeduplicate(GroupingConfig, WordMatchConfig):
    """Documents with the same words: Jaccard similarity of their phrases; embeds nothing."""

    model_config = ConfigDict(title="minhash")

    method: Literal["minhash"] = Field(description="Compare phrases of words.")


class BothDeduplicate(GroupingConfig, WordMatchConfig, VectorMatchConfig):
    """Duplicates by meaning or by words; words also compare texts longer than the encoder's window."""

    model_config = ConfigDict(title="both")

    method: Literal["both"] = Field(
        description="Compare embeddings and phrases; duplicates by either of them."
    )


AnyDeduplicate = EmbeddingDeduplicate | MinhashDeduplicate | BothDeduplicate


DeduplicateSection = Annotated[
    Annotated[EmbeddingDeduplicate, Tag("embedding")]
    | Annotated[MinhashDeduplicate, Tag("minhash")]
    | Annotated[BothDeduplicate, Tag("both")],
    method_or("embedding"),
    AnyOf(),
]


def check_keep(section: GroupingConfig | None, load: LoadConfig) -> None:
    """Raise ValueError if keep is newest and no timestamp column is set."""
    if section is not None and section.keep == "newest" and load.timestamp_column is None:
        msg = "deduplicate.keep='newest' needs load.timestamp_column, the column of dates or times"
        raise ValueError(msg)
