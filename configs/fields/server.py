"""A server of models: the fields that every section has which names one."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from topicflow.configs.fields.base import Section, without_credentials


class ServerSection(Section):
    """A section that names a server with one of OpenAI's routes, and says how it is asked."""

    route: ClassVar[str]
    """The part of the address that the client adds after /v1."""

    url: str = Field(
        pattern=r"^https?://\S+$",
        description="Address of the API up to /v1, as in https://api.openai.com/v1 or http://localhost:8080/v1. It is "
        "not part of any key: the same model at another address is not asked again.",
    )
    model: str = Field(min_length=1, description="Name of the model in the server's list.")
    key_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable with the key. If not set, no key is sent. The key itself is "
        "never written.",
    )
    n_concurrent: int = Field(default=4, ge=1, le=64, description="Requests at the same time.")
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Maximum rate of requests. If not set: no limit."
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0.0,
        le=3600.0,
        description="Seconds until a request without an answer counts as failed.",
    )
    retries: int = Field(
        default=6,
        ge=0,
        le=20,
        description="Maximum number of retries of a request after a temporary fault, with growing pauses.",
    )

    @field_validator("url")
    @classmethod
    def _url_ends_before_the_route(cls, value: str) -> str:
        if value.rstrip("/").endswith(cls.route):
            msg = f"expected the address up to /v1, without {cls.route}"
            raise ValueError(msg)
        return str(without_credentials(value)).rstrip("/")


HOW_A_SERVER_IS_ASKED = frozenset(ServerSection.model_fields) - {"model"}
"""Fields that say how a server is asked and not what it answers: they are in no key."""
