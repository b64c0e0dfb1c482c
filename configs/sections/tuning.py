"""Sections of tuned embeddings: the examples, their split, what is tuned, and how it is measured."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, Tag, field_validator, model_validator

from topicflow.configs.fields.base import AnyOf, IsPath, Section, method_or
from topicflow.configs.fields.chat import BudgetedChat


class ClassExamples(Section):
    """Documents with known classes: two of the same class are similar, two of different classes are not."""

    model_config = ConfigDict(title="classes")

    method: Literal["classes"] = Field(default="classes", description="Labelled documents.")
    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        description="A Parquet, CSV or NDJSON file with the columns doc_id and label. If not set: load.label_column. "
        "Documents that are not in the file stay unlabelled.",
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
    path: Annotated[str, IsPath()] = Field(
        description="A Parquet, CSV or NDJSON file with columns id_a and id_b (doc_ids of the corpus), or text_a and "
        "text_b, and similar (1 or 0) or score (a number, larger for more similar pairs). Without either, all pairs "
        "are similar, as are those of anchor and positive, and the other texts of a batch are the dissimilar ones."
    )


class TripletExamples(Section):
    """Triplets: an anchor, a similar document, and a less similar one."""

    model_config = ConfigDict(title="triplets")

    method: Literal["triplets"] = Field(description="Triplets of documents or texts.")
    path: Annotated[str, IsPath()] = Field(
        description="A Parquet, CSV or NDJSON file with columns id_anchor, id_positive and id_negative (doc_ids of the "
        "corpus), or text_anchor, text_positive and text_negative."
    )


class QuestionServer(BudgetedChat):
    """A language model that writes questions about passages, behind a server that speaks `/v1/chat/completions`."""

    section: ClassVar[str] = "examples.server"

    n_questions: int = Field(default=2, ge=1, le=10, description="Questions about each passage, in one call.")
    n_chars: int = Field(
        default=1500, ge=50, le=20_000, description="Maximum characters of each passage that are sent."
    )


class SyntheticExamples(Section):
    """Made questions and the documents that answer them, for search without labelled queries."""

    model_config = ConfigDict(title="synthetic")

    method: Literal["synthetic"] = Field(description="Made questions about documents.")
    kinds: tuple[Literal["title", "sentence", "words", "model"], ...] | None = Field(
        default=None,
        min_length=1,
        description="What questions are made of: title (a short first paragraph), sentence (the first one), words (the "
        "eight with the largest BM25 weights), model (examples.server writes them). If not set: model with a server, "
        "the other three without one.",
    )
    n_passages: int = Field(
        default=2000,
        ge=10,
        le=1_000_000,
        description="Maximum number of documents that questions are made of, drawn by the seed.",
    )
    found_by: Literal["vectors", "words", "either", "both"] = Field(
        default="either",
        description="Ranking in which a question must find its document: cosines of the untuned vectors, BM25, one of "
        "them, or both.",
    )
    found_within: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Worst place of the document in that ranking of the whole corpus; other questions are dropped.",
    )
    server: QuestionServer | None = Field(
        default=None, description="A language model that writes questions; nothing is sent without it."
    )

    @model_validator(mode="after")
    def _model_and_server_belong_together(self) -> SyntheticExamples:
        wants = self.kinds is not None and "model" in self.kinds
        if wants and self.server is None:
            msg = 'kinds: "model" needs examples.server with url and model'
            raise ValueError(msg)
        if self.server is not None and self.kinds is not None and not wants:
            msg = 'kinds: examples.server is set and "model" is not among the kinds; add it or remove the server'
            raise ValueError(msg)
        return self


ExamplesConfig = Annotated[
    Annotated[ClassExamples, Tag("classes")]
    | Annotated[TopicExamples, Tag("topics")]
    | Annotated[PairExamples, Tag("pairs")]
    | Annotated[TripletExamples, Tag("triplets")]
    | Annotated[SyntheticExamples, Tag("synthetic")],
    method_or("classes"),
    AnyOf(),
]


class SplitExamples(Section):
    """Which documents train, which decide when to stop, and which are held out for measuring."""

    column: str | None = Field(
        default=None,
        description="A column of the input with the values train, validation (or val, dev) and test. If not set: a "
        "random split within each class.",
    )
    held_out: float = Field(
        default=0.3,
        ge=0.05,
        le=0.9,
        description="Share of the examples held out for measuring, if column is not set.",
    )
    validation: float = Field(
        default=0.15,
        ge=0.0,
        le=0.5,
        description="Share of the remaining examples that decides when to stop; 0 trains to the end.",
    )


class AdapterTune(Section):
    """A residual linear head on the existing vectors: takes seconds on a CPU, and nothing is embedded again."""

    model_config = ConfigDict(title="adapter")

    method: Literal["adapter"] = Field(default="adapter", description="A linear head on the cached vectors.")
    loss: Literal["auto", "softmax", "group", "triplet", "contrastive"] = Field(
        default="auto",
        description="softmax: softmax regression with self-training on unlabelled documents; group: supervised "
        "contrastive; triplet: batch-hard; contrastive: hardest pairs of a batch. auto is softmax for classes and "
        "topics, contrastive for pairs, triplet for triplets (tests/benchmarks). Pairs that are all similar are ranked "
        "above the other texts of the batch, graded pairs by their scores.",
    )
    rounds: int = Field(
        default=4,
        ge=0,
        le=50,
        description="softmax: rounds of self-training, which predict the classes of unlabelled documents and learn "
        "from the most certain half. Held-out documents are never used.",
    )
    check_labels: bool = Field(
        default=True,
        description="softmax: leave out labels that contradict a regression on the other labels, if each class has at "
        "least 50.",
    )
    gate: float | None = Field(
        default=None,
        gt=0.0,
        le=100.0,
        description="softmax: how far vectors are moved. If not set: chosen from .5, 1, 2 and 4 on the validation "
        "part, or 1 if that has fewer than 50 documents.",
    )
    strength: float | None = Field(
        default=None,
        gt=0.0,
        le=10.0,
        description="Other losses: factor of the trained gate; less than 1 moves vectors less far. If not set: .25 for "
        "synthetic examples, where more hurts real queries (tests/benchmarks), 1 for others.",
    )
    epochs: int = Field(
        default=100, ge=1, le=10_000, description="Other losses: maximum number of passes over the examples."
    )
    patience: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Other losses: passes without a better validation loss before training stops.",
    )
    batch_size: int = Field(
        default=64,
        ge=4,
        le=65_536,
        description="Other losses: examples in each batch; hard ones are selected within a batch.",
    )
    learning_rate: float = Field(
        default=3e-3, gt=0.0, le=1.0, description="Other losses: learning rate of Adam."
    )
    temperature: float = Field(
        default=0.1,
        ge=0.01,
        le=2.0,
        description="group: temperature of the similarities (Khosla et al. 2020: .1).",
    )
    margin: float = Field(
        default=0.2,
        ge=0.0,
        le=2.0,
        description="triplet: the similar document must be nearer by this cosine; contrastive: maximum cosine of "
        "dissimilar documents.",
    )


class FullTune(Section):
    """All weights of the encoder, with the trainer of sentence-transformers; the result is a model folder."""

    model_config = ConfigDict(title="full")

    method: Literal["full"] = Field(description="All weights of the encoder.")
    epochs: int = Field(default=1, ge=1, le=100, description="Passes over the examples.")
    batch_size: int = Field(
        default=32, ge=4, le=4096, multiple_of=2, description="Texts in each batch, an even number."
    )
    learning_rate: float = Field(
        default=2e-5,
        gt=0.0,
        le=1e-2,
        description="Learning rate of AdamW (sentence-transformers' examples: 2e-5).",
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Maximum number of steps. If not set: no limit."
    )


TuneConfig = Annotated[
    Annotated[AdapterTune, Tag("adapter")] | Annotated[FullTune, Tag("full")],
    method_or("adapter"),
    AnyOf(),
]


class MeasureConfig(Section):
    """What is measured of the raw and the tuned vectors, only on held-out documents."""

    neighbors: tuple[int, ...] = Field(
        default=(10, 100, 1000),
        description="Numbers of nearest held-out documents among which the share of the same class is measured.",
    )
    sample: int = Field(
        default=10_000,
        ge=10,
        le=1_000_000,
        description="Maximum number of held-out documents whose neighbours are measured.",
    )
    topics: Literal["kmeans", "pipeline", "none"] = Field(
        default="kmeans",
        description="Topics of the held-out documents, compared with their classes by NMI: kmeans with one topic for "
        "each class, or the stages neighbors, reduce and cluster of topic_model (pipeline, slower).",
    )

    @field_validator("neighbors")
    @classmethod
    def _some_and_positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1 or len(set(value)) != len(value):
            msg = f"neighbors={list(value)} must be one or more different numbers of at least 1"
            raise ValueError(msg)
        return value
