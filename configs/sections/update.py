"""Sections of an update: what is new, when topics are fitted anew, and how they are matched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from topicflow.configs.sections.base import Section


class ArriveConfig(Section):
    """Which documents of the input are new."""

    watermark: str | None = Field(
        default=None,
        description="Column of dates or times in which documents arrive; where given, documents at or before the "
        "highest one seen are late. Without it what is new is told by id, or by text and timestamp.",
    )
    late: Literal["take", "leave"] = Field(
        default="take",
        description="Late documents that no run has seen: take them like any other, or leave and count them.",
    )
    since: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$",
        description="Documents whose watermark is before this time (2024-01-31, UTC) are left out. No bound if none.",
    )
    until: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$",
        description="Documents whose watermark is at or after this time are left for a later run; --backfill sets "
        "it, period by period. No bound if none.",
    )

    @model_validator(mode="after")
    def _bounds_need_a_column(self) -> ArriveConfig:
        if self.watermark is None and (self.since or self.until):
            msg = "since and until need watermark, the column that they bound"
            raise ValueError(msg)
        if self.since and self.until and self.since >= self.until:
            msg = f"since={self.since} must be before until={self.until}"
            raise ValueError(msg)
        return self


class DriftConfig(Section):
    """When new documents are so unlike those of the fit that its topics no longer do."""

    on_drift: Literal["refit", "warn"] = Field(
        default="refit",
        description="Over a threshold: fit anew on all documents and match the topics, or only say so.",
    )
    refit_after: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Fit anew at the latest in the so-manieth run after a fit, drift or not; never if none.",
    )
    min_documents: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="New documents since the fit below which no drift is found: fewer say too little.",
    )
    max_outlier_rise: float = Field(
        default=0.15,
        ge=0.0,
        le=1.0,
        description="Outlier share of the documents since the fit, less that of the fitted ones.",
    )
    max_distance_shift: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Kolmogorov-Smirnov statistic of the cosine distances to the own topic's centroid, documents "
        "since the fit against fitted ones.",
    )
    max_psi: float = Field(
        default=0.25,
        ge=0.0,
        le=100.0,
        description="Population stability index of the topics' shares beyond what chance alone would give; .25 is "
        "the customary mark of a shift.",
    )
    max_new_words: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="Share of the word occurrences since the fit whose word no fitted document holds.",
    )


class MatchConfig(Section):
    """Which topic of a new fit is which of the old one."""

    weight: float = Field(
        default=0.7,
        ge=0.0,
        le=1.0,
        description="Say of the shared documents in a pair's similarity; the rest is that of the centroids' cosine.",
    )
    min_similarity: float = Field(
        default=0.45,
        ge=0.0,
        le=1.0,
        description="Least similarity at which a topic goes on under its old id: .45 is a fifth of the documents "
        "shared at cosine 1.",
    )
    min_share: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Share of a topic's documents that must have gone to (come from) one topic for it to be called "
        "merged (split).",
    )
