"""uvicorn with limits on what a connection may hold and how long it may take.

uvicorn reads request headers of any size for any time, and waits for a body for ever.
It has no setting for either, so its protocol is extended here, private parts included:
`tests/processes/test_slow_clients.py` checks all of it against the real server.
"""

import asyncio
from functools import cache, cached_property
from http import HTTPStatus
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bedplate.config import Settings
from bedplate.core.envelope import envelope
from bedplate.core.errors import (
    APIError,
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    ServiceUnavailable,
)
from bedplate.core.origin import Origin, origin
from bedplate.metrics import observe_request
from bedplate.middleware.error_response import render
from bedplate.middleware.headers import default_headers
from bedplate.middleware.request import RequestMiddleware, request_id_of

# uvicorn ends connections that are idle at once and waits for those under way.
GRACEFUL_STOP_SECONDS = 10
# How long a refused client may take to read why, and how much it may send meanwhile.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 20
# Requests of one connection that may wait behind the one that is answered.
_MOST_PIPELINED = 16

logger = structlog.get_logger()


def make_config(
    app: str,
    settings: Settings,
    *,
    workers: int = 1,
    reload: bool = False,
    is_factory: bool = False,
) -> uvicorn.Config:
    """Return how `bedplate serve` runs uvicorn."""
    return uvicorn.Config(
        app,
        factory=is_factory,
        workers=workers,
        reload=reload,
        # By name: a worker process that has more to import before it runs is taken
        # for dead by uvicorn's supervisor on a busy machine.
        http=f"{__name__}:{connect.__name__}",
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=GRACEFUL_STOP_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
    )


def connect(config: uvicorn.Config, **options: Any) -> "LimitedProtocol":
    """Return the protocol of a new connection to the application that is served."""
    return LimitedProtocol(_shared(config.loaded_app), config=config, **options)


@cache
def _shared(application: Any) -> "Shared":
    return Shared(application.state.runtime.settings)


class Shared:
    """What all connections to an application have in common."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def overloaded(self) -> ASGIApp:
        """What answers a request on a connection that is one too many."""
        return RequestMiddleware(_refuse_one_too_many, settings=self.settings)

    @cached_property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every refusal that no application makes."""
        return [
            *default_headers(self.settings).values(),
            (b"cache-control", b"no-store"),
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
        ]


async def _refuse_one_too_many(scope: Scope, receive: Receive, send: Send) -> None:
    error = ServiceUnavailable(headers={"Connection": "close"})
    await render(error)(scope, receive, send)


