"""Sections of a classifier: labels, features, head, SetFit, comparison and predictions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from topicflow.configs.fields.base import IsPath, Section


class LabelsConfig(Section):
    """Source of the labels: load.label_column, files with doc_id and label, or the topics of a run."""

    path: Annotated[str | tuple[str, ...] | None, IsPath()] = Field(
        default=None,
        description="A CSV or Parquet file with the columns doc_id and label, or a list of files; rows without a label "
        "are left out; with separator, they are documents without a class. If neither this nor run is set: "
        "load.label_column.",
    )
    run: str | None = Field(
        default=None,
        description="A run of topic_model whose topics become classes: name, id or folder. Also set topics.",
    )
    topics: Annotated[str | None, IsPath()] = Field(
        default=None,
        description="A CSV or Parquet file with the columns topic and class, for example topics.csv with an additional "
        "column class; topics without a class are left out.",
    )
    min_probability: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Minimum membership strength of a document that gets its label from its topic.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        description="Text between the labels of one document. If set, a document can have several classes or none "
        "(multilabel): a row without labels has no class, and ? marks a document that is not labelled yet.",
    )
    contradictions: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="Documents with the same text and different labels: refuse lists them and stops, drop leaves them "
        "out.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> LabelsConfig:
        if self.path is not None and self.run is not None:
            msg = "set path or run, not both"
            raise ValueError(msg)
        if (self.run is None) != (self.topics is None):
            msg = "run and topics belong together: the file gives the class of each topic of the run"
            raise ValueError(msg)
        return self


class FeaturesConfig(Section):
    """Columns of the input that a classifier reads beside the vectors; none by default."""

    numeric: tuple[str, ...] = Field(
        default=(),
        description="Columns of numbers, or of true and false. Each is scaled to mean 0 and variance 1 and cut at 5 "
        "standard deviations. A missing number counts as the mean, and one more column says that it is missing.",
    )
    categorical: tuple[str, ...] = Field(
        default=(),
        description="Columns of categories. Each category becomes a column of 0 and 1, and so does a missing value. A "
        "category that no labelled document has is 0 in all of them.",
    )
    max_categories: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of categories of a column, the most frequent ones; all others are 0.",
    )
    weight: float = Field(
        default=0.5,
        gt=0.0,
        le=100.0,
        description="Length of all features together beside a vector of length 1; all named columns have equal shares. "
        "Eleven columns of noise cost .02 of accuracy at .5, .09 at 1 and .23 at 2, and a column that goes with the "
        "classes gained .12 at each (tests/benchmarks/features.py).",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, the numeric ones first."""
        return self.numeric + self.categorical

    @model_validator(mode="after")
    def _each_column_once(self) -> FeaturesConfig:
        twice = [name for name in self.columns if self.columns.count(name) > 1]
        if twice:
            msg = f"column {twice[0]!r} is named twice; a column is numeric or categorical"
            raise ValueError(msg)
        return self


class HeadConfig(Section):
    """Logistic regression: the probe on the cached embeddings, and SetFit's head on the tuned ones."""

    C: float = Field(
        default=10.0,
        gt=0.0,
        le=1e6,
        description="Inverse of the regularisation. Lower for classes that are hard to distinguish (on SST-5, 1 was "
        "better calibrated than 10, tests/benchmarks), higher for many distinct classes, whose probabilities are "
        "small otherwise.",
    )
    balance: bool = Field(
        default=True,
        description="Give all classes the same weight, both in the head and in the pairs.",
    )


class SetFitConfig(Section):
    """Contrastive fine-tuning of the encoder on pairs of labelled texts."""

    enabled: bool = Field(default=True, description="Train SetFit as well as the probe.")
    n_steps: int = Field(
        default=24, ge=1, le=100_000, description="Maximum number of training steps; each takes one batch."
    )
    batch_texts: int = Field(
        default=32,
        ge=4,
        le=1024,
        description="Texts in each step. A step trains on all pairs of its texts: 496 pairs of 32 texts.",
    )
    learning_rate: float = Field(
        default=1e-4,
        gt=0.0,
        le=1.0,
        description="Learning rate of AdamW; rises for a tenth of the steps, then falls.",
    )
    max_seq_length: int = Field(
        default=128,
        ge=8,
        le=8192,
        description="Longest input in training, in tokens; the rest is cut.",
    )
    validation_share: float = Field(
        default=0.15, gt=0.0, le=0.5, description="Share of the examples held out for early stopping."
    )
    validation_from: int = Field(
        default=20,
        ge=2,
        le=1_000_000,
        description="Hold examples out for early stopping if the smallest class has at least this many; otherwise "
        "train on all examples for all steps.",
    )
    patience: int = Field(
        default=2, ge=1, le=100, description="Evaluations without improvement before training stops."
    )
    judge_every: int = Field(default=8, ge=1, le=10_000, description="Steps between two evaluations.")


class CompareConfig(Section):
    """Comparison of SetFit and the probe on repeated splits of the labelled documents."""

    n_splits: int = Field(default=5, ge=2, le=100, description="Number of repeated stratified splits.")
    test_share: float = Field(
        default=0.25, gt=0.0, lt=1.0, description="Share of the labelled documents in a split's test part."
    )
    shots: tuple[int, ...] = Field(
        default=(),
        description="Few-shot table: examples of each class, such as [8, 16, 64]. Empty: no table.",
    )
    n_draws: int = Field(
        default=10, ge=2, le=100, description="Repetitions of each row of the few-shot table."
    )
    max_test: int = Field(
        default=2000, ge=10, le=1_000_000, description="Maximum number of documents in a test part."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Confidence of the intervals and of SetFit's required gain."
    )
    metric: Literal["accuracy", "macro_f1"] = Field(
        default="macro_f1", description="Score that decides which method is recommended."
    )


class PredictConfig(Section):
    """Predictions for the whole corpus."""

    method: Literal["recommended", "probe", "setfit"] = Field(
        default="recommended", description="Classifier that is trained on all labels and predicts."
    )
    threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Minimum probability of a class; documents below it are unsure. With several labels, every class "
        "that reaches it is predicted.",
    )
    n_suggestions: int = Field(
        default=20, ge=0, le=100_000, description="Documents suggested for labelling next."
    )
