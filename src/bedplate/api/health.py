"""Health checks and metrics, for operators."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from bedplate.api.dependencies import runtime_of
from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.core.errors import APIError, NotAuthenticated, NotFound
from bedplate.jobs.engine import engine_is_at_head
from bedplate.jobs.status import has_live_worker
from bedplate.metrics import METRICS_PATH, exposition
from bedplate.migrate import schema_is_at_head
from bedplate.runtime import Runtime

router = Router(include_in_schema=False)

Check = Callable[[Runtime], Awaitable[bool]]


@router.get("/health/live")
async def live() -> Response:
    """Answer 200 while the process runs."""
    return json_response({"status": "ok"})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Answer 200 if requests can be served, otherwise 503 with the failed checks."""
    runtime = runtime_of(request)
    results = await asyncio.gather(*(_passes(c, runtime) for c in CHECKS.values()))
    checks = dict(zip(CHECKS, results, strict=True))
    ok = all(checks.values())
    states = {name: "ok" if passed else "failed" for name, passed in checks.items()}
    return json_response(
        {"status": "ok" if ok else "unavailable", "checks": states}, ok
    )


@router.get(METRICS_PATH)
async def metrics(request: Request) -> Response:
    """Return the metrics.

    Raises:
        NotFound: they are on another port, or unprotected in production.
        NotAuthenticated: the token is missing or wrong.
    """
    _check_metrics_access(request, runtime_of(request).settings)
    # Off the loop: it reads files, of every worker and in /proc.
    body, media_type = await asyncio.to_thread(exposition)
    return Response(body, media_type=media_type)


def _check_metrics_access(request: Request, settings: Settings) -> None:
    port = settings.metrics_port
    is_elsewhere = port is not None and _port_of(request) != port
    if is_elsewhere or not settings.serves_metrics:
        raise NotFound
    if settings.metrics_token is None:
        return
    expected = f"Bearer {settings.metrics_token.get_secret_value()}"
    header = request.headers.get("authorization", "")
    if not hmac.compare_digest(header.encode(), expected.encode()):
        raise NotAuthenticated


def _port_of(request: Request) -> int | None:
    """Return the port that the connection came in by, whatever its `Host` says."""
    _, port = request.scope.get("server") or (None, None)
    return port


async def _database_answers(runtime: Runtime) -> bool:
    return await runtime.database.is_reachable()


async def _jobs_are_run(runtime: Runtime) -> bool:
    """Return whether jobs can be stored and, if this process runs them, are run."""
    if not await engine_is_at_head(runtime.database):
        return False
    return not runtime.settings.runs_worker or await has_live_worker(runtime.database)


READY_SECONDS = 1.5
"""A check that takes longer has failed: probes don't wait long themselves."""
CHECKS: dict[str, Check] = {
    "database": _database_answers,
    "schema": lambda runtime: schema_is_at_head(runtime.database, runtime.migrations),
    "jobs": _jobs_are_run,
}


async def _passes(check: Check, runtime: Runtime) -> bool:
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await check(runtime)
    except (APIError, TimeoutError):
        return False


def json_response(body: Any, ok: bool = True) -> Response:
    return Response(
        msgspec.json.encode(body),
        200 if ok else 503,
        headers={} if ok else {"Retry-After": "1"},
        media_type="application/json",
    )
