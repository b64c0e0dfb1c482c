"""Embedding server: a small server of `/v1/embeddings` on this machine that has any fault a test asks for.

A token is a word; a text's vector is the sum of its words' hashed vectors. It counts which texts it has embedded.
"""

import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np

Reply = tuple[int, Mapping[str, Any] | str, Mapping[str, str]]
"""Status, body (JSON or text) and headers of an answer that is not the usual one."""


class CutError(Exception):
    """Closes the connection without an answer."""


def error(status: int, message: str, **headers: str) -> Reply:
    """Return an error in OpenAI's form."""
    body = {"error": {"message": message, "type": "invalid_request_error"}}
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class EmbeddingServer:
    """A server that runs during its `with` block.

    Attributes
    ----------
    dim : int
        Dimensions of its vectors.
    version : str
        Which model it has: another version gives other vectors under the same name.
    key : str, optional
        The key that it asks for.
    models : sequence of str, optional
        The models that it knows; all if None.
    fail : callable, optional
        Returns what it answers to a request (its number from 1, its texts) in place of vectors, or None; may raise
        CutError.
    change : callable, optional
        Changes the list of embeddings before it is sent.
    max_texts, texts_status, texts_message
        Number of texts that it takes, and what it answers to more; `{n}` is their number.
    max_tokens, tokens_status, tokens_message
        The same of the tokens of one text.
    reads : int, optional
        Tokens of each text that it reads; it ignores the rest.
    only_floats, counts, numbers, noise, delay_s
        Whether it refuses base64, states its usage and numbers its vectors; noise on each vector; seconds of an answer.
    """

    dim: int = 16
    version: str = "1"
    key: str | None = None
    models: Sequence[str] | None = None
    fail: Callable[[int, list[str]], Reply | None] | None = None
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    max_texts: int | None = None
    texts_status: int = 413
    texts_message: str = "batch size {n} > maximum allowed batch size {allowed}"
    max_tokens: int | None = None
    tokens_status: int = 400
    tokens_message: str = (
        "This model's maximum context length is {allowed} tokens. However, you requested {n} tokens."
    )
    reads: int | None = None
    refuses_empty: bool = False
    only_floats: bool = False
    counts: bool = True
    numbers: bool = True
    noise: float = 0.0
    delay_s: float = 0.0
    requests: list[list[str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: Counter[str] = field(default_factory=Counter)
    n_at_once: int = 0
    most_at_once: int = 0

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        for connection in self._connections:  # those that clients keep open
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def vector(self, text: str) -> np.ndarray:
        """Return the vector (dim,) of a text."""
        words = text.split()[: self.reads] or [""]
        return np.sum([self._word(word) for word in words], axis=0).astype(np.float32)

    def unit(self, texts: Sequence[str], dim: int | None = None) -> np.ndarray:
        """Return unit vectors (n, dim) of texts, as an encoder gives them."""
        vectors = np.array([self.vector(text)[:dim] for text in texts], np.float64)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def _word(self, word: str) -> np.ndarray:
        seed = hashlib.blake2b(f"{self.version} {word}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(self.dim)

    # --- one request ---

    def answer(self, path: str, headers: Mapping[str, str], body: dict[str, Any]) -> Reply:
        """Return the server's answer."""
        texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input", [])
        with self._lock:
            self.requests.append(texts)
            self.bodies.append(body)
            number = len(self.requests)
        if path != "/v1/embeddings":
            return error(404, "unknown route")
        if self.key is not None and headers.get("Authorization") != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {headers.get('Authorization')}")
        if self.models is not None and body.get("model") not in self.models:
            return error(404, f"The model {body.get('model')!r} does not exist")
        if self.fail is not None and (found := self.fail(number, texts)) is not None:
            return found
        if (refused := self._refused(texts, body)) is not None:
            return refused
        return 200, self._embeddings(texts, body.get("encoding_format")), {}

    def _refused(self, texts: list[str], body: dict[str, Any]) -> Reply | None:
        if self.only_floats and body.get("encoding_format") != "float":
            return error(400, "encoding_format must be float")
        if self.max_texts is not None and len(texts) > self.max_texts:
            return error(self.texts_status, self.texts_message.format(n=len(texts), allowed=self.max_texts))
        if self.refuses_empty and "" in texts:
            return error(400, "Input content cannot be empty")
        n = max(len(text.split()) for text in texts)
        if self.max_tokens is not None and n > self.max_tokens:
            return error(self.tokens_status, self.tokens_message.format(n=n, allowed=self.max_tokens))
        return None

    def _embeddings(self, texts: list[str], form: str | None) -> dict[str, Any]:
        with self._lock:
            self.embedded.update(texts)
        data = []
        for i, text in enumerate(texts):
            vector = self.vector(text)
            if self.noise:
                vector = (vector + self.noise * np.random.default_rng().standard_normal(self.dim)).astype(
                    "f4"
                )
            raw = base64.b64encode(vector.astype("<f4").tobytes()).decode()
            data.append({"index": i, "embedding": raw if form == "base64" else vector.tolist()})
        if not self.numbers:
            data = [{"embedding": item["embedding"]} for item in data]
        n_tokens = sum(min(len(text.split()), self.reads or 10**9) for text in texts)
        usage = {"usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens}} if self.counts else {}
        return {"data": self.change(data) if self.change else data, "model": "small", **usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for an answer: a client acknowledges the first of two after 40 ms

            def setup(self) -> None:
                super().setup()
                server._connections.append(self.connection)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.n_at_once += 1
                    server.most_at_once = max(server.most_at_once, server.n_at_once)
                try:
                    time.sleep(server.delay_s)
                    status, content, headers = server.answer(self.path, self.headers, body)
                except CutError:
                    self.close_connection = True
                    return
                finally:
                    with server._lock:
                        server.n_at_once -= 1
                sent = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
