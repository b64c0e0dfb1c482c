"""Client: texts -> their vectors from one server; temporary faults are tried again, others raise an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topicflow.tasks.encoding.api.answers import Answer, read_answer
from topicflow.tasks.servers.client import Request, ServerClient
from topicflow.tasks.servers.endpoint import Endpoint
from topicflow.tasks.servers.pace import Budget
from topicflow.tasks.servers.refusals import Refusal


class ApiClient(ServerClient):
    """Sends texts to one endpoint; threads may share it.

    Parameters
    ----------
    endpoint : Endpoint
        Address, model, key, time limit and number of retries.
    n_connections : int
        Maximum number of requests at the same time.
    """

    def __init__(self, endpoint: Endpoint, n_connections: int = 1) -> None:
        super().__init__(endpoint, "embeddings", n_connections)
        self._format = "base64"

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

        def body() -> dict[str, Any]:
            return {"model": self.endpoint.model, "input": list(texts), "encoding_format": self._format}

        request = Request(body, lambda content: read_answer(content, len(texts)), self._take_floats)
        return self.exchange(request, budget, retries)

    def _take_floats(self, refusal: Refusal) -> bool:
        """Ask for numbers in place of base64 from now on, if that is what the server refuses."""
        if self._format == "float" or "encoding_format" not in refusal.message:
            return False
        self._format = "float"
        return True
