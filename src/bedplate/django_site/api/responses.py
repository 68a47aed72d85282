"""Answers as FastAPI gives them: bytes of the same struct, with the same headers."""

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


def answer(shown: ResponseSchema, status: int) -> HttpResponse:
    """A response; of one resource with its `ETag`."""
    body = _encode(shown)
    if "id" not in shown.__struct_fields__:
        return _response(body, status, {})
    # May be kept, but not used without asking: who may see it can change.
    return _response(body, status, {"ETag": etag_of(body), "Cache-Control": "no-cache"})


def empty(status: int) -> HttpResponse:
    return without_body(_response(b"", status, {}), status)


def without_body(response: HttpResponse, status: int) -> HttpResponse:
    """The same headers, and nothing of what they tell of."""
    response.status_code, response.content = status, b""
    del response["Content-Type"]
    return response


def refuse(error: APIError) -> HttpResponse:
    """The envelope of an error."""
    response = _response(envelope(error), error.status_code, error.headers)
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001, as every request is, at the edge
    return response


def repeat(body: str, status: int, headers: Mapping[str, str]) -> HttpResponse:
    """An answer that was given before."""
    return _response(body.encode(), status, headers)


def _response(body: bytes, status: int, headers: Mapping[str, str]) -> HttpResponse:
    told = {"Content-Type": "application/json", **_SECURITY, **headers}
    return HttpResponse(body, status=status, headers=told)
