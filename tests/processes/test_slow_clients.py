"""Clients that send too much, too slowly or nothing, against the real server."""

import contextlib
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedplate.testing.servers import Server, serving

# Runs `bedplate` without access to uvloop, so on asyncio's own loop.
WITHOUT_UVLOOP = """
import sys
sys.modules["uvloop"] = None
from bedplate.cli import main
main()
"""
PROGRAMS: dict[str, dict[str, Any]] = {
    "uvloop": {},
    "asyncio": {"program": (sys.executable, "-c", WITHOUT_UVLOOP)},
}
# Short, so that the tests are fast, with the proportions of the defaults.
TIMES: dict[str, Any] = {"header_timeout": 2, "body_timeout": 2, "request_timeout": 4}
HALF_HEADERS = b"GET /health/live HTTP/1.1\r\nHost: test\r\nX-Half"
HALF_BODY = (
    b"POST /api/v1/users HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    b'Content-Length: 1000\r\nX-Request-ID: half-a-body\r\n\r\n{"email": "'
)
MEGABYTE = 1 << 20
both_loops = pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))


def resident_bytes(server: Server) -> int:
    """Return the resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def connect(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 80), timeout=10)


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(count)]


def read_to_end(client: socket.socket) -> bytes:
    """Return everything that the server sends before it closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def send_until_cut(client: socket.socket, piece: bytes, limit: int) -> int:
    """Send until the server closes the connection, and return the number of bytes."""
    size = 0
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while size < limit:
            size += client.send(piece)
    return size


@both_loops
def test_200_slow_clients_are_cut_while_others_are_served(
    tmp_path: Path, program: dict[str, Any]
) -> None:
    with (
        serving(tmp_path, **program, **TIMES) as server,
        httpx.Client(base_url=server.url) as client,
        connections(server, 200) as slow,
    ):
        client.get("/health/live")
        before = resident_bytes(server)
        silent, headers, bodies, trickling = (slow[start::4] for start in range(4))
        for connection in headers:
            connection.sendall(HALF_HEADERS)
        for connection in bodies:
            connection.sendall(HALF_BODY)
        began = time.monotonic()
        ended = _serve_meanwhile(client, slow, trickling, began)
        growth = resident_bytes(server) - before
        responses = [{read_to_end(c)[:12] for c in kind} for kind in (silent, headers)]
        body_responses = [read_to_end(connection) for connection in bodies]

    assert len(ended) == 200
    # The limit, a second until it is checked, and two to read the response.
    assert max(ended.values()) < 2 + 1 + 2 + 2
    assert max(ended[c] for c in silent) < 2 + 1 + 1
    assert growth < 40 * MEGABYTE
    assert responses == [{b""}, {b"HTTP/1.1 408"}]
    assert all(b'"code":"REQUEST_TIMEOUT"' in response for response in body_responses)
    assert all(b"x-request-id: half-a-body" in response for response in body_responses)


def _serve_meanwhile(
    client: httpx.Client,
    slow: list[socket.socket],
    trickling: list[socket.socket],
    began: float,
) -> dict[socket.socket, float]:
    """Return when each connection ended. Other requests are answered meanwhile."""
    ended: dict[socket.socket, float] = {}
    with selectors.DefaultSelector() as selector:
        for connection in slow:
            selector.register(connection, selectors.EVENT_READ)
        while len(ended) < len(slow) and time.monotonic() - began < 15:
            sent_at = time.monotonic()
            assert client.get("/health/live").status_code == 200
            assert time.monotonic() - sent_at < 1
            for connection in trickling:  # a byte at a time
                with contextlib.suppress(OSError):
                    connection.send(b"G" if connection not in ended else b"")
            for key, _ in selector.select(0.1):
                ended[key.fileobj] = time.monotonic() - began  # type: ignore[index]
                selector.unregister(key.fileobj)
    return ended


