"""What Prometheus reads at /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Metrics:
    """The gateway's figures, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sluice_http_requests",
            "HTTP requests that have ended.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "sluice_http_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
            registry=self.registry,
        )
        self.bytes_received = Counter(
            "sluice_http_received_bytes", "Bytes of request bodies.", registry=self.registry
        )
        self.refused = Counter(
            "sluice_uploads_refused",
            "Uploads that were not accepted.",
            ["code"],
            registry=self.registry,
        )
        self.watches = Gauge(
            "sluice_open_watches",
            "Tasks that are being watched for somebody.",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self.registry)
