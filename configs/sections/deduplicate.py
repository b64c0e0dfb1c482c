"""Section `deduplicate`: what counts as a near-duplicate, and which document is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag, model_validator

from topicflow.configs.sections.base import AnyOf, Section, method_or
from topicflow.configs.sections.load import LoadConfig


class GroupingConfig(Section):
    """Which documents make a group, and which of them is kept."""

    grouping: Literal["star", "components"] = Field(
        default="star",
        description="star: every duplicate is at least as similar as the threshold to the document that is kept for "
        "it; components: similar to any of the group, so that chains are one group and what is kept may be far from "
        "the end of one.",
    )
    keep: Literal["first", "longest", "newest", "central", "column"] = Field(
        default="first",
        description="Which document of a group is kept: first in the input, longest in characters, newest by "
        "load.timestamp_column, central (most and most similar duplicates), or the largest value in `keep_column`; "
        "the first of equals.",
    )
    keep_column: str | None = Field(
        default=None,
        description="Column of the input whose largest value is kept; for keep = 'column' alone.",
    )

    @model_validator(mode="after")
    def _column_is_named(self) -> GroupingConfig:
        if (self.keep == "column") != (self.keep_column is not None):
            msg = "keep='column' and keep_column belong together: give both or neither"
            raise ValueError(msg)
        return self


class VectorMatchConfig(Section):
    """Pairs of similar vectors: locality-sensitive hashing for candidates, exact cosine to decide."""

    threshold: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Cosine from which on two documents are duplicates (inclusive). .9 is semhash's default.",
    )
    floor: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Cosine from which on pairs are searched for; a threshold from here up needs no new search.",
    )
    recall: float = Field(
        default=0.95,
        ge=0.1,
        lt=1.0,
        description="Share of the pairs at exactly `floor` that the tables are to find; more similar ones are found "
        "more surely: .95 at .85 is .993 at .9 and .9999 at .95. Measured on a sample in every run.",
    )
    search: Literal["auto", "lsh", "exact"] = Field(
        default="auto",
        description="lsh hashes by random hyperplanes, exact compares all pairs; auto is exact up to 20,000 documents "
        "on a CPU and 2,000,000 on CUDA, lsh beyond.",
    )
    n_bits: int = Field(
        default=512,
        ge=64,
        le=4096,
        multiple_of=64,
        description="Bits of a signature, from which every table draws its own and which sort out most candidates.",
    )
    window: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Documents of a bucket that each is compared with at most, so that a crowd costs no square; equal "
        "vectors are one and never lost.",
    )
    max_partners: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="Pairs kept for a document, the most similar ones; a pair stays where it is among those of either.",
    )
    recall_sample: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Documents compared with all others to measure recall; the more pairs, the narrower its interval.",
    )

    @model_validator(mode="after")
    def _floor_is_below(self) -> VectorMatchConfig:
        if self.floor > self.threshold:
            msg = f"threshold={self.threshold} is below floor={self.floor}, where the search ends; lower floor as well"
            raise ValueError(msg)
        return self


class WordMatchConfig(Section):
    """Pairs of texts with the same phrases: MinHash for candidates, exact Jaccard to decide."""

    jaccard_threshold: float = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="Share of common shingles from which on two documents are duplicates (inclusive; datatrove and "
        "text-dedup: .7 to .8).",
    )
    jaccard_floor: float = Field(
        default=0.6,
        gt=0.0,
        le=1.0,
        description="Share from which on pairs are searched for and kept.",
    )
    jaccard_recall: float = Field(
        default=0.95,
        ge=0.1,
        lt=1.0,
        description="Share of the pairs at exactly `jaccard_floor` that are to be found; .95 at .6 is .999 at .7.",
    )
    shingle_words: int = Field(
        default=5,
        ge=1,
        le=50,
        description="Words of a shingle, lower-cased; a shorter text is one shingle.",
    )
    n_hashes: int = Field(
        default=256, ge=16, le=4096, description="Values of a MinHash signature, cut into bands."
    )
    jaccard_window: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Documents of a bucket that each is compared with at most.",
    )
    jaccard_max_partners: int = Field(
        default=256, ge=1, le=1_000_000, description="Pairs kept for a document, the most similar ones."
    )

    @model_validator(mode="after")
    def _jaccard_floor_is_below(self) -> WordMatchConfig:
        if self.jaccard_floor > self.jaccard_threshold:
            msg = (
                f"jaccard_threshold={self.jaccard_threshold} is below jaccard_floor={self.jaccard_floor}, where the "
                "search ends; lower jaccard_floor as well"
            )
            raise ValueError(msg)
        return self


class EmbeddingDeduplicate(GroupingConfig, VectorMatchConfig):
    """Documents that mean the same: cosine of their embeddings."""

    model_config = ConfigDict(title="embedding")

    method: Literal["embedding"] = Field(default="embedding", description="Compare embeddings.")


class MinhashDeduplicate(GroupingConfig, WordMatchConfig):
    """Documents that say it in the same words: Jaccard similarity of their phrases; embeds nothing."""

    model_config = ConfigDict(title="minhash")

    method: Literal["minhash"] = Field(description="Compare phrases of words.")


class BothDeduplicate(GroupingConfig, WordMatchConfig, VectorMatchConfig):
    """Documents that are duplicates by either: long texts beyond the encoder's window are caught by their words."""

    model_config = ConfigDict(title="both")

    method: Literal["both"] = Field(description="Compare embeddings and phrases; either makes a duplicate.")


AnyDeduplicate = EmbeddingDeduplicate | MinhashDeduplicate | BothDeduplicate


DeduplicateSection = Annotated[
    Annotated[EmbeddingDeduplicate, Tag("embedding")]
    | Annotated[MinhashDeduplicate, Tag("minhash")]
    | Annotated[BothDeduplicate, Tag("both")],
    method_or("embedding"),
    AnyOf(),
]


def check_keep(section: GroupingConfig | None, load: LoadConfig) -> None:
    """Raise ValueError where the newest document is to be kept and no column says when one was written."""
    if section is not None and section.keep == "newest" and load.timestamp_column is None:
        msg = "deduplicate.keep='newest' needs load.timestamp_column, the column of dates or times"
        raise ValueError(msg)
