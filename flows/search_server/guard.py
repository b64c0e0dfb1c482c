"""Guard: around the whole server: token, host, size and pace of bodies; no error leaves it as anything but JSON.

Without a token only requests to a name of this machine, and from no page of another, are answered: a page in a browser
can make any other name point at this machine (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from topicflow.flows.search_server.figures import Figures
from topicflow.flows.search_server.refusals import Refusal, unexpected

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 1_048_576
"""Bytes of a request's body; ten thousand ids of a hundred characters fit."""

BODY_S = 20.0
"""Seconds until a body must have arrived."""

OPEN_PATH = "/health"
"""What is answered without a token: it says nothing about the indexes."""

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    app : callable
        The other one.
    figures : Figures
        Where responses are counted.
    token : str or None
        What clients must send.
    """

    def __init__(self, app: App, figures: Figures, token: str | None) -> None:
        self._app, self._figures = app, figures
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _Sender(send, self._figures))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: _Sender) -> None:
        try:
            self._check(scope)
            body = await _whole_body(scope, receive)
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
        except Refusal as refused:
            await send.refuse(refused)
        except Exception as error:  # noqa: BLE001  (the last place where it can become an answer)
            await send.refuse(unexpected(error, scope["path"]))

    def _check(self, scope: Scope) -> None:
        """Raise Refusal if a request has not the token, or if it is for a host that is not this machine."""
        headers = dict(scope["headers"])
        if self._token is None:
            for name, value in (("host", headers.get(b"host", b"")), ("origin", headers.get(b"origin"))):
                if value is not None and not _is_local(said := value.decode("latin-1")):
                    msg = f"the {name} {said[:100]!r} is not this machine; ask localhost, or set a token (--token-env)"
                    raise Refusal(421 if name == "host" else 403, f"wrong_{name}", msg)
        elif scope["path"] != OPEN_PATH:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not secrets.compare_digest(given.strip(), self._token):
                msg = "a token is needed: send the header Authorization: Bearer TOKEN"
                raise Refusal(401, "unauthorized", msg if not given else "the token is wrong")


def _is_local(place: str) -> bool:
    """Return whether a host, or an origin (http://host:port), is a name of this machine."""
    host = place.lower().rpartition("://")[2]
    return (host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]) in LOCAL_NAMES


class _Sender:
    """Sends a response and remembers whether it has begun."""

    def __init__(self, send: Send, figures: Figures) -> None:
        self._send, self._figures, self._begun = send, figures, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._figures.count_response(message["status"])
        await self._send(message)

    async def refuse(self, refused: Refusal) -> None:
        """Send a refusal, unless a response has begun."""
        if not self._begun:
            body = refused.json()
            headers = {
                **refused.headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await self({"type": "http.response.start", "status": refused.status, "headers": raw})
            await self({"type": "http.response.body", "body": body})


async def _whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body of a request, None if the client has gone; raise Refusal if it is too large or too slow."""
    too_large = Refusal(413, "too_large", f"the body exceeds {MOST_BODY_BYTES:,} bytes; ask for less at once")
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > MOST_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > MOST_BODY_BYTES:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refusal(408, "too_slow", f"the body did not arrive within {BODY_S:g} s") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which has been read, and then what the client does."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
