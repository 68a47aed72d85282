"""SIGTERM: what is under way is finished, and nothing new is begun."""

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
    """Leave a sign-up's body to come, once it is known to be under way."""
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
    raise AssertionError("it still takes connections")


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def test_a_request_under_way_is_finished_and_the_exit_code_is_0(
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
        answer = read_answer(connection)
        begun = time.monotonic()
        code = server.wait()
        waited = time.monotonic() - begun

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b'"late@example.com"' in answer
    assert code == 0
    assert waited < DEADLINE_SECONDS


def test_an_idle_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with serving(tmp_path) as server, httpx.Client() as client:
        client.get(f"{server.url}/health/live")  # and the connection stays open
        begun = time.monotonic()
        server.terminate()
        code = server.wait()

    assert code == 0
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2
