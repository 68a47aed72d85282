"""Who may read `/metrics` and the documentation, by environment and settings."""

import socket
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from bedplate.config import Settings
from bedplate.main import create_app
from bedplate.testing.assertions import assert_refused
from bedplate.testing.servers import serving

KEY = "a key for tests, at least 32 bytes long"
TOKEN = "a-token-of-the-tests"
PRODUCTION = {"environment": "production", "secret_key": KEY, "log_level": "warning"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def make_app(tmp_path: Any, **values: Any) -> ASGIApp:
    settings = Settings.load(
        _env_file=None, _env_prefix="BEDPLATE_TEST_", data_dir=tmp_path, **values
    )
    return create_app(settings)


async def ask(app: ASGIApp, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return await client.get(path, headers=headers)


async def test_development_is_open(tmp_path: Any) -> None:
    app = make_app(tmp_path)
    for path in ("/metrics", "/docs", "/openapi.json"):
        assert (await ask(app, path)).status_code == 200


async def test_production_hides_metrics_and_documents(tmp_path: Any) -> None:
    app = make_app(tmp_path, **PRODUCTION)
    for path in ("/metrics", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"):
        assert_refused(await ask(app, path), 404, "NOT_FOUND")
    with_docs = make_app(tmp_path, **PRODUCTION, docs=True)
    for path in ("/docs", "/openapi.json"):
        assert (await ask(with_docs, path)).status_code == 200


@pytest.mark.parametrize("values", [{}, PRODUCTION], ids=["development", "production"])
async def test_a_token_guards_the_metrics(tmp_path: Any, values: Any) -> None:
    app = make_app(tmp_path, metrics_token=TOKEN, **values)
    for wrong in (
        "",
        "Bearer",
        f"Bearer {TOKEN}x",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer é",
    ):
        headers = {"Authorization": wrong.encode("latin-1")}
        answer = await ask(app, "/metrics", **headers)  # type: ignore[arg-type]
        assert_refused(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    answer = await ask(app, "/metrics", **BEARER)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["x:9100", "127.0.0.1:9100"])
async def test_no_host_header_leads_to_the_metrics_port(
    tmp_path: Any, host: str
) -> None:
    app = make_app(tmp_path, metrics_port=9100, **PRODUCTION)

    assert_refused(await ask(app, "/metrics", Host=host), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "options",
    [(), ("--workers", "2"), ("--django-only",)],
    ids=["one", "two", "django"],
)
def test_metrics_have_a_port_of_their_own(
    tmp_path: Any, options: tuple[str, ...]
) -> None:
    port = free_port()
    with serving(tmp_path, *options, metrics_port=port) as server:
        elsewhere = f"http://127.0.0.1:{port}"
        here = httpx.get(f"{server.url}/metrics")
        there = httpx.get(f"{elsewhere}/metrics")
        others = [
            httpx.get(f"{elsewhere}{path}")
            for path in ("/health/live", "/api/v1/posts", "/admin/login/", "/docs")
        ]
        served = httpx.get(f"{server.url}/health/live")

    assert_refused(here, 404, "NOT_FOUND")
    assert "bedplate_request_seconds_count" in there.text
    for answer in others:
        assert_refused(answer, 404, "NOT_FOUND")
    assert served.status_code == 200


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
