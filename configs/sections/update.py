"""Sections of an update: which documents are new, when topics are refitted, and how topics are matched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from topicflow.configs.fields.base import Section


class NewDocumentsConfig(Section):
    """Which documents of the input are new."""

    watermark: str | None = Field(
        default=None,
        description="Column of arrival dates or times. If set, documents at or before the highest value seen are "
        "late. If not set, the id (or text and timestamp) decides which documents are new.",
    )
    late: Literal["take", "leave"] = Field(
        default="take",
        description="Late documents that no run has seen: take them like all others, or leave them out and count them.",
    )
    since: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$",
        description="Documents whose watermark is before this time (2024-01-31, UTC) are left out. If not set: none.",
    )
    until: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$",
        description="Documents whose watermark is at or after this time are left for a later run; --backfill sets it "
        "for each period. If not set: none.",
    )

    @model_validator(mode="after")
    def _bounds_need_a_column(self) -> NewDocumentsConfig:
        if self.watermark is None and (self.since or self.until):
            msg = "since and until need watermark, the column that they limit"
            raise ValueError(msg)
        if self.since and self.until and self.since >= self.until:
            msg = f"since={self.since} must be before until={self.until}"
            raise ValueError(msg)
        return self


class DriftConfig(Section):
    """When new documents differ so much from the fitted ones that the topics must be refitted."""

    on_drift: Literal["refit", "warn"] = Field(
        default="refit",
        description="Above a threshold: refit on all documents and match the topics, or only warn.",
    )
    refit_after: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Refit after at most this many updates, with or without drift. If not set: never.",
    )
    min_documents: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Minimum number of new documents since the fit; drift is not checked below it.",
    )
    max_outlier_rise: float = Field(
        default=0.15,
        ge=0.0,
        le=1.0,
        description="Maximum rise of the outlier share, from the fitted documents to those since the fit.",
    )
    max_distance_shift: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Maximum Kolmogorov-Smirnov statistic between the documents since the fit and the fitted ones, of "
        "the cosine distances to the centroid of the document's topic.",
    )
    max_psi: float = Field(
        default=0.25,
        ge=0.0,
        le=100.0,
        description="Maximum population stability index of the topic shares, above what chance would give; .25 is the "
        "usual mark of a shift.",
    )
    max_new_words: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="Maximum share of word occurrences since the fit whose word is in no fitted document.",
    )


class MatchConfig(Section):
    """How topics of a new fit are matched to topics of the old one."""

    weight: float = Field(
        default=0.7,
        ge=0.0,
        le=1.0,
        description="Weight of the shared documents in the similarity of two topics; the rest is the cosine of the "
        "centroids.",
    )
    min_similarity: float = Field(
        default=0.45,
        ge=0.0,
        le=1.0,
        description="Minimum similarity at which a topic keeps its id; .45 is a fifth of the documents shared at "
        "cosine 1.",
    )
    min_share: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Minimum share of a topic's documents that must move to one topic to call it merged, or come from "
        "one to call it split.",
    )
