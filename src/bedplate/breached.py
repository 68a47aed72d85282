"""Ask a range service whether a password is known from a data breach.

The service is the one of Have I Been Pwned or one with the same interface
(https://haveibeenpwned.com/API/v3#PwnedPasswords): it gets the first five characters of
the password's SHA-1 and answers with all the hashes that begin so (k-anonymity).
"""

import asyncio
import hashlib
import re
from http.cookiejar import DefaultCookiePolicy
from typing import Final, Protocol

import httpx
import structlog

from bedplate.metrics import count_breached_check

logger = structlog.get_logger()

PREFIX_LENGTH: Final = 5
TIMEOUT_SECONDS: Final = 2.0
_MAX_ANSWER_BYTES: Final = 1 << 20  # the largest real ones have 50 KB
_LINE = re.compile(r"([0-9A-Fa-f]{35}):(\d{1,12})")


class BreachedPasswords(Protocol):
    """Something that knows breached passwords."""

    async def contains(self, password: str) -> bool:
        """Return whether a password is known to be breached; False if nobody knows."""

    async def close(self) -> None: ...


class RangeServiceError(Exception):
    """The range service gave no usable answer."""


_FAILURES = (
    RangeServiceError,
    TimeoutError,
    httpx.HTTPError,
    httpx.InvalidURL,
    ValueError,  # bytes that are no text
)


class RangeService:
    """A range service at `url`, whose answers have to come within `timeout` seconds.

    It fails open: while the service is away, users can still choose passwords. Each
    such check is counted (`bedplate_breached_password_checks_total`) and logged.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    async def contains(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest()
        prefix, suffix = digest[:PREFIX_LENGTH], digest[PREFIX_LENGTH:]
        try:
            async with asyncio.timeout(self._timeout):
                found = suffix.upper() in await self._suffixes(prefix.upper())
        except _FAILURES as error:
            count_breached_check("failed")
            # Not the error's text, which may hold the prefix.
            logger.warning("breached password check failed", cause=type(error).__name__)
            return False
        count_breached_check("breached" if found else "clean")
        return found

    async def _suffixes(self, prefix: str) -> set[str]:
        answer = await self._fetch(f"{self._url}/{prefix}")
        suffixes = set()
        for line in answer.decode("ascii").split():
            entry = _LINE.fullmatch(line)
            if entry is None:
                raise RangeServiceError
            if int(entry[2]) > 0:  # the service pads its answers with counts of 0
                suffixes.add(entry[1].upper())
        return suffixes

    async def _fetch(self, url: str) -> bytes:
        body = bytearray()
        async with self._open().stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise RangeServiceError
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_ANSWER_BYTES:
                    raise RangeServiceError
        return bytes(body)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self._timeout,
                headers={"Add-Padding": "true", "User-Agent": "bedplate"},
            )
            # A cookie would tie one password's check to the next.
            refuse_all = DefaultCookiePolicy(allowed_domains=[])
            self._client.cookies.jar.set_policy(refuse_all)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
