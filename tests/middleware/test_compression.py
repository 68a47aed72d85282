"""Responses are compressed as clients accept it, and some never are."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, StreamingResponse
from httpx import AsyncClient
from starlette.types import Message, Scope

from bedplate.api.docs import ASSETS
from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import Application, install
from bedplate.middleware.compression import choose_encoding
from bedplate.modules.users.models import User
from bedplate.testing.plugin import PASSWORD

ALL = "gzip, deflate, br, zstd"
TEXT = "words and " * 1000
LARGE = TEXT * 100


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (ALL, "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("gzip;q=1, br;q=0.9", "gzip"),
        ("gzip;q=0.5,br; q=0.500", "br"),
        ("br;q=0, gzip;q=0.001", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.5", "br"),
        ("gzip;q=0.5, identity", None),
        ("gzip, identity", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", None),
        ("identity", None),
        ("*;q=0", None),
        ("deflate", None),
        ("", None),
        (",;=,", None),
        ("gzip;q=nan", None),
        ("gzip;q=-1", None),
        ("gzip;q=1.5", None),
        ("gzip;level=9", None),
        ("gzip," * 100, None),
    ],
)
def test_the_weights_of_the_client_choose_the_encoding(
    accepted: str, encoding: str | None
) -> None:
    assert choose_encoding(accepted) == encoding


router = Router()
PAGE = ASSETS / "swagger-ui.css"


@router.get("/answers/{name}")
async def get_response(name: str) -> Response:
    return RESPONSES[name]()


def _text(headers: dict[str, str], status: int = 200) -> Response:
    return Response(TEXT, status, headers, media_type="text/plain")


async def _events() -> AsyncIterator[str]:
    while True:
        yield "data: now\n\n" * 1000
        await asyncio.sleep(0)


RESPONSES: dict[str, Callable[[], Response]] = {
    "text": lambda: Response(TEXT, media_type="text/plain"),
    "large": lambda: Response(LARGE, media_type="text/html; charset=utf-8"),
    "csv": lambda: Response(TEXT, media_type="Text/CSV"),
    "problem": lambda: Response(TEXT, media_type="application/problem+json"),
    "failed": lambda: Response(TEXT, 422, media_type="text/plain"),
    "varied": lambda: _text({"Vary": "Origin"}),
    "weak": lambda: _text({"ETag": 'W/"x"'}),
    "file": lambda: FileResponse(PAGE, media_type="text/plain"),
    "image": lambda: Response(TEXT, media_type="image/png"),
    "untyped": lambda: Response(TEXT),
    "secret": lambda: _text({"Cache-Control": "private, no-store"}),
    "encoded": lambda: _text({"Content-Encoding": "gzip"}),
    "partial": lambda: _text({"Content-Range": "bytes 0-9/99"}, 206),
    "stream": lambda: StreamingResponse(_events(), media_type="text/plain"),
    "events": lambda: StreamingResponse(_events(), media_type="text/event-stream"),
}
COMPRESSED = ["text", "large", "csv", "problem", "failed", "varied", "weak", "file"]
AS_IT_IS = ["image", "untyped", "secret", "encoded", "partial"]


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest) -> object:
    """Use one database only: nothing here is stored."""
    with request.getfixturevalue("sqlite_databases").fresh() as url:
        yield url


@pytest.fixture
def served(app: Application, client: AsyncClient) -> AsyncClient:
    app.include_router(router, prefix="/api/v1")
    return client


@pytest.mark.parametrize("name", COMPRESSED)
async def test_text_is_compressed(served: AsyncClient, name: str) -> None:
    plain = await served.get(f"/answers/{name}", headers={"Accept-Encoding": ""})
    headers = {"Accept-Encoding": "gzip"}
    async with served.stream("GET", f"/answers/{name}", headers=headers) as packed:
        body = b"".join([part async for part in packed.aiter_raw()])

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == plain.content
    assert packed.headers.get_list("vary") == plain.headers.get_list("vary")
    assert "Accept-Encoding" in packed.headers["vary"]
    assert ("Origin" in packed.headers["vary"]) is (name == "varied")
    assert packed.headers.get("etag", 'W/"').startswith('W/"')
    length = packed.headers.get("content-length")
    # The length of a file that is sent in pieces is not known in advance.
    assert length == (None if name == "file" else str(len(body)))
    assert "accept-ranges" not in packed.headers


@pytest.mark.parametrize("name", AS_IT_IS)
async def test_other_responses_are_not_compressed(
    served: AsyncClient, name: str
) -> None:
    headers = {"Accept-Encoding": ALL}
    async with served.stream("GET", f"/answers/{name}", headers=headers) as response:
        body = b"".join([part async for part in response.aiter_raw()])

    assert body.decode() == TEXT
    assert response.headers.get("content-encoding") in {None, "gzip"}
    assert "vary" not in response.headers


async def test_tokens_are_not_compressed(
    app: Application, client: AsyncClient, user: User
) -> None:
    form = {"username": user.email, "password": PASSWORD}
    signed_in = await client.post("/auth/token", data=form)
    page = await client.get(f"http://test/account/verify-email?token={'x' * 900}")

    assert len(page.content) > 1024
    for response in (signed_in, page):
        assert response.headers["cache-control"] == "no-store"
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize("name", ["stream", "events"])
async def test_a_stream_is_not_buffered(app: Application, name: str) -> None:
    app.include_router(router, prefix="/api/v1")
    messages = await _first_messages(app, "GET", name)

    assert [message["type"] for message in messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert messages[1]["body"].startswith(b"data: now")
    assert b"content-encoding" not in dict(messages[0]["headers"])


@pytest.mark.parametrize("name", ["stream", "events"])
async def test_head_of_a_stream_ends(app: Application, name: str) -> None:
    app.include_router(router, prefix="/api/v1")
    messages = await _first_messages(app, "HEAD", name)

    assert messages[1] == {
        "type": "http.response.body",
        "body": b"",
        "more_body": False,
    }


async def _first_messages(app: Application, method: str, name: str) -> list[Message]:
    """Return the messages that a client gets that disconnects after two of them."""
    messages: list[Message] = []
    has_seen = asyncio.Event()

    async def receive() -> Message:
        await has_seen.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)
        if len(messages) == 2:
            has_seen.set()

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": method,
        "scheme": "http",
        "path": f"/api/v1/answers/{name}",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"accept-encoding", ALL.encode()), (b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    return messages[:2]


async def test_an_application_of_your_own_compresses_too(settings: Settings) -> None:
    app = FastAPI()
    app.include_router(router)
    install(app, settings, BUILT_IN)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        path = "/answers/text"
        response = await client.get(path, headers={"Accept-Encoding": "gzip"})
        head = await client.head(path, headers={"Accept-Encoding": "gzip"})
        head_only = await client.head("/answers/none/own")
        not_allowed = await client.post(path)

    assert (response.text, response.headers["content-encoding"]) == (TEXT, "gzip")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == response.headers["content-length"]
    assert head_only.headers["x-head"] == "own"
    assert not_allowed.headers["allow"] == "GET, HEAD"


@router.get("/answers/{name}/own")
async def get_own(name: str) -> Response:
    return Response("GET")


@router.head("/answers/{name}/own")
async def head_own(name: str) -> Response:
    return Response(headers={"X-Head": "own"})


async def test_a_head_operation_of_your_own_is_run(served: AsyncClient) -> None:
    head = await served.head("/answers/x/own")

    assert (head.status_code, head.headers["x-head"]) == (200, "own")


def test_the_document_does_not_list_every_head(app: Application) -> None:
    for path, item in app.openapi()["paths"].items():
        assert "head" not in item, path
