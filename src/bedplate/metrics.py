"""Metrics in Prometheus's text format."""

import os
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

METRICS_PATH = "/metrics"

_REQUESTS = Histogram(
    "bedplate_request_seconds",
    "Time to answer a request, by method, route and status.",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_METHODS = frozenset(("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"))


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request. `route` is the template, so that ids make no new series."""
    _series(method if method in _METHODS else "other", route, status).observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> Histogram:
    return _REQUESTS.labels(method, route, status)


def exposition() -> tuple[bytes, str]:
    """The metrics of every worker process, and their media type."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped there
    return generate_latest(registry), CONTENT_TYPE_LATEST
