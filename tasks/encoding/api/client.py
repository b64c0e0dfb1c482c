"""Client: texts -> their vectors by one server, asked again after temporary faults; a lasting fault is raised."""

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
        Address, model, key and patience.
    n_connections : int
        Requests at the same time.
    """

    def __init__(self, endpoint: Endpoint, n_connections: int = 1) -> None:
        super().__init__(endpoint, "embeddings", n_connections)
        self._format = "base64"

    def ask(self, texts: Sequence[str], budget: Budget | None = None, retries: int | None = None) -> Answer:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            What the server embeds, as it is.
        budget : Budget, optional
            What counts the requests.
        retries : int, optional
            Further tries after a temporary fault; default those of the endpoint.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        RefusedError
            If the server gives no vectors for these texts, after all tries.
        UnreachableError
            If no server answers, or it is busy after all tries.
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
