"""Sections of a classifier: labels, head, SetFit, comparison and predictions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from topicflow.configs.sections.base import Section


class LabelsConfig(Section):
    """Where the labels come from: load.label_column, files of doc_id and label, or the topics of a run."""

    path: str | tuple[str, ...] | None = Field(
        default=None,
        description="A CSV or Parquet file with the columns doc_id and label, or a list of them; rows without a label "
        "are left out, or, with separator, are documents of none of the classes. load.label_column is read if neither "
        "this nor run is given.",
    )
    run: str | None = Field(
        default=None,
        description="A run of topic_model whose topics become classes: its name, id or folder; needs topics.",
    )
    topics: str | None = Field(
        default=None,
        description="A CSV or Parquet file with the columns topic and class, as topics.csv with a column class filled "
        "in; topics without a class are left out.",
    )
    min_probability: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Least membership strength of a document whose topic gives its label.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        description="What stands between the labels of one document; given, a document may have several or none "
        "of the classes (multilabel). A row of a file without labels has none; ? is not labelled yet.",
    )
    contradictions: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="Documents of one text with different labels: refuse lists them and stops, drop leaves them out.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> LabelsConfig:
        if self.path is not None and self.run is not None:
            msg = "give path or run, not both"
            raise ValueError(msg)
        if (self.run is None) != (self.topics is None):
            msg = "run and topics go together: the run gives topics, the file says which class each is"
            raise ValueError(msg)
        return self


class HeadConfig(Section):
    """Logistic regression: on the cached embeddings it is the probe, on tuned ones SetFit's head."""

    C: float = Field(
        default=10.0,
        gt=0.0,
        le=1e6,
        description="Inverse of the regularisation. Less for classes hard to tell apart (on SST-5 1 was better "
        "calibrated than 10, tests/benchmarks), more for many distinct ones, whose probabilities are else small.",
    )
    balance: bool = Field(
        default=True,
        description="Weigh classes alike, however many examples each has: in the head and in pairs.",
    )


class SetFitConfig(Section):
    """Contrastive fine-tuning of the encoder on pairs of labelled texts."""

    enabled: bool = Field(default=True, description="Train SetFit beside the probe.")
    n_steps: int = Field(
        default=24, ge=1, le=100_000, description="Most steps of a training, a batch of texts each."
    )
    batch_texts: int = Field(
        default=32,
        ge=4,
        le=1024,
        description="Texts of a step; all pairs among them are its pairs: 496 of 32 texts.",
    )
    learning_rate: float = Field(
        default=1e-4, gt=0.0, le=1.0, description="Of AdamW; rises over a tenth of the steps, then falls."
    )
    max_seq_length: int = Field(
        default=128,
        ge=8,
        le=8192,
        description="Longest input in training, in tokens; what is beyond is not read.",
    )
    validation_share: float = Field(
        default=0.15, gt=0.0, le=0.5, description="Share of the examples that early stopping is judged on."
    )
    validation_from: int = Field(
        default=20,
        ge=2,
        le=1_000_000,
        description="Examples of the smallest class from which on some are held out for early stopping; below, "
        "every one is trained on for all steps.",
    )
    patience: int = Field(
        default=2, ge=1, le=100, description="Judgements without gain after which a training stops."
    )
    judge_every: int = Field(default=8, ge=1, le=10_000, description="Steps between two judgements.")


class CompareConfig(Section):
    """How SetFit and the probe are compared: repeated splits of the labelled documents."""

    n_splits: int = Field(default=5, ge=2, le=100, description="Repeated stratified splits.")
    test_share: float = Field(
        default=0.25, gt=0.0, lt=1.0, description="Share of the labelled documents that a split tests on."
    )
    shots: tuple[int, ...] = Field(
        default=(),
        description="Examples a class of the few-shot table, as in [8, 16, 64]; no table if empty.",
    )
    n_draws: int = Field(default=10, ge=2, le=100, description="Draws of each row of the few-shot table.")
    max_test: int = Field(
        default=2000, ge=10, le=1_000_000, description="Most documents that a split or draw tests on."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Of the intervals, and of the gain that SetFit must show."
    )
    metric: Literal["accuracy", "macro_f1"] = Field(
        default="macro_f1", description="What decides which of the two is recommended."
    )


class PredictConfig(Section):
    """What is predicted of the whole corpus."""

    method: Literal["recommended", "probe", "setfit"] = Field(
        default="recommended", description="Which classifier is trained on all labels and predicts."
    )
    threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Least probability of a class; a document below is unsure. Of several labels, each from it on.",
    )
    n_suggestions: int = Field(
        default=20, ge=0, le=100_000, description="Documents suggested to be labelled next."
    )
