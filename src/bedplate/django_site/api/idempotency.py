"""`Idempotency-Key` under Django, by the rules of `bedplate.api.idempotency`."""

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
    """Return the request as an idempotent one, if it has a key and a known caller.

    Raises:
        ValidationFailed: the key is not valid.
    """
    # The key is bound to the query and the body: another request is refused.
    content = request.META["QUERY_STRING"].encode() + b"\0" + request.body
    key = request.headers.get(HEADER)
    return IdempotentRequest.of(caller, request.method, request.path, key, content)


def replay(stored: StoredResponse) -> HttpResponse:
    return repeat(stored.body, stored.status, {**stored.headers, REPLAYED: "true"})


async def store_response(
    idempotent: IdempotentRequest, session: Session, response: HttpResponse
) -> None:
    """Store the response in the transaction of the changes that it reports."""
    headers = dict(response.items())
    await idempotent.keep(session, response.status_code, headers, response.content)


def store_error(
    request: Any, caller: Caller | None, error: Exception, response: HttpResponse
) -> HttpResponse:
    """Store an error for repeats, in a new transaction after the rollback."""
    if caller is None or not is_stored(error, response.status_code):
        return response
    try:
        idempotent = idempotent_request(request, caller)
        return response if idempotent is None else _store(idempotent, response)
    except APIError as other:
        return refuse(other)


def _store(idempotent: IdempotentRequest, response: HttpResponse) -> HttpResponse:
    async def store(session: Session, _runtime: Runtime) -> HttpResponse:
        # A concurrent repeat may have stored a response after this one's rollback.
        if stored := await idempotent.begin(session):
            return replay(stored)
        await store_response(idempotent, session, response)
        return response

    return in_unit_of_work(store)
