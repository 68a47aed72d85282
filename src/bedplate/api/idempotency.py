"""`Idempotency-Key`: a creating POST that is sent twice is done once.

The outcome is kept for 24 hours by caller, method, path and key, and commits with the
write itself: after a crash between the write and the answer the repeat gets the
answer. After the IETF's draft-ietf-httpapi-idempotency-key-header.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bedplate.api.dependencies import SessionDep, runtime_of
from bedplate.caller import Caller
from bedplate.core.errors import APIError
from bedplate.database import Session
from bedplate.idempotency import (
    HEADER,
    REPLAYED,
    IdempotentRequest,
    StoredResponse,
    is_stored,
)
from bedplate.middleware.error_response import render

Respond = Callable[[Request, Any, Response | None], Response]


def idempotent(endpoint: Callable[..., Any], respond: Respond) -> Callable[..., Any]:
    """The endpoint, done once for each key of a caller, however it comes by one."""
    signature = inspect.signature(endpoint, eval_str=True)
    names = _names(signature)
    added = set(names) - signature.parameters.keys()

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        request, session, draft = (values[name] for name in names)
        own = {name: value for name, value in values.items() if name not in added}
        attempt = await _attempt(request)
        if attempt is None:
            return await endpoint(**own)
        if kept := await attempt.begin(session):
            return _replay(kept)
        answer = await endpoint(**own)
        response = respond(request, answer, draft)
        await _keep(attempt, session, response)
        return response

    signature = _with_parameters(signature, names)
    run.__signature__ = signature  # type: ignore[attr-defined]  # FastAPI reads it
    return run


class _Names(NamedTuple):
    """What an endpoint calls its request, its session and its response.

    The last collects headers that its dependencies set, too.
    """

    request: str
    session: str
    response: str


def _names(signature: inspect.Signature) -> _Names:
    def find(kind: Any, otherwise: str) -> str:
        parameters = signature.parameters.items()
        return next((n for n, p in parameters if p.annotation == kind), otherwise)

    return _Names(
        request=find(Request, "idempotent_request"),
        session=find(SessionDep, "idempotent_session"),
        response=find(Response, "idempotent_response"),
    )


def _with_parameters(signature: inspect.Signature, names: _Names) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(kind=keyword) for p in signature.parameters.values()]
    parameters += [
        inspect.Parameter(name, keyword, annotation=annotation)
        for name, annotation in zip(names, (Request, SessionDep, Response), strict=True)
        if name not in signature.parameters
    ]
    return signature.replace(parameters=parameters)


async def _attempt(request: Request) -> IdempotentRequest | None:
    key = request.headers.get(HEADER)
    if key is None:
        return None
    caller: Caller | None = request.scope.get("caller")
    sent = request.url.query.encode() + b"\0" + await request.body()
    return IdempotentRequest.of(caller, request.method, request.url.path, key, sent)


def _replay(kept: StoredResponse) -> Response:
    return Response(kept.body, kept.status, headers={**kept.headers, REPLAYED: "true"})


async def _keep(
    attempt: IdempotentRequest, session: Session, response: Response
) -> None:
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    body = bytes(response.body)
    await attempt.keep(session, response.status_code, headers, body)


async def store_error(
    request: Request, error: Exception, refusal: Response
) -> Response:
    """A refusal is an outcome too: kept for the repeat, after its rollback."""
    route = request.scope.get("route")
    if "caller" not in request.scope or not getattr(route, "is_idempotent", False):
        return refusal
    if not is_stored(error, refusal.status_code):
        return refusal
    try:
        return await _settle(request.scope["request"], refusal)
    except APIError as other:
        return render(other)


async def _settle(request: Request, refusal: Response) -> Response:
    attempt = await _attempt(request)
    if attempt is None:
        return refusal
    async with runtime_of(request).database.unit_of_work() as session:
        if kept := await attempt.begin(session):
            return _replay(kept)
        await _keep(attempt, session, refusal)
    return refusal
