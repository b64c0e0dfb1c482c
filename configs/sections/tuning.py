"""Sections of tuned embeddings: examples, their split, what is tuned and how it is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag, field_validator

from topicflow.configs.sections.base import AnyOf, Section, method_or


class ClassExamples(Section):
    """Documents of known classes: two of one class are similar, two of different classes are not."""

    model_config = ConfigDict(title="classes")

    method: Literal["classes"] = Field(default="classes", description="Labelled documents.")
    path: str | None = Field(
        default=None,
        description="A Parquet, CSV or NDJSON file with columns doc_id and label; the load section's label_column if "
        "none. Documents that it does not name stay unlabelled.",
    )


class TopicExamples(Section):
    """The topics of an earlier run as classes; documents without a topic stay unlabelled."""

    model_config = ConfigDict(title="topics")

    method: Literal["topics"] = Field(description="Topics of a run.")
    run: str = Field(description="A run of topic_model: its name, name/run id, or folder.")


class PairExamples(Section):
    """Pairs of documents or texts that are similar, or not, or to a degree."""

    model_config = ConfigDict(title="pairs")

    method: Literal["pairs"] = Field(description="Pairs of documents or texts.")
    path: str = Field(
        description="A Parquet, CSV or NDJSON file with columns id_a and id_b (doc_ids of the corpus), or text_a and "
        "text_b, and similar (1 or 0) or score (a number, larger of more similar pairs). Without either all pairs are "
        "similar, as those of anchor and positive are, and the other texts of a batch are what they are not."
    )


class TripletExamples(Section):
    """Triplets: an anchor, one that is similar to it and one that is less so."""

    model_config = ConfigDict(title="triplets")

    method: Literal["triplets"] = Field(description="Triplets of documents or texts.")
    path: str = Field(
        description="A Parquet, CSV or NDJSON file with columns id_anchor, id_positive and id_negative (doc_ids of the "
        "corpus), or text_anchor, text_positive and text_negative."
    )


ExamplesConfig = Annotated[
    Annotated[ClassExamples, Tag("classes")]
    | Annotated[TopicExamples, Tag("topics")]
    | Annotated[PairExamples, Tag("pairs")]
    | Annotated[TripletExamples, Tag("triplets")],
    method_or("classes"),
    AnyOf(),
]


class SplitExamples(Section):
    """Which documents are trained on, which stop the training, and which are held out to measure on."""

    column: str | None = Field(
        default=None,
        description="A column of the input that says train, validation (or val, dev) or test for each document; drawn "
        "at random within each class if none.",
    )
    held_out: float = Field(
        default=0.3,
        ge=0.05,
        le=0.9,
        description="Share of the examples that only measures, where no column says.",
    )
    validation: float = Field(
        default=0.15,
        ge=0.0,
        le=0.5,
        description="Share of the others that says when to stop; 0 trains to the end.",
    )


class AdapterTune(Section):
    """A residual linear head on the vectors that are there: seconds on a CPU, nothing is embedded again."""

    model_config = ConfigDict(title="adapter")

    method: Literal["adapter"] = Field(default="adapter", description="A linear head on the cached vectors.")
    loss: Literal["auto", "softmax", "group", "triplet", "contrastive"] = Field(
        default="auto",
        description="softmax: directions of a softmax regression, with self-training on unlabelled documents; group: "
        "supervised contrastive; triplet: batch-hard; contrastive: hardest pairs of a batch. auto is softmax for "
        "classes and topics, contrastive for pairs, triplet for triplets (tests/benchmarks). Pairs that are all "
        "similar are ranked above a batch's other texts, and graded ones by their scores.",
    )
    rounds: int = Field(
        default=4,
        ge=0,
        le=50,
        description="softmax: rounds of guessing the classes of unlabelled documents and learning from the surest "
        "half. Documents that are held out are never among them.",
    )
    check_labels: bool = Field(
        default=True,
        description="softmax: leave out labels that a regression on the other labels contradicts, where each class has "
        "50 or more.",
    )
    gate: float | None = Field(
        default=None,
        gt=0.0,
        le=100.0,
        description="softmax: how far vectors are moved; chosen on the validation part from .5, 1, 2 and 4 if none, 1 "
        "where that has fewer than 50 documents.",
    )
    epochs: int = Field(
        default=100, ge=1, le=10_000, description="Other losses: most passes over the examples."
    )
    patience: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Other losses: passes without a better validation loss until they end.",
    )
    batch_size: int = Field(
        default=64,
        ge=4,
        le=65_536,
        description="Other losses: examples of a batch, in which hard ones are mined.",
    )
    learning_rate: float = Field(default=3e-3, gt=0.0, le=1.0, description="Other losses: Adam's step.")
    temperature: float = Field(
        default=0.1,
        ge=0.01,
        le=2.0,
        description="group: temperature of similarities (Khosla et al. 2020: .1).",
    )
    margin: float = Field(
        default=0.2,
        ge=0.0,
        le=2.0,
        description="triplet: cosine by which the similar one must be nearer; contrastive: cosine up to which "
        "dissimilar ones may stay.",
    )


class FullTune(Section):
    """All weights of the encoder, by sentence-transformers' trainer; the result is a model folder."""

    model_config = ConfigDict(title="full")

    method: Literal["full"] = Field(description="All weights of the encoder.")
    epochs: int = Field(default=1, ge=1, le=100, description="Passes over the examples.")
    batch_size: int = Field(
        default=32, ge=4, le=4096, multiple_of=2, description="Texts of a batch, an even number."
    )
    learning_rate: float = Field(
        default=2e-5, gt=0.0, le=1e-2, description="AdamW's step (sentence-transformers' examples: 2e-5)."
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Steps after which training ends; no bound if none."
    )


TuneConfig = Annotated[
    Annotated[AdapterTune, Tag("adapter")] | Annotated[FullTune, Tag("full")],
    method_or("adapter"),
    AnyOf(),
]


class JudgeConfig(Section):
    """What is measured of the raw and of the tuned vectors, on held-out documents alone."""

    neighbors: tuple[int, ...] = Field(
        default=(10, 100, 1000),
        description="Numbers of nearest held-out documents among which the share of the same class is measured.",
    )
    sample: int = Field(
        default=10_000,
        ge=10,
        le=1_000_000,
        description="Held-out documents that look for neighbours; all up to so many.",
    )
    topics: Literal["kmeans", "pipeline", "none"] = Field(
        default="kmeans",
        description="Topics of a rerun on the held-out documents, held against their classes by NMI: kmeans with one "
        "topic a class, or neighbours, layout and HDBSCAN as topic_model has them (slower).",
    )

    @field_validator("neighbors")
    @classmethod
    def _some_and_positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1 or len(set(value)) != len(value):
            msg = f"neighbors={list(value)} must be one or more different numbers from 1"
            raise ValueError(msg)
        return value
