"""`Idempotency-Key` for FastAPI: a creating POST that is sent twice runs once.

See `bedplate.idempotency` for what is stored and for how long.
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
    """Wrap an endpoint so that it runs once for each key of a caller."""
    signature = inspect.signature(endpoint, eval_str=True)
    names = _names(signature)
    added = set(names) - signature.parameters.keys()

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        request, session, draft = (values[name] for name in names)
        arguments = {n: value for n, value in values.items() if n not in added}
        idempotent_request = await _idempotent_request(request)
        if idempotent_request is None:
            return await endpoint(**arguments)
        if stored := await idempotent_request.lock(session):
            return _replay(stored)
        answer = await endpoint(**arguments)
        response = respond(request, answer, draft)
        await _store(idempotent_request, session, response)
        return response

    signature = _with_parameters(signature, names)
    run.__signature__ = signature  # type: ignore[attr-defined]  # FastAPI reads it
    return run


class _Names(NamedTuple):
    """The names of an endpoint's parameters for request, session and response.

    The response also collects the headers that dependencies set.
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


async def _idempotent_request(request: Request) -> IdempotentRequest | None:
    key = request.headers.get(HEADER)
    if key is None:
        return None
    caller: Caller | None = request.scope.get("caller")
    content = request.url.query.encode() + b"\0" + await request.body()
    return IdempotentRequest.of(caller, request.method, request.url.path, key, content)


def _replay(stored: StoredResponse) -> Response:
    headers = {**stored.headers, REPLAYED: "true"}
    return Response(stored.body, stored.status, headers=headers)


async def _store(
    idempotent_request: IdempotentRequest, session: Session, response: Response
) -> None:
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    body = bytes(response.body)
    await idempotent_request.store(session, response.status_code, headers, body)


async def store_error(
    request: Request, error: Exception, response: Response
) -> Response:
    """Store an error response for the repeat, after the request's rollback.

    Return the response to send: this one, or the one that a request with the same key
    has stored meanwhile.
    """
    route = request.scope.get("route")
    if "caller" not in request.scope or not getattr(route, "is_idempotent", False):
        return response
    if not is_stored(error, response.status_code):
        return response
    try:
        return await _store_alone(request.scope["request"], response)
    except APIError as other:
        return render(other)


async def _store_alone(request: Request, response: Response) -> Response:
    idempotent_request = await _idempotent_request(request)
    if idempotent_request is None:
        return response
    async with runtime_of(request).database.unit_of_work() as session:
        if stored := await idempotent_request.lock(session):
            return _replay(stored)
        await _store(idempotent_request, session, response)
    return response
