"""Responses equal to FastAPI's: bytes of the same struct, with the same headers."""

from collections.abc import Mapping

import msgspec
from django.http import HttpResponse

from bedplate.core.envelope import envelope
from bedplate.core.errors import APIError
from bedplate.core.preconditions import etag_of
from bedplate.middleware.headers import SECURITY_HEADERS
from bedplate.schemas import ResponseSchema

_encode = msgspec.json.Encoder().encode
_SECURITY = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


def render(result: ResponseSchema, status: int) -> HttpResponse:
    """Return a response. A single resource gets an `ETag`."""
    body = _encode(result)
    if "id" not in result.__struct_fields__:
        return _response(body, status, {})
    # Caches must revalidate it on each use: permission to see it can be lost.
    return _response(body, status, {"ETag": etag_of(body), "Cache-Control": "no-cache"})


def empty(status: int) -> HttpResponse:
    return without_body(_response(b"", status, {}), status)


def without_body(response: HttpResponse, status: int) -> HttpResponse:
    """Return the response with its headers, but without a body."""
    response.status_code, response.content = status, b""
    del response["Content-Type"]
    return response


def refuse(error: APIError) -> HttpResponse:
    """Return the error envelope of an error."""
    response = _response(envelope(error), error.status_code, error.headers)
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001, `RequestMiddleware` logs every request
    return response


def repeat(body: str, status: int, headers: Mapping[str, str]) -> HttpResponse:
    """Return a stored response again."""
    return _response(body.encode(), status, headers)


def _response(body: bytes, status: int, headers: Mapping[str, str]) -> HttpResponse:
    all_headers = {"Content-Type": "application/json", **_SECURITY, **headers}
    return HttpResponse(body, status=status, headers=all_headers)
