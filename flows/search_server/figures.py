"""Figures: what the server does -> the text format that Prometheus reads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from topicflow.flows.search_server.library import Library

BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Figures:
    """The figures of one server since its start.

    Parameters
    ----------
    library : Library
        The served indexes.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "topicflow_search_requests", "Requests by index, operation and outcome: ok, or the code of the error.",
            ("index", "operation", "outcome"), registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "topicflow_search_seconds", "Seconds from a request's arrival to its result, waiting included.",
            ("operation",), buckets=BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._responses = Counter(
            "topicflow_http_responses", "HTTP responses by status.", ("status",), registry=self.registry
        )
        self.at_work = Gauge(
            "topicflow_search_at_work", "Requests that wait or are at work.", registry=self.registry
        )
        self._documents = self._of_index("documents", "Documents of an index.")
        self._opened = self._of_index("opened_timestamp_seconds", "When the state that answers was opened.")
        self._stale = self._of_index("stale", "1 if a newer state of an index could not be opened.")

    def _of_index(self, name: str, about: str) -> Gauge:
        return Gauge(f"topicflow_search_index_{name}", about, ("index",), registry=self.registry)

    def count(self, index: str, operation: str, outcome: str, seconds: float) -> None:
        """Count a request; unknown indexes count as one, so that requests cannot make the figures grow."""
        known = index if index in self._library.served else ""
        self._requests.labels(known, operation, outcome).inc()
        self._seconds.labels(operation).observe(seconds)

    def count_response(self, status: int) -> None:
        """Count an HTTP response."""
        self._responses.labels(str(status)).inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        for name, served in self._library.served.items():
            self._documents.labels(name).set(len(served.now.index))
            self._opened.labels(name).set(served.now.opened.timestamp())
            self._stale.labels(name).set(served.problem is not None)
        return generate_latest(self.registry)
