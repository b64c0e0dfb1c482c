"""Requests: what other programs may ask, with the limits of each value; the same for HTTP and for MCP."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topicflow.tasks.core.vectors.bm25 import Bm25
from topicflow.tasks.search.arguments import DENSE_WEIGHT, FUSION_K, MOST_K1, Expand, Mode

MOST_K = 1_000
"""Documents or topics in one answer."""

MOST_OFFSET = 10_000
"""Documents to skip: the deepest page costs as much as all the pages before it."""

MOST_QUERY = 10_000
"""Characters of a query; encoders read some hundred words."""

MOST_WHERE = 4_000
"""Characters of a condition."""

MOST_IDS = 10_000
"""Ids in a list of documents that may be found."""

MOST_LIKED = 1_000
"""Documents that a person likes, and that the person dislikes; recommending compares them all with each candidate."""

MOST_HIGHLIGHTED = 100
"""Documents with highlights in one answer: the encoder may have to read all their sentences."""

MOST_ID = 1_000
"""Characters of an id."""

MOST_COLUMN = 200
"""Characters of a column's name, or of a function of one."""


# A bound of its length also makes pydantic refuse a text with half of a surrogate pair, which nothing can encode.
Query = Annotated[str, Field(min_length=1, max_length=MOST_QUERY)]
Where = Annotated[str, Field(max_length=MOST_WHERE)]
DocId = Annotated[str, Field(min_length=1, max_length=MOST_ID)]
Column = Annotated[str, Field(min_length=1, max_length=MOST_COLUMN)]
Coordinate = Annotated[float, Field(ge=-1e15, le=1e15)]  # so that the length of a vector is a float32
K = Annotated[int, Field(ge=1, le=MOST_K, description="Maximum number of results.")]
Offset = Annotated[int, Field(ge=0, le=MOST_OFFSET, description="How many of the best results to skip.")]
MaxChars = Annotated[
    int | None,
    Field(
        ge=1, description="Cut each document's text after this many characters. If not set: the whole text."
    ),
]


def _range(most: float | None = None) -> dict[str, Any]:
    """Return the range of a number as OpenAPI describes it; the index itself refuses what is outside."""
    return {"minimum": 0} | ({} if most is None else {"maximum": most})


class Request(BaseModel):
    """A request. Unknown values are refused, and so are numbers that are not numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Page(Request):
    """Which documents may be found, and how many of them are returned."""

    k: K = 10
    offset: Offset = 0
    where: Where | None = Field(
        default=None,
        description="A condition on the columns as in SQL: label = 'a' and created >= '2012-01-01'. The columns of an "
        "index are listed with it; topic and topic_name are columns if it has topics.",
    )
    ids: Annotated[list[DocId], Field(max_length=MOST_IDS)] | None = Field(
        default=None, description="Ids of the documents that may be found; unknown ids are ignored."
    )
    min_score: float | None = Field(
        default=None, description="Minimum score, inclusive, in the unit of the ranking."
    )
    group_by: Column | None = Field(
        default=None,
        description="A column: only the best document of each of its values is found; parent for passages.",
    )
    max_chars: MaxChars = None

    def limits(self) -> dict[str, Any]:
        """Return the arguments that `SearchIndex.search` and `SearchIndex.similar` share."""
        return self.model_dump(include={"k", "offset", "where", "ids", "min_score", "group_by"})


class SearchRequest(Page):
    """A query, as a text or as a vector of the index's space."""

    query: Query | None = Field(default=None, description="What to look for.")
    vector: Annotated[list[Coordinate], Field(min_length=1, max_length=65_536)] | None = Field(
        default=None, description="A vector of the index's space, instead of a query."
    )
    mode: Mode = Field(
        default="auto",
        description="dense ranks by meaning, bm25 by words, hybrid by both; auto is hybrid if the index has words.",
    )
    expand: Expand = Field(
        default="none",
        description="feedback searches twice: the second query is moved towards the best five documents of the first. "
        "hypothetical adds a passage that a language model writes, if the index's config names one.",
    )
    dense_weight: float | None = Field(
        default=None, json_schema_extra=_range(1),
        description=f"Weight of meaning in hybrid search; words have the rest. If not set: {DENSE_WEIGHT}.",
    )  # fmt: skip
    fusion_k: float | None = Field(
        default=None, json_schema_extra=_range(),
        description="Added to each place in hybrid search; the larger it is, the less the first places count. If not "
        f"set: {FUSION_K:g}.",
    )  # fmt: skip
    k1: float | None = Field(
        default=None, json_schema_extra=_range(MOST_K1),
        description="BM25: how much further occurrences of a word in a document count, 0 for not at all. If not set: "
        f"{Bm25.k1}.",
    )  # fmt: skip
    b: float | None = Field(
        default=None, json_schema_extra=_range(1),
        description=f"BM25: how much long documents are held back. If not set: {Bm25.b}.",
    )  # fmt: skip
    explain: bool = Field(
        default=False, description="Say which place and score each document has in each ranking (ranks)."
    )
    highlight: bool = Field(
        default=False,
        description="Say which sentence of each document matches best, and where the words of the query stand in it; "
        f"for k up to {MOST_HIGHLIGHTED}.",
    )

    def ranked(self) -> dict[str, Any]:
        """Return the arguments that only `SearchIndex.search` has."""
        names = {"mode", "expand", "dense_weight", "fusion_k", "k1", "b", "explain", "highlight"}
        return self.model_dump(include=names)

    @model_validator(mode="after")
    def _few_are_highlighted(self) -> SearchRequest:
        if self.highlight and self.k > MOST_HIGHLIGHTED:
            msg = f"k={self.k}, expected at most {MOST_HIGHLIGHTED} with highlight"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchRequest:
        if (self.query is None) == (self.vector is None):
            msg = "expected either query or vector"
            raise ValueError(msg)
        return self


class SimilarRequest(Page):
    """A document whose most similar documents are wanted."""

    doc_id: DocId = Field(description="The document's id.")


class RecommendRequest(Request):
    """What a person likes and dislikes."""

    liked: Annotated[list[DocId], Field(max_length=MOST_LIKED)] = Field(
        description="Ids of documents that the person likes; unknown ids are ignored."
    )
    disliked: Annotated[list[DocId], Field(max_length=MOST_LIKED)] = Field(
        default=[], description="Ids of documents that the person dislikes."
    )
    k: K = 10
    where: Where | None = Field(default=None, description="A condition on the columns as in SQL.")
    diversity: float = Field(
        default=0.0,
        json_schema_extra=_range(1),
        description="0: the most similar documents; 1: the most varied.",
    )
    max_chars: MaxChars = None


class TopicsRequest(Request):
    """The topics that are nearest to a query, or all topics in order of their numbers."""

    query: Query | None = Field(
        default=None, description="What the topics should be about. If not set: all topics."
    )
    k: K = MOST_K
    offset: Offset = 0


class TopicDocumentsRequest(Request):
    """A topic whose documents are wanted, the most typical first."""

    topic: int = Field(ge=0, le=2**31 - 1, description="The topic's number.")
    k: K = 10
    offset: Offset = 0
    where: Where | None = Field(default=None, description="A condition on the columns as in SQL.")
    max_chars: MaxChars = None


class DocumentRequest(Request):
    """A document that is wanted."""

    doc_id: DocId = Field(description="The document's id.")
