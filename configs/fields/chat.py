"""A language model behind a server: the fields of every section that asks one."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from topicflow.configs.fields.server import HOW_A_SERVER_IS_ASKED, ServerSection


class ChatSection(ServerSection):
    """A section that names a language model behind a server that speaks OpenAI's `/v1/chat/completions`."""

    route: ClassVar[str] = "/chat/completions"

    section: ClassVar[str]
    """Its place in a config, for messages."""

    corpus: str = Field(
        default="documents",
        min_length=1,
        max_length=200,
        description="What the documents are, for the prompt: product reviews, support tickets, news articles.",
    )
    language: str | None = Field(
        default=None,
        max_length=50,
        description="Language of the answers, for the prompt: English, German. That of the documents if none.",
    )
    temperature: float = Field(
        default=0.0, ge=0.0, le=2.0, description="Temperature of the model; 0 is the most likely answer."
    )
    answer_tokens: int = Field(
        default=200,
        ge=16,
        le=100_000,
        description="Maximum tokens of an answer. A model that thinks aloud needs more.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        default=None, description="How much a thinking model thinks; not sent if none."
    )
    timeout_s: float = Field(
        default=120.0,
        gt=0.0,
        le=3600.0,
        description="Seconds until a request without an answer counts as failed.",
    )


class BudgetedChat(ChatSection):
    """A language model that a run asks many questions, with a budget; faulty answers are asked for again."""

    tries: int = Field(
        default=3,
        ge=1,
        le=10,
        description="Maximum number of answers to one question: after an answer that cannot be used, the model is told "
        "the fault and asked again; after one that was cut, with four times as many tokens.",
    )
    max_calls: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of calls of a run, retries included. The run completes without what is not asked; "
        "the next run asks for it.",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of a run, prompts and answers, as the server counts them. It works as "
        "max_calls does.",
    )


HOW_A_CHAT_IS_ASKED = HOW_A_SERVER_IS_ASKED | {"max_calls", "max_tokens"}
"""Fields that are in no key of an answer."""
