"""`Idempotency-Key` under Django, as `bedplate.api.idempotency` has it and as safe."""

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


def attempt_of(request: Any, caller: Caller | None) -> IdempotentRequest | None:
    """The request as an attempt, if it came with a key and from somebody known.

    Raises:
        ValidationFailed: the key is no key.
    """
    sent = request.META["QUERY_STRING"].encode() + b"\0" + request.body
    key = request.headers.get(HEADER)
    return IdempotentRequest.of(caller, request.method, request.path, key, sent)


def replay(kept: StoredResponse) -> HttpResponse:
    return repeat(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})


async def keep(
    attempt: IdempotentRequest, session: Session, response: HttpResponse
) -> None:
    """Write the outcome down, in the transaction of what it tells of."""
    headers = dict(response.items())
    await attempt.keep(session, response.status_code, headers, response.content)


def store_error(
    request: Any, caller: Caller | None, error: Exception, refusal: HttpResponse
) -> HttpResponse:
    """A refusal is an outcome too: kept for the repeat, after its rollback."""
    if caller is None or not is_stored(error, refusal.status_code):
        return refusal
    try:
        attempt = attempt_of(request, caller)
        return refusal if attempt is None else _settle(attempt, refusal)
    except APIError as other:
        return refuse(other)


def _settle(attempt: IdempotentRequest, refusal: HttpResponse) -> HttpResponse:
    async def settle(session: Session, _runtime: Runtime) -> HttpResponse:
        if kept := await attempt.begin(session):
            return replay(kept)
        await keep(attempt, session, refusal)
        return refusal

    return in_unit_of_work(settle)
