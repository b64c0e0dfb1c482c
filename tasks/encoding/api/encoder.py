"""API encoder: texts -> unit vectors by a server that speaks OpenAI's `/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.embed import ApiEmbed
from topicflow.tasks.encoding.api.answers import Answer
from topicflow.tasks.encoding.api.batches import Batches
from topicflow.tasks.encoding.api.client import ApiClient
from topicflow.tasks.encoding.api.limits import Limits, estimated_tokens
from topicflow.tasks.encoding.api.probes import probe
from topicflow.tasks.encoding.api.sender import Keep, send_all
from topicflow.tasks.encoding.api.silent_cuts import LEAST_TOKENS, tokens_read
from topicflow.tasks.errors import DataError
from topicflow.tasks.log import LOG
from topicflow.tasks.servers.client import RefusedError
from topicflow.tasks.servers.endpoint import endpoint_of
from topicflow.tasks.servers.pace import Budget


class ApiEncoder:
    """A model behind a server.

    Parameters
    ----------
    key : str
        The encoder's key.
    config : ApiEmbed
        Address, model, prompts and limits.

    Raises
    ------
    ConfigError
        If address, model or key are wrong.
    UnreachableError
        If no server answers.
    """

    chunk_texts: int | None = None

    def __init__(self, key: str, config: ApiEmbed) -> None:
        self.key, self.max_tokens = key, config.max_tokens
        self._config = config
        endpoint = endpoint_of(config, "embed")
        self._full = probe(endpoint).vectors.shape[1]
        self.dim = config.dim or self._full
        self._client = ApiClient(endpoint, config.n_concurrent)
        self.budget = Budget(config.max_requests, "embed")
        self.n_tokens = 0
        self._limits = Limits(config.batch_texts, config.batch_tokens, config.max_tokens)
        if config.max_tokens is not None:
            self._limits.source = "configured"
        self._is_examined = config.max_tokens is not None

    @property
    def usage(self) -> dict[str, int]:
        """The number of requests sent and tokens counted so far, for a record."""
        return {"n_requests": self.budget.n_sent, "n_tokens": self.n_tokens}

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) and token counts (n_texts,), negative if a text was cut.

        Raises
        ------
        DataError
            If the server gives no vector for a text.
        StageError
            If the server fails, or the maximum number of requests is reached.
        """
        vectors = np.empty((len(texts), self.dim), np.float32)
        n_tokens = np.empty(len(texts), np.int32)

        def keep(rows: NDArray[np.int64], found: NDArray[np.float32], counts: NDArray[np.int32]) -> None:
            vectors[rows], n_tokens[rows] = found, counts

        self.encode_each(texts, keep)
        return vectors, n_tokens

    def encode_each(self, texts: Sequence[str], keep: Keep) -> None:
        """Call `keep` with rows, unit vectors and token counts for each answer; raise the same errors as `encode`."""
        if not len(texts):
            return
        self._examine(texts)
        prompt = self._config.prompt or ""
        batches = Batches(self._client, self.budget, self._limits, texts, prompt, self._full)

        def normalized(
            rows: NDArray[np.int64], vectors: NDArray[np.float32], counts: NDArray[np.int32]
        ) -> None:
            keep(rows, self._unit(vectors), counts)

        try:
            send_all(batches, self._config.n_concurrent, normalized)
        finally:
            self.n_tokens += batches.n_tokens

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and token counts of queries, without a limit of requests; `prompt` replaces `query_prompt`."""
        prefix = prompt if prompt is not None else (self._config.query_prompt or "")
        batches = Batches(self._client, Budget(None, "embed"), self._limits, texts, prefix, self._full)
        vectors = np.empty((len(texts), self.dim), np.float32)
        n_tokens = np.empty(len(texts), np.int32)

        def keep(rows: NDArray[np.int64], found: NDArray[np.float32], counts: NDArray[np.int32]) -> None:
            vectors[rows], n_tokens[rows] = self._unit(found), counts

        send_all(batches, 1, keep)
        return vectors, n_tokens

    def _unit(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors with `dim` dimensions and unit length; the server is never asked for fewer dimensions.

        Raises
        ------
        DataError
            If the kept dimensions of a vector are all zero.
        """
        cut = vectors[:, : self.dim].astype(np.float64)
        norms = np.linalg.norm(cut, axis=1, keepdims=True)
        if not norms.all():
            msg = f"embed.dim={self.dim}: a vector of {self._config.model} is zero in its first {self.dim} dimensions"
            raise DataError(msg)
        unit: NDArray[np.float32] = (cut / norms).astype(np.float32)
        return unit

    def _examine(self, texts: Sequence[str]) -> None:
        """Find out once whether the server cuts long texts without an error."""
        longest = max(texts, key=len)
        if self._is_examined or int(estimated_tokens(len(longest.encode()))) < LEAST_TOKENS:
            return
        self._is_examined = True
        try:
            found = tokens_read(self._ask, longest)
        except RefusedError:
            return  # it reports texts that are too long
        if found is None:
            return
        self._limits.text_tokens, self._limits.source = found, "silent"
        LOG.warning(
            "embed: %s reads about %s tokens of a text and ignores the rest without an error; longer texts are counted "
            "as truncated; set embed.max_tokens to choose the limit",
            self._config.url,
            f"{found:,}",
        )

    def _ask(self, texts: Sequence[str]) -> Answer:
        """Return the answer for texts, with the prompt for documents."""
        return self._client.ask([(self._config.prompt or "") + text for text in texts], self.budget)
