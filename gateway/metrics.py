"""Prometheus metrics of the gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Metrics:
    """The metrics, in a separate registry."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sluice_http_requests",
            "Completed HTTP requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "sluice_http_request_seconds",
            "Seconds from the first byte of a request to the last byte of its response.",
            ["method", "route"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
            registry=self.registry,
        )
        self.bytes_received = Counter(
            "sluice_http_received_bytes", "Bytes of request bodies.", registry=self.registry
        )
        self.refused = Counter(
            "sluice_uploads_refused",
            "Rejected uploads.",
            ["code"],
            registry=self.registry,
        )
        self.watches = Gauge(
            "sluice_open_watches",
            "Tasks with at least one open watch.",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
