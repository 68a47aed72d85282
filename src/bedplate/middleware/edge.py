"""The outermost layer, in one pass: request id, body limit, headers, log, metrics."""

import re
import time
from collections.abc import Sequence
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from bedplate.core.errors import InternalError, PayloadTooLarge
from bedplate.core.origin import Network, Origin, client_address, origin
from bedplate.core.request_log import request_fields
from bedplate.metrics import observe_request
from bedplate.middleware.errors import render

logger = structlog.get_logger()

_LONGEST_USER_AGENT = 255
_ACCEPTED_ID = re.compile(r"[\x21-\x7e]{1,128}")

# OWASP REST Security Cheat Sheet, "Security headers", for answers that have none.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class BodyTooLarge(HTTPException):
    """A body of undeclared length has grown past the limit."""


class Edge:
    """Pure ASGI, wrapped around everything, so that it holds for every answer.

    A caller's `X-Request-ID` is kept if it is 1 to 128 visible ASCII characters. A body
    over the limit is refused by its declared length, or as soon as it grows past it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._trusted_proxies = trusted_proxies
        self._log = logger.bind()  # resolved once, not for every request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        token = origin.set(self._origin(exchange))
        fields_token = request_fields.set(exchange.fields)
        try:
            await self._answer(scope, receive, exchange)
        finally:
            exchange.record(self._log)
            request_fields.reset(fields_token)
            origin.reset(token)

    def _origin(self, exchange: "_Exchange") -> Origin:
        trusted = self._trusted_proxies
        told = exchange.forwarded_for() if trusted else ()
        address = client_address(exchange.peer, told, trusted)
        user_agent = exchange.header(b"user-agent")[:_LONGEST_USER_AGENT]
        return Origin(exchange.request_id, address, user_agent or None)

    async def _answer(
        self, scope: Scope, receive: Receive, exchange: "_Exchange"
    ) -> None:
        declared = exchange.header(b"content-length")
        if not declared:
            receive = _limited(receive, self._max_body_bytes)
        elif not declared.isdecimal() or int(declared) > self._max_body_bytes:
            await render(PayloadTooLarge())(scope, receive, exchange.send)
            return
        try:
            await self._app(scope, receive, exchange.send)
        except BodyTooLarge:  # FastAPI has handled it, Django hasn't
            await render(PayloadTooLarge())(scope, receive, exchange.send)
        except Exception:
            self._log.exception("bug", path=scope["path"])
            if exchange.status:
                raise  # too late for an answer: the server breaks the connection
            await render(InternalError())(scope, receive, exchange.send)


class _Exchange:
    """One request and its answer, as the log and the metrics tell of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id_of(self.header(b"x-request-id"))
        self.peer: str | None = (scope.get("client") or (None,))[0]
        self.status = 0
        self.fields: dict[str, str] = {}
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()

    def header(self, name: bytes) -> str:
        """A request header, empty when it wasn't sent; of several the last."""
        return self._headers.get(name, b"").decode("latin-1")

    def forwarded_for(self) -> list[str]:
        return Headers(scope=self._scope).getlist("x-forwarded-for")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ())]
            given = {name for name, _ in headers}
            headers.append((b"x-request-id", self.request_id.encode()))
            headers += [header for header in SECURITY_HEADERS if header[0] not in given]
            message["headers"] = headers
        await self._send(message)

    def record(self, log: Any) -> None:
        seconds = time.perf_counter() - self._started
        scope = self._scope
        observe_request(scope["method"], _template(scope), self.status, seconds)
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=self.status,
            ms=round(seconds * 1000, 2),
            ip=origin.get().address,
            request_id=self.request_id,
            **self.fields,
        )


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names; empty when none was found."""
    return str(scope.get("template") or getattr(scope.get("route"), "path", ""))


def request_id_of(sent: str) -> str:
    """The caller's own id, if it may be kept, or a new one."""
    return sent if _ACCEPTED_ID.fullmatch(sent) else str(uuid4())


def _limited(receive: Receive, limit: int) -> Receive:
    """Count a body of undeclared length (chunked, or HTTP/2) as it comes in."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLarge(PayloadTooLarge.status_code)
        return message

    return counted
