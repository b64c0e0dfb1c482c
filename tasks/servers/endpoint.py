"""Endpoint: a section that names a server -> the server's address, with its key, which is never shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from topicflow.configs.fields.server import ServerSection
from topicflow.tasks.errors import ConfigError


class EndpointError(ConfigError):
    """The address, the model or the key of a server is wrong."""


@dataclass(frozen=True)
class Endpoint:
    """The address for texts, and the limits for requests.

    Attributes
    ----------
    url : str
        Address up to `/v1`.
    model : str
        Name of the model in each request.
    key : str or None
        Secret for the `Authorization` header; not part of `repr`.
    timeout_s : float
        Seconds until a request without an answer counts as failed.
    retries : int
        Maximum number of retries of a failed request.
    requests_per_minute : int or None
        Maximum rate of requests.
    section : str
        Section of the config that names the server, for messages.
    """

    url: str
    model: str
    key: str | None = field(repr=False)
    timeout_s: float
    retries: int
    requests_per_minute: int | None
    section: str = "embed"

    @property
    def headers(self) -> dict[str, str]:
        """The headers with the key; Azure reads it from its own header."""
        if self.key is None:
            return {}
        azure = {"api-key": self.key} if (urlsplit(self.url).hostname or "").endswith(".azure.com") else {}
        return {"Authorization": f"Bearer {self.key}", **azure}

    def without_key(self, text: str) -> str:
        """Return a text of the server without the key, which some servers repeat in their errors."""
        return text.replace(self.key, "…") if self.key else text


def endpoint_of(config: ServerSection, section: str) -> Endpoint:
    """Return the endpoint of a config's `section`.

    Raises
    ------
    EndpointError
        If the environment variable that `key_env` names is not set.
    """
    key = None
    if config.key_env is not None:
        key = os.environ.get(config.key_env, "").strip()
        if not key:
            msg = (
                f"{section}.key_env: the environment variable {config.key_env} is not set; set it to the key of "
                f"{config.url}, or remove {section}.key_env if the server needs none"
            )
            raise EndpointError(msg)
        if not key.isascii() or not key.isprintable():
            msg = (
                f"{section}.key_env: {config.key_env} has characters that a header cannot contain; set it to the key "
                "only"
            )
            raise EndpointError(msg)
    return Endpoint(
        config.url, config.model, key, config.timeout_s, config.retries, config.requests_per_minute, section
    )
