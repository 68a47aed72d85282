"""The check against a range service, with good and bad responses of a real server."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bedplate.breached import RangeService

PASSWORD = "Known-passw0rd"
DIGEST = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()  # noqa: S324, the service's hash
BODY = f"{'0' * 35}:3\r\n{DIGEST[5:]}:7\r\n{'F' * 35}:0"
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def range_server(respond: Respond) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that responds like this, and yield its URL and its requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await respond(writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/range", requests
        server.close()


def responding(body: bytes | str, status: str = "200 OK", *headers: str) -> Respond:
    content = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(head).encode() + content)
        await writer.drain()

    return write


async def hang(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(1)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Respond in small pieces, each within any timeout of a single read."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100):
        writer.write(b"0")
        await writer.drain()
        await asyncio.sleep(0.02)


async def close_immediately(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def check(url: str, password: str = PASSWORD, timeout: float = 5) -> bool:  # noqa: ASYNC109, the service implements it
    service = RangeService(url, timeout=timeout)
    try:
        return await service.contains(password)
    finally:
        await service.close()


def count_of(outcome: str) -> float:
    name = "bedplate_breached_password_checks_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0


async def test_only_the_first_five_characters_of_the_hash_are_sent() -> None:
    async with range_server(responding(BODY)) as (url, requests):
        assert await check(url)
        assert not await check(url, "Another-passw0rd")

    first, second = requests
    assert first.startswith(f"GET /range/{DIGEST[:5]} HTTP/1.1\r\n".encode())
    lines = first.decode().lower().split("\r\n")
    assert "add-padding: true" in lines
    assert DIGEST[5:].lower() not in first.decode().lower()
    assert PASSWORD.lower() not in first.decode().lower()
    names = {line.partition(":")[0] for line in lines[1:] if line}
    assert names == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "add-padding",
        "user-agent",
    }
    assert DIGEST[:5].encode() not in second


async def test_a_padding_entry_is_not_a_breach() -> None:
    async with range_server(responding(f"{DIGEST[5:]}:0")) as (url, _):
        assert not await check(url)


async def test_no_cookie_connects_two_checks() -> None:
    respond = responding(BODY, "200 OK", "Set-Cookie: id=1", "Connection: close")
    async with range_server(respond) as (url, requests):
        service = RangeService(url, timeout=5)
        assert await service.contains(PASSWORD)
        assert await service.contains(PASSWORD)
        await service.close()

    assert len(requests) == 2
    assert not any(b"cookie" in request.lower() for request in requests)


@pytest.mark.parametrize(
    "respond",
    [
        hang,
        drip,
        close_immediately,
        responding("<html>sign in to the hotel's network</html>"),
        responding(b"\xff\xfe\x00"),
        responding(f"{DIGEST[5:]}:seven"),
        responding(BODY, "503 Service Unavailable"),
        responding("", "302 Found", "Location: http://elsewhere.example/"),
        responding(f"{'0' * 35}:1\n" * 40_000),
        responding(b"not gzip", "200 OK", "Content-Encoding: gzip"),
    ],
)
async def test_failed_checks_pass_and_are_counted_and_logged(respond: Respond) -> None:
    before = count_of("failed")
    began = time.monotonic()
    async with range_server(respond) as (url, _):
        with capture_logs() as logs:
            assert not await check(url, timeout=0.3 if respond in {hang, drip} else 5)

    assert time.monotonic() - began < 5
    assert count_of("failed") == before + 1
    (line,) = logs
    assert line["event"] == "breached password check failed"
    assert DIGEST[:5] not in str(line)


async def test_checks_pass_when_the_service_is_down() -> None:
    async with range_server(hang) as (url, _):
        pass
    before = count_of("failed")

    assert not await check(url)
    assert count_of("failed") == before + 1


async def test_outcomes_are_counted() -> None:
    before = count_of("breached"), count_of("clean")
    async with range_server(responding(BODY)) as (url, _):
        await check(url)
        await check(url, "Another-passw0rd")

    assert (count_of("breached"), count_of("clean")) == (before[0] + 1, before[1] + 1)
