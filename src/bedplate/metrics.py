"""Metrics in Prometheus's text format."""

import os
from functools import cache
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
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
_BREACHED_CHECKS = Counter(
    "bedplate_breached_password_checks_total",
    "New passwords checked against breaches, by outcome: clean, breached or failed.",
    ("outcome",),
)
# Clients can invent methods: all others share one series.
_METHODS = frozenset(("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"))


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request. `route` is the template, so that ids don't create series."""
    _series(method if method in _METHODS else "other", route, status).observe(seconds)


def count_breached_check(outcome: Literal["clean", "breached", "failed"]) -> None:
    """Count a check of a new password against the range service."""
    _BREACHED_CHECKS.labels(outcome).inc()


@cache
def _series(method: str, route: str, status: int) -> Histogram:
    return _REQUESTS.labels(method, route, status)


def exposition() -> tuple[bytes, str]:
    """Return the metrics of every worker process, and their media type."""
    # `bedplate serve --workers` sets it: all processes write their metrics there.
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped there
    return generate_latest(registry), CONTENT_TYPE_LATEST
