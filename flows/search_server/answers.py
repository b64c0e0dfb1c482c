"""Answers: what other programs receive, as OpenAPI describes it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from topicflow.tasks.search.results import Hit


class Answer(BaseModel):
    """What every answer says: which index it comes from, in which run's state."""

    index: str = Field(description="Name of the index.")
    run: str = Field(description="Id of the run that made the state of the index which answered.")


class Documents(Answer):
    """Documents, best first."""

    hits: list[Hit] = Field(description="The documents, best first.")
    truncated: bool = Field(
        default=False,
        description="Whether the query was longer than the encoder reads, so that its end counts only for words.",
    )
    note: str = Field(
        default="", description="Why the search is not the one that was asked for; empty if it is."
    )


class Recommended(Hit):
    """A recommended document."""

    interest: int
    because: str


class Recommendations(Answer):
    """Recommended documents, the interests in turns."""

    hits: list[Recommended] = Field(description="The documents.")


class Topic(BaseModel):
    """A topic."""

    topic: int
    name: str
    keywords: list[str]
    size: int = Field(description="Number of its documents in the topic model.")
    score: float | None = Field(description="Cosine of its centroid to the query; null without a query.")


class Topics(Answer):
    """Topics, best first if there is a query, otherwise in order of their numbers."""

    topics: list[Topic]
    n_topics: int = Field(description="Number of all topics of the index.")
    truncated: bool = False


class IndexSummary(BaseModel):
    """An index that is served."""

    name: str
    run: str
    n_documents: int
    n_topics: int | None = Field(description="null if the index has no topics.")
    dim: int
    has_words: bool = Field(description="Whether it can rank by words.")
    encodes: bool = Field(
        description="Whether it has an encoder for queries; otherwise it takes vectors only."
    )
    columns: dict[str, str] = Field(description="Columns for conditions, and their types.")
    opened: str = Field(description="When this state was opened, UTC.")
    problem: str | None = Field(
        description="Why a newer state could not be opened; null if none was refused."
    )


class Indexes(BaseModel):
    """The indexes that are served."""

    indexes: list[IndexSummary]


class Health(BaseModel):
    """Whether the server answers, and whether every index is up to date."""

    status: str = Field(description="ok; stale if a newer state of an index could not be opened.")


class ErrorText(BaseModel):
    """What is wrong with a request."""

    code: str = Field(description="A name for programs.")
    message: str = Field(description="One line for people.")


class ErrorAnswer(BaseModel):
    """The answer to a request that failed."""

    error: ErrorText