class Refused(Exception):
    """A request is over a limit: the parser stops."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection: bounded in headers, in time and in what it has under way."""

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(**options)
        self._shared = shared
        self._limits = shared.settings
        self.url = b""
        self._stopped_by: APIError = BadRequest()
        self._is_refused = False
        self._dropped = 0  # bytes that came after the refusal
        self._timer: asyncio.TimerHandle | None = None
        # Of the request that is being received:
        self._has_begun = self._has_headers = self._is_complete = False
        self._started_at = self._heard_at = 0.0
        self._unparsed = 0  # bytes that the parser has taken and not handed over
        self._had_body = False  # among the bytes that were parsed last
        # How much of an answer the client has yet to read, and since when.
        self._unread: tuple[int, float] | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._started_at = self._heard_at = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._drop(len(data))
            return
        self._heard_at = self.loop.time()
        self._has_begun = True
        if self._is_complete:
            self._begin()
        while data and not self._is_refused:
            # A body goes in at once. It is bounded by whoever reads it.
            size = len(data) if self._has_headers else self._limits.max_header_bytes
            self._parse(data[:size])
            data = data[size:]
        if not self._is_complete:
            self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    # What the parser and the response call

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop(BadRequest("Too many requests wait on this connection"))

    def on_headers_complete(self) -> None:
        self._check_headers()
        self._has_headers = True
        application = self.app
        if len(self.connections) > self._limits.max_connections:
            self.app = self._shared.overloaded
        super().on_headers_complete()
        self.app = application

    def on_body(self, body: bytes) -> None:
        self._had_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_complete = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._await_reader()

    # Limits of size

    def _begin(self) -> None:
        self._started_at = self._heard_at
        self._has_headers = self._is_complete = False
        self._unparsed = 0

    def _parse(self, data: bytes) -> None:
        self._had_body = False
        super().data_received(data)
        if self._is_refused or self._is_complete:
            return
        if not self._had_body:  # more of the headers, of trailers, or of a chunk's
            self._unparsed += len(data)
            self._check_parsed()

    def _check_parsed(self) -> None:
        try:
            self._check_headers()
        except Refused:
            self._refuse(self._stopped_by)

    def _check_headers(self) -> None:
        """Raises Refused. What came in one piece has passed the limit of its size."""
        limits, headers = self._limits, self.headers or ()
        if len(headers) > limits.max_header_count:
            self._stop(HeadersTooLarge())
        if self._unparsed:
            size = len(self.url) + sum(len(n) + len(v) for n, v in headers)
            # The first piece may have held an earlier request, too.
            size = max(size, self._unparsed - limits.max_header_bytes)
            if size > limits.max_header_bytes:
                self._stop(HeadersTooLarge())

    def _stop(self, error: APIError) -> None:
        self._stopped_by = error
        raise Refused(error.message)

    # Limits of time

    def _watch(self) -> None:
        """Look soon whether the client has sent, or read, what is expected of it."""
        if self._timer is None:
            limits = self._limits
            shortest = min(limits.header_timeout, limits.body_timeout)
            delay = min(1.0, shortest / 4)
            self._timer = self.loop.call_later(delay, self._check_time)

    def _await_reader(self) -> None:
        if self._unread is None:
            self._unread = (self.transport.get_write_buffer_size(), self.loop.time())
        self._watch()

    def _check_time(self) -> None:
        self._timer = None
        if self._reads_too_slowly():
            self.transport.abort()
        elif self._unread is not None:
            self._watch()
        elif self._is_refused or self.transport.is_closing():
            return
        elif self._sends_too_slowly():
            self._refuse(RequestTimeout())
        elif not self._is_complete:
            self._watch()

    def _sends_too_slowly(self) -> bool:
        if self._is_complete:
            return False
        now, limits = self.loop.time(), self._limits
        if not self._has_headers:
            # Behind a response that is under way the next request may take its time.
            return self._is_idle and now - self._started_at > limits.header_timeout
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            return False  # it is the application that the client waits for
        is_silent = now - self._heard_at > limits.body_timeout
        return is_silent or now - self._started_at > limits.request_timeout

    def _reads_too_slowly(self) -> bool:
        """Return whether the client has read nothing of its answer for too long."""
        if self._unread is None:
            return False
        size, since = self._unread
        left, now = self.transport.get_write_buffer_size(), self.loop.time()
        if left < size:
            self._unread = (left, now) if left else None
            return False
        return now - since > self._limits.body_timeout

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser stopped at, in the envelope."""
        self._refuse(self._stopped_by)

    def _refuse(self, error: APIError) -> None:
        """End the connection, with an answer if one can be given."""
        self._is_refused = True
        self._unset_keepalive_if_required()
        may_answer, is_idle = self._may_answer(), self._is_idle
        if not is_idle:  # the application learns that its client is gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if may_answer:
            self._answer(error)
            self._close()
        elif is_idle:
            self.transport.close()
        else:
            self.transport.abort()

    def _may_answer(self) -> bool:
        """Return whether the next thing that the client expects is this answer."""
        if self._has_headers:
            return not self.pipeline and not self.cycle.response_started
        return self._has_begun and self._is_idle

    def _answer(self, error: APIError) -> None:
        sent = dict(self.headers or ()).get(b"x-request-id", b"").decode("latin-1")
        asking = Origin(request_id_of(sent), self.client[0] if self.client else None)
        token = origin.set(asking)
        try:
            self.transport.write(self._response(error, str(asking.request_id)))
            self._record(error)
        finally:
            origin.reset(token)

    def _response(self, error: APIError, request_id: str) -> bytes:
        body = envelope(error)
        headers = [
            *self.server_state.default_headers,
            *self._shared.headers,
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        phrase = HTTPStatus(error.status_code).phrase.encode()
        lines = [b"HTTP/1.1 %d %s" % (error.status_code, phrase)]
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join([*lines, b"", body])

    def _record(self, error: APIError) -> None:
        seconds = self.loop.time() - self._started_at
        logger.info(
            "refused",
            status=error.status_code,
            code=error.code,
            ms=round(seconds * 1000, 2),
            ip=origin.get().address,
        )
        if self._is_idle:  # else it is recorded with the request
            observe_request("other", "", error.status_code, seconds)

    def _drop(self, size: int) -> None:
        """Read on for a while: the client reads its answer once it has sent its own."""
        self._dropped += size
        if self._dropped > _LINGER_BYTES:
            self.transport.abort()

    def _close(self) -> None:
        """Close once the client has read the answer, or in a moment.

        To close on data that nobody read resets the connection, and the client loses
        the answer.
        """
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)
