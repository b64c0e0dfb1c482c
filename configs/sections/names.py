"""Section `names`: names of topics by a language model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from topicflow.configs.fields.chat import HOW_A_CHAT_IS_ASKED, BudgetedChat


class NamesConfig(BudgetedChat):
    """Names of topics by a language model behind a server that speaks OpenAI's `/v1/chat/completions`.

    Nothing is sent without this section. For each topic the server gets keywords, the beginnings of some documents, and
    the keywords of the nearest other topics. With a section [tree] groups of topics get names, too. Topics beyond the
    budget keep the names that are made of their keywords.
    """

    section: ClassVar[str] = "names"

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
    on_failure: Literal["stop", "keywords"] = Field(
        default="stop",
        description="If the server fails for good: stop the run, or go on with names that are made of keywords; the "
        "next run asks again. A wrong key, model or address always stops it.",
    )


HOW_NAMES_ARE_ASKED = HOW_A_CHAT_IS_ASKED | {"on_failure"}
"""Fields that are in no key of a name."""