@both_loops
def test_endless_headers_are_rejected_and_use_no_memory(
    tmp_path: Path, program: dict[str, Any]
) -> None:
    with serving(tmp_path, **program) as server:
        before = resident_bytes(server)
        for beginning, piece in (
            (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 65536),
            (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000),
            (b"GET /", b"x" * 65536),
            (
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
                b"X-Trailer: x\r\n" * 5000,
            ),
        ):
            with connect(server) as client:
                client.sendall(beginning)
                size = send_until_cut(client, piece, 256 * MEGABYTE)
                assert size < 256 * MEGABYTE
                # The server reads for two more seconds, so that the client can read it.
                client.settimeout(5)
                read_to_end(client)
        growth = resident_bytes(server) - before

    assert growth < 20 * MEGABYTE


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Long": "x" * (32 << 10)},
        {f"X-{number}": "x" for number in range(101)},
        {f"X-{number}": "x" * 1000 for number in range(40)},
    ],
    ids=["long", "many", "long together"],
)
def test_too_large_headers_are_rejected_in_the_envelope(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    with serving(tmp_path) as server:
        too_large = {"X-Request-ID": "too-large", **headers}
        refused = httpx.get(f"{server.url}/health/live", headers=too_large)
        fine = {f"X-{number}": "x" * 300 for number in range(90)}
        response = httpx.get(f"{server.url}/health/live", headers=fine)

    error = refused.json()["error"]
    assert refused.status_code == 431
    assert error["code"] == "REQUEST_HEADER_FIELDS_TOO_LARGE"
    assert error["request_id"] == refused.headers["x-request-id"] != ""
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["cache-control"] == "no-store"
    assert response.status_code == 200


def test_invalid_http_is_rejected_in_the_envelope(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        responses = []
        for request in (
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET  HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ):
            with connect(server) as client:
                client.sendall(request)
                responses.append(read_to_end(client))

    for response in responses:
        assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'"code":"BAD_REQUEST"' in response


def test_endless_pipelined_requests_are_rejected(tmp_path: Path) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(tmp_path) as server:
        with connect(server) as client:
            client.sendall(request * 3)
            time_limit = time.monotonic() + 10
            received = b""
            while received.count(b"200 OK") < 3 and time.monotonic() < time_limit:
                received += client.recv(65536)
        before = resident_bytes(server)
        with connections(server, 50) as clients:
            for connection in clients:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(request * 6000)
            for connection in clients:
                read_to_end(connection)
        growth = resident_bytes(server) - before

    assert received.count(b"200 OK") == 3
    assert growth < 40 * MEGABYTE


def test_a_response_that_nobody_reads_is_aborted(tmp_path: Path) -> None:
    with serving(tmp_path, body_timeout=1) as server, connect(server) as client:
        request = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(8):
            client.sendall(request)
        deadline = time.monotonic() + 15
        while _is_connected(server, client) and time.monotonic() < deadline:
            time.sleep(0.1)
        is_connected = _is_connected(server, client)

    assert not is_connected


def _is_connected(server: Server, client: socket.socket) -> bool:
    """Return whether the kernel still lists the server's side of the connection."""
    port = client.getsockname()[1]
    table = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    established = "01"
    return any(
        row.split()[2].endswith(f":{port:04X}") and row.split()[3] == established
        for row in table
    )


def test_a_connection_over_the_limit_gets_503(tmp_path: Path) -> None:
    with (
        serving(tmp_path, max_connections=3) as server,
        connections(server, 3) as slow,
    ):
        for connection in slow:
            connection.sendall(HALF_HEADERS)
        refused = httpx.get(f"{server.url}/health/live")
        slow.pop().close()
        response = _request_until_served(server)

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["connection"] == "close"
    assert response.status_code == 200


def _request_until_served(server: Server) -> httpx.Response:
    deadline = time.monotonic() + 5
    while True:
        response = httpx.get(f"{server.url}/health/live")
        if response.status_code == 200 or time.monotonic() > deadline:
            return response


def test_a_client_that_leaves_mid_body_is_not_logged_as_a_bug(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for path in ("/api/v1/users", "/api/v1/auth/token", "/django/api/v1/users"):
            kind = b"x-www-form-urlencoded" if "token" in path else b"json"
            with connect(server) as client:
                client.sendall(
                    b"POST %s HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: application/%s\r\nContent-Length: 99\r\n\r\n{"
                    % (path.encode(), kind)
                )
                time.sleep(
                    1.5 if "django" in path else 0.3
                )  # the server waits for the body by then
            _request_until_served(server)
        deadline = time.monotonic() + 10
        while server.errors.count("499") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        logged = server.errors

    assert logged.count("499") == 3
    assert "Traceback" not in logged
    assert "bug" not in logged
