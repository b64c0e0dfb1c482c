"""Section `names`: names of topics by a language model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from topicflow.configs.fields.server import HOW_A_SERVER_IS_ASKED, ServerSection


class NamesConfig(ServerSection):
    """Names of topics by a language model behind a server that speaks OpenAI's `/v1/chat/completions`.

    Nothing is sent without this section. For each topic the server gets keywords, the beginnings of some documents, and
    the keywords of the nearest other topics. With a section [tree] groups of topics get names, too.
    """

    route: ClassVar[str] = "/chat/completions"

    corpus: str = Field(
        default="documents",
        min_length=1,
        max_length=200,
        description="What the documents are, for the prompt: product reviews, support tickets, news articles.",
    )
    language: str | None = Field(
        default=None,
        max_length=50,
        description="Language of the names, for the prompt: English, German. That of the documents if none.",
    )
    n_documents: int = Field(
        default=6,
        ge=0,
        le=50,
        description="Documents of each topic that are sent: central ones that differ from each other. With 0 no text "
        "leaves the machine, only keywords.",
    )
    n_chars: int = Field(
        default=300, ge=20, le=20_000, description="Maximum characters of each document that are sent."
    )
    n_siblings: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Nearest other topics whose keywords are sent, so that the name tells the topics apart.",
    )
    max_words: int = Field(default=5, ge=1, le=20, description="Maximum words of a name.")
    alike: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Names whose vectors have at least this cosine are alike: the model renames them together. Without "
        "an encoder for texts (embed.method precomputed or images) names are alike that have the same words.",
    )
    temperature: float = Field(
        default=0.0, ge=0.0, le=2.0, description="Temperature of the model; 0 is the most likely answer."
    )
    answer_tokens: int = Field(
        default=200,
        ge=16,
        le=100_000,
        description="Maximum tokens of an answer. A model that thinks aloud needs more; an answer that is cut is asked "
        "for again with four times as many.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        default=None, description="How much a thinking model thinks; not sent if none."
    )
    tries: int = Field(
        default=3,
        ge=1,
        le=10,
        description="Maximum number of answers for one topic: after an answer that cannot be used, the model is told "
        "the fault and asked again.",
    )
    max_calls: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of calls of a run, retries included. Topics beyond it keep the names that are made "
        "of their keywords; the next run goes on with them.",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of a run, prompts and answers, as the server counts them. It works as "
        "max_calls does.",
    )
    on_failure: Literal["stop", "keywords"] = Field(
        default="stop",
        description="If the server fails for good: stop the run, or go on with names that are made of keywords; the "
        "next run asks again. A wrong key, model or address always stops it.",
    )
    timeout_s: float = Field(
        default=120.0,
        gt=0.0,
        le=3600.0,
        description="Seconds until a request without an answer counts as failed.",
    )


HOW_NAMES_ARE_ASKED = HOW_A_SERVER_IS_ASKED | {"max_calls", "max_tokens", "on_failure"}
"""Fields that are in no key of a name."""
