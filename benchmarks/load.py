"""Puts a server under load: keep-alive connections that send prebuilt requests.

It runs in a separate process (`python -m benchmarks.load`), so that its work isn't
counted as the server's. It reads a `Load` from standard input and writes a `LoadResult`
to standard output.
"""

import asyncio
import re
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import cast

import msgspec
import uvloop

ROOT = Path(__file__).parents[1]
_GRACE_SECONDS = 30  # for responses that are still under way at the end
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Load(msgspec.Struct):
    port: int
    requests: list[bytes]
    seconds: float
    connections: int = 16
    max_requests: int = 1_000_000


class LoadResult(msgspec.Struct):
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


class UnexpectedAnswer(Exception):
    """A response that is neither 200 nor 201."""


def run(load: Load) -> LoadResult:
    """Put a server under load, from another process.

    Raises:
        CalledProcessError: a response was neither 200 nor 201, or a connection broke.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        input=msgspec.msgpack.encode(load),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.msgpack.decode(done.stdout, type=LoadResult)


class _Run:
    """The state that the connections of one load share."""

    def __init__(self, load: Load) -> None:
        self._requests = cycle(load.requests)
        self._left = load.max_requests
        self._deadline = time.perf_counter() + load.seconds
        self._open = load.connections
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes | None:
        if not self._left or time.perf_counter() >= self._deadline:
            return None
        self._left -= 1
        return next(self._requests)

    def close_one(self) -> None:
        self._open -= 1
        if not self._open and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its whole response, and sends the next."""

    _transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._expected = 0  # bytes of the response; 0 until its head is complete
        self._sent_at = 0.0
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not an assert: uvloop's transports aren't subclasses of it.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        request = self._run.next_request()
        if request is None:
            self._finished = True
            self._transport.close()
            return
        self._received, self._expected = b"", 0
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._expected = self._expected or _response_length(self._received)
        if not self._expected or len(self._received) < self._expected:
            return
        self._run.latencies.append(time.perf_counter() - self._sent_at)
        if self._received.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")):
            self._send()
        else:
            self._run.fail(UnexpectedAnswer(self._received.decode(errors="replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._finished:
            self._run.close_one()
        else:
            self._run.fail(exc or ConnectionError("the server closed the connection"))


def _response_length(received: bytes) -> int:
    head = received.find(_HEAD_END)
    if head < 0:
        return 0
    length = _CONTENT_LENGTH.search(received, 0, head)
    return head + len(_HEAD_END) + (int(length[1]) if length else 0)


async def _run_load(load: Load) -> LoadResult:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    run = _Run(load)
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", load.port)
    async with asyncio.timeout(load.seconds + _GRACE_SECONDS):
        await run.done
    return _to_result(run.latencies, time.perf_counter() - started)


def _to_result(latencies: list[float], seconds: float) -> LoadResult:
    ordered = sorted(latencies)
    p50, p99 = (1000 * ordered[int(len(ordered) * q)] for q in (0.5, 0.99))
    return LoadResult(len(ordered), seconds, p50, p99)


def main() -> None:
    load = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.msgpack.encode(uvloop.run(_run_load(load))))


if __name__ == "__main__":
    main()
