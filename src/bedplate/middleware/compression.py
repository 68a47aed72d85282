"""Compression of answers, by what the client accepts (RFC 9110, 8.4 and 12.5.3).

An answer is compressed if its length is known and worth it, its type compresses, and
it does not say `no-store`: a secret beside text that an attacker chooses could be
guessed from the compressed length (BREACH). A stream of unknown length is never held
back, so events arrive at once.
"""

import asyncio
import re
import sys
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import brotli
from starlette.types import Message, Send

from bedplate.middleware.headers import BODILESS, NO_STORE, Headers

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Below this, headers outweigh what is saved.
MINIMUM_BYTES = 1024
# Compressing this much takes about a millisecond: longer bodies go to a thread.
_BYTES_ON_THE_LOOP = 1 << 16
_LONGEST_HEADER = 200
_PARTIAL_CONTENT = 206
_TYPES = re.compile(
    rb"(?!text/event-stream)(?:text/[\w.+-]+"
    rb"|application/(?:[\w.-]+\+)?(?:json|xml)"
    rb"|application/(?:javascript|manifest\+json|wasm)"
    rb"|image/svg\+xml)"
)
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


class Encoder(Protocol):
    """Encodes a body piece by piece."""

    def add(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class _Zstd:
    def __init__(self) -> None:
        compressor = zstd.ZstdCompressor(level=3)
        self.add = compressor.compress
        self.end = compressor.flush


class _Brotli:
    def __init__(self) -> None:
        compressor = brotli.Compressor(quality=4)
        self.add = compressor.process
        self.end = compressor.finish


class _Gzip:
    def __init__(self) -> None:
        compressor = zlib.compressobj(4, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        self.add = compressor.compress
        self.end = compressor.flush


# The best first: of two that the client likes alike, the first is taken.
ENCODINGS: Mapping[str, type[Encoder]] = {"zstd": _Zstd, "br": _Brotli, "gzip": _Gzip}


@lru_cache(maxsize=256)
def choose_encoding(accepted: str) -> str | None:
    """Return the encoding that an `Accept-Encoding` prefers; None is no encoding."""
    if len(accepted) > _LONGEST_HEADER:
        return None
    qualities = dict(map(_quality, accepted.lower().split(",")))
    anything = qualities.get("*", 0.0)
    best = max(ENCODINGS, key=lambda name: qualities.get(name, anything))
    quality = qualities.get(best, anything)
    return best if quality > 0 and quality >= qualities.get("identity", 0) else None


def _quality(item: str) -> tuple[str, float]:
    """Return an encoding and its weight: 1 without one, 0 with one that is wrong."""
    name, separator, weight = item.partition(";")
    if not separator:
        return name.strip(), 1.0
    found = _QUALITY.fullmatch(weight.strip())
    return name.strip(), float(found[1]) if found else 0.0


def may_compress(status: int, given: Mapping[bytes, bytes]) -> bool:
    """Return whether an answer may be compressed for whoever accepts it."""
    return (
        _compresses(given.get(b"content-type", b""))
        and b"content-encoding" not in given
        and NO_STORE not in given.get(b"cache-control", b"")
        and status not in BODILESS
        and status != _PARTIAL_CONTENT
    )


@lru_cache(maxsize=256)
def _compresses(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return _TYPES.fullmatch(media_type) is not None


def is_worth_it(given: Mapping[bytes, bytes]) -> bool:
    """Return whether a body of known length is long enough."""
    length = given.get(b"content-length", b"0")
    return length.isdigit() and int(length) >= MINIMUM_BYTES


def vary_by_encoding(headers: Headers, given: Mapping[bytes, bytes]) -> None:
    """Let caches keep one answer for each `Accept-Encoding`."""
    others = given.get(b"vary")
    if others is None:
        headers.append((b"vary", b"Accept-Encoding"))
    elif others != b"*" and b"accept-encoding" not in others.lower():
        both = (b"vary", others + b", Accept-Encoding")
        headers[headers.index((b"vary", others))] = both


def weaken(headers: Headers) -> None:
    """Make the `ETag` weak: other bytes, the same meaning (RFC 9110, 8.8.1)."""
    for index, (name, value) in enumerate(headers):
        if name == b"etag" and not value.startswith(b"W/"):
            headers[index] = (name, b"W/" + value)


class CompressedResponse:
    """Sends one answer compressed: whole if it comes whole, else piece by piece."""

    def __init__(self, start: Message, encoding: str, send: Send) -> None:
        self._start: Message | None = start
        self._encoding = encoding
        self._encoder = ENCODINGS[encoding]()
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of the body. The headers go with the first."""
        if message["type"] != "http.response.body":
            await self._send_as_is(message)
            return
        is_last = not message.get("more_body", False)
        body = await self._encode(message.get("body", b""), is_last=is_last)
        if self._start is not None:
            await self._send(self._headers(len(body) if is_last else None))
            self._start = None
        if body or is_last:
            await self._send({**message, "body": body, "more_body": not is_last})

    async def _send_as_is(self, message: Message) -> None:
        """Send what only a server can read, such as a file by its path."""
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        await self._send(message)

    async def _encode(self, data: bytes, *, is_last: bool) -> bytes:
        def encode() -> bytes:
            encoded = self._encoder.add(data)
            return encoded + self._encoder.end() if is_last else encoded

        if len(data) > _BYTES_ON_THE_LOOP:
            return await asyncio.to_thread(encode)
        return encode()

    def _headers(self, length: int | None) -> Message:
        assert self._start is not None
        gone = (b"content-length", b"accept-ranges")  # both are of the other bytes
        headers: Any = [h for h in self._start["headers"] if h[0] not in gone]
        headers.append((b"content-encoding", self._encoding.encode()))
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        weaken(headers)
        return {**self._start, "headers": headers}
