"""A client that sends one request, and the request's bytes."""

import http.client
from typing import Any, NamedTuple

import msgspec


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""

    def to_bytes(self) -> bytes:
        headers = {"Host": "127.0.0.1", "Accept": "application/json", **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def ask(port: int, request: Request) -> Any:
    """Send a request and return the JSON of the response.

    Raises:
        AssertionError: the status is neither 200 nor 201.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            request.method, request.path, request.body, headers=request.headers
        )
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status in (200, 201), f"{request.path}: {response.status} {body!r}"
    return msgspec.json.decode(body)
