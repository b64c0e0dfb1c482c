"""Client: a request -> what one server answers, asked again after temporary faults; a lasting fault is raised."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from topicflow.tasks.errors import StageError
from topicflow.tasks.servers.endpoint import Endpoint, EndpointError
from topicflow.tasks.servers.pace import Pace
from topicflow.tasks.servers.refusals import Refusal, UnreadableAnswerError, read_refusal

if TYPE_CHECKING:
    import ssl

    import httpx

CONNECT_S = 10.0
"""Seconds that a server has to accept a connection."""

AnswerT = TypeVar("AnswerT")


class Counts(Protocol):
    """What counts the requests of a run."""

    def spend(self) -> None:
        """Count a request; raise if no more are allowed."""


class RefusedError(Exception):
    """The server does not answer this request, after all tries."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class UnreachableError(StageError):
    """No server answers at the address, or it is busy for good."""


@dataclass(frozen=True)
class Request(Generic[AnswerT]):
    """One request, which may be sent several times.

    Attributes
    ----------
    body : callable
        Returns what is sent, as JSON values.
    read : callable
        Returns the answer that the bytes of a body with status 200 hold; raises UnreadableAnswerError.
    adapt : callable
        Is told why a request was refused. Returns True if `body` now returns a request that the server may take.
    """

    body: Callable[[], dict[str, Any]]
    read: Callable[[bytes], AnswerT]
    adapt: Callable[[Refusal], bool]


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return the certificates that are trusted, read once in a process: it takes 20 ms."""
    import httpx

    return httpx.create_ssl_context()


class ServerClient:
    """Sends requests to one route of an endpoint; threads may share it. Its connections close with it.

    Parameters
    ----------
    endpoint : Endpoint
        Address, model, key and patience.
    route : str
        The last part of the address, such as `embeddings`.
    n_connections : int
        Requests at the same time.
    """

    def __init__(self, endpoint: Endpoint, route: str, n_connections: int = 1) -> None:
        import httpx  # it takes a tenth of a second, which a plan has no need of

        logging.getLogger("httpx").setLevel(logging.WARNING)  # it reports every request
        self.endpoint = endpoint
        self.pace = Pace(endpoint.requests_per_minute, endpoint.section)
        url = httpx.URL(endpoint.url)
        self._url = url.copy_with(path=f"{url.path.rstrip('/')}/{route}")
        self._http = httpx.Client(
            verify=_certificates(),
            headers=endpoint.headers,
            timeout=httpx.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s)),
            limits=httpx.Limits(max_connections=n_connections, max_keepalive_connections=n_connections),
        )
        weakref.finalize(self, self._http.close)

    def exchange(
        self, request: Request[AnswerT], budget: Counts | None = None, retries: int | None = None
    ) -> AnswerT:
        """Return the answer to a request.

        Parameters
        ----------
        request : Request
            What is sent, and how its answer is read.
        budget : Counts, optional
            What counts the requests.
        retries : int, optional
            Further tries after a temporary fault; default those of the endpoint.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        RefusedError
            If the server does not answer this request, after all tries.
        UnreachableError
            If no server answers, or it is busy after all tries.
        """
        most = self.endpoint.retries if retries is None else retries
        attempt = 0
        while True:
            self.pace.wait()
            if budget is not None:
                budget.spend()
            found = self._send(request)
            if not isinstance(found, Refusal):
                return found
            if found.status in {400, 422} and request.adapt(found):
                continue
            if attempt >= found.retries(most):
                raise self._error(found)
            self.pace.after(found, attempt)
            attempt += 1

    def _send(self, request: Request[AnswerT]) -> AnswerT | Refusal:
        """Return the answer to one request, or why there is none."""
        import httpx

        try:
            response = self._http.post(self._url, json=request.body())
        except httpx.TimeoutException:
            return Refusal(0, f"no answer within {self.endpoint.timeout_s:g} s", timed_out=True)
        except httpx.TransportError as error:
            return Refusal(0, f"{type(error).__name__}: {self.endpoint.without_key(str(error))[:200]}")
        if response.status_code == httpx.codes.OK:
            try:
                return request.read(response.content)
            except UnreadableAnswerError as error:
                return self._unreadable(response, str(error))
        refusal = read_refusal(response.status_code, response.content, response.headers)
        return Refusal(
            refusal.status, self.endpoint.without_key(refusal.message), False, refusal.retry_after_s
        )

    def _unreadable(self, response: httpx.Response, problem: str) -> Refusal:
        """Return why an answer with status 200 cannot be used: by its error, if it holds one."""
        refusal = read_refusal(200, response.content, response.headers)
        says_why = response.content.lstrip().startswith(b'{"error"')
        return Refusal(200, self.endpoint.without_key(refusal.message if says_why else problem))

    def _error(self, refusal: Refusal) -> Exception:
        """Return the error for a refusal after all attempts."""
        section, status = self.endpoint.section, refusal.status
        where = f"{section}: {self.endpoint.url}"
        if status in {401, 403}:
            key_env = f"{section}.key_env"
            hint = f"set {key_env}" if self.endpoint.key is None else f"check the key that {key_env} names"
            return EndpointError(f"{where} refuses the key ({refusal}); {hint}")
        if status in {404, 405, 410} or 300 <= status < 400:
            return EndpointError(
                f"{where} has no model {self.endpoint.model!r}, or is not the address of an API ({refusal}); set "
                f"{section}.url to the address up to /v1 and {section}.model to a name from the server's list of models"
            )
        if refusal.is_out_of_quota:
            return StageError(f"{where}: the account has no credit left ({refusal}); run again when it has")
        if refusal.is_overload:
            return UnreachableError(
                f"{where} does not answer ({refusal}); start the server or correct {section}.url, and run again"
            )
        return RefusedError(refusal)
