"""SIGTERM: running requests finish, and no new ones start."""

import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bedplate.testing.servers import Server, serving

BODY = json.dumps(
    {"email": "late@example.com", "name": "Late", "password": "Passw0rd-of-tests"}
).encode()
DEADLINE_SECONDS = 10


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def begin_sign_up(connection: socket.socket) -> None:
    """Send the headers of a sign-up, and wait until the server expects the body."""
    connection.sendall(
        b"POST /api/v1/users HTTP/1.1\r\n"
        b"Host: test\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: %d\r\n"
        b"Expect: 100-continue\r\n\r\n" % len(BODY)
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")


def wait_until_refusing(server: Server) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            connect(server).close()
        except ConnectionError:
            return
        time.sleep(0.02)
    raise AssertionError("it still accepts connections")


def read_response(connection: socket.socket) -> bytes:
    response = b""
    while part := connection.recv(65536):
        response += part
    return response


def test_a_running_request_finishes_and_the_exit_code_is_0(
    database_url: str, tmp_path: Path
) -> None:
    with (
        serving(tmp_path, database_url=database_url) as server,
        connect(server) as connection,
    ):
        begin_sign_up(connection)
        server.terminate()
        wait_until_refusing(server)
        connection.sendall(BODY)
        response = read_response(connection)
        began = time.monotonic()
        code = server.wait()
        waited = time.monotonic() - began

    assert response.startswith(b"HTTP/1.1 201 ")
    assert b'"late@example.com"' in response
    assert code == 0
    assert waited < DEADLINE_SECONDS


def test_an_idle_connection_does_not_delay_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as server, httpx.Client() as client:
        client.get(f"{server.url}/health/live")  # the connection stays open
        began = time.monotonic()
        server.terminate()
        code = server.wait()

    assert code == 0
    assert time.monotonic() - began < DEADLINE_SECONDS / 2
