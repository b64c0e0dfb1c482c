"""Client: texts -> their vectors from one server; temporary faults are tried again, others raise an error."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import Any

import httpx

from topicflow.tasks.encoding.api.answers import Answer, UnreadableAnswerError, read_answer
from topicflow.tasks.encoding.api.endpoint import Endpoint
from topicflow.tasks.encoding.api.pace import Budget, Pace
from topicflow.tasks.encoding.api.refusals import Refusal, read_refusal
from topicflow.tasks.errors import ConfigError, StageError

CONNECT_S = 10.0
"""Seconds to wait until a server accepts a connection."""


class RefusedError(Exception):
    """The server gives no vectors for these texts, after all attempts."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class UnreachableError(StageError):
    """No server answers at the address, or it stays busy."""


class ApiClient:
    """Sends texts to one endpoint; threads may share it. Its connections close with it.

    Parameters
    ----------
    endpoint : Endpoint
        Address, model, key, time limit and number of retries.
    n_connections : int
        Maximum number of requests at the same time.
    """

    def __init__(self, endpoint: Endpoint, n_connections: int = 1) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every request
        self.endpoint = endpoint
        self.pace = Pace(endpoint.requests_per_minute)
        self._format = "base64"
        url = httpx.URL(endpoint.url)
        self._url = url.copy_with(path=f"{url.path.rstrip('/')}/embeddings")
        self._http = httpx.Client(
            headers=endpoint.headers,
            timeout=httpx.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s)),
            limits=httpx.Limits(max_connections=n_connections, max_keepalive_connections=n_connections),
        )
        weakref.finalize(self, self._http.close)

    def ask(self, texts: Sequence[str], budget: Budget | None = None, retries: int | None = None) -> Answer:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            The texts, exactly as the server should embed them.
        budget : Budget, optional
            Counts the requests.
        retries : int, optional
            Number of retries after a temporary fault; default: that of the endpoint.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        RefusedError
            If the server gives no vectors for these texts, after all attempts.
        UnreachableError
            If no server answers, or it is busy after all attempts.
        """
        most = self.endpoint.retries if retries is None else retries
        attempt = 0
        while True:
            self.pace.wait()
            if budget is not None:
                budget.spend()
            found = self._send(texts)
            if isinstance(found, Answer):
                return found
            if attempt >= found.retries(most):
                raise self._error(found)
            self.pace.after(found, attempt)
            attempt += 1

    def _send(self, texts: Sequence[str]) -> Answer | Refusal:
        """Return the answer to one request, or the refusal."""
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "input": list(texts),
            "encoding_format": self._format,
        }
        try:
            response = self._http.post(self._url, json=body)
        except httpx.TimeoutException:
            return Refusal(0, f"no answer within {self.endpoint.timeout_s:g} s", timed_out=True)
        except httpx.TransportError as error:
            return Refusal(0, f"{type(error).__name__}: {self.endpoint.without_key(str(error))[:200]}")
        if response.status_code == httpx.codes.OK:
            try:
                return read_answer(response.content, len(texts))
            except UnreadableAnswerError as error:
                return self._unreadable(response, str(error))
        refusal = read_refusal(response.status_code, response.content, response.headers)
        if (
            self._format != "float"
            and response.status_code in {400, 422}
            and "encoding_format" in refusal.message
        ):
            self._format = "float"
            return self._send(texts)
        return Refusal(
            refusal.status, self.endpoint.without_key(refusal.message), False, refusal.retry_after_s
        )

    def _unreadable(self, response: httpx.Response, problem: str) -> Refusal:
        """Return why an answer with status 200 cannot be used: from its error, if it contains one."""
        refusal = read_refusal(200, response.content, response.headers)
        says_why = response.content.lstrip().startswith(b'{"error"')
        return Refusal(200, self.endpoint.without_key(refusal.message if says_why else problem))

    def _error(self, refusal: Refusal) -> Exception:
        """Return the error for a refusal after all attempts."""
        where, status = f"embed: {self.endpoint.url}", refusal.status
        if status in {401, 403}:
            hint = (
                "set embed.key_env" if self.endpoint.key is None else "check the key that embed.key_env names"
            )
            return ConfigError(f"{where} refuses the key ({refusal}); {hint}")
        if status in {404, 405, 410} or 300 <= status < 400:
            return ConfigError(
                f"{where} has no model {self.endpoint.model!r}, or is not the address of an API ({refusal}); set "
                "embed.url to the address up to /v1 and embed.model to a name from the server's list of models"
            )
        if refusal.is_out_of_quota:
            return StageError(f"{where}: the account has no credit left ({refusal}); run again when it has")
        if refusal.is_overload:
            return UnreachableError(
                f"{where} does not answer ({refusal}); start the server or correct embed.url, and run again"
            )
        return RefusedError(refusal)
