"""`Idempotency-Key` under Django, by the same rules as `bedplate.idempotency`."""

from typing import Any

from django.http import HttpResponse

from bedplate.caller import Caller
from bedplate.core.errors import APIError
from bedplate.database import Session
from bedplate.django_site.api.responses import refuse, repeat
from bedplate.django_site.services import in_unit_of_work
from bedplate.idempotency import (
    HEADER,
    REPLAYED,
    IdempotentRequest,
    StoredResponse,
    is_stored,
)
from bedplate.runtime import Runtime


def idempotent_request(request: Any, caller: Caller | None) -> IdempotentRequest | None:
    """Return the request as one with a key; None without a key or a caller.

    Raises:
        ValidationFailed: the key is not 1 to 255 visible ASCII characters.
    """
    content = request.META["QUERY_STRING"].encode() + b"\0" + request.body
    key = request.headers.get(HEADER)
    return IdempotentRequest.of(caller, request.method, request.path, key, content)


def replay(stored: StoredResponse) -> HttpResponse:
    """Return a stored response, marked as a repeat."""
    headers = {**stored.headers, REPLAYED: "true"}
    return repeat(stored.body, stored.status, headers)


async def store(
    keyed: IdempotentRequest, session: Session, response: HttpResponse
) -> None:
    """Store a response, in the transaction of the write that it reports."""
    headers = dict(response.items())
    await keyed.store(session, response.status_code, headers, response.content)


def store_error(
    request: Any, caller: Caller | None, error: Exception, response: HttpResponse
) -> HttpResponse:
    """Store an error response for the repeat, after the request's rollback.

    Return the response to send: this one, or the one that a request with the same key
    has stored meanwhile.
    """
    if caller is None or not is_stored(error, response.status_code):
        return response
    try:
        keyed = idempotent_request(request, caller)
        return response if keyed is None else _store_alone(keyed, response)
    except APIError as other:
        return refuse(other)


def _store_alone(keyed: IdempotentRequest, response: HttpResponse) -> HttpResponse:
    async def work(session: Session, _runtime: Runtime) -> HttpResponse:
        if stored := await keyed.lock(session):
            return replay(stored)
        await store(keyed, session, response)
        return response

    return in_unit_of_work(work)
