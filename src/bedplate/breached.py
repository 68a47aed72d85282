"""Check with a range service whether a password is part of a known data breach.

The service is Have I Been Pwned or one with the same interface
(https://haveibeenpwned.com/API/v3#PwnedPasswords): it receives the first five
characters of the password's SHA-1 hash and returns all hashes that start with them
(k-anonymity).
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
_MAX_RESPONSE_BYTES: Final = 1 << 20  # the largest real ones have 50 KB
_LINE = re.compile(r"([0-9A-Fa-f]{35}):(\d{1,12})")


class BreachedPasswords(Protocol):
    """A source of breached passwords."""

    async def contains(self, password: str) -> bool:
        """Return whether a password is known to be breached. False if unknown."""

    async def close(self) -> None: ...


class RangeServiceError(Exception):
    """The range service returned no usable response."""


_FAILURES = (
    RangeServiceError,
    TimeoutError,
    httpx.HTTPError,
    httpx.InvalidURL,
    ValueError,  # bytes that are not ASCII
)


class RangeService:
    """The range service at `url`, which must respond within `timeout` seconds.

    It fails open: while the service is unavailable, users can still choose passwords.
    Each failed check is counted (`bedplate_breached_password_checks_total`) and logged.
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
                is_breached = suffix.upper() in await self._suffixes(prefix.upper())
        except _FAILURES as error:
            count_breached_check("failed")
            # Without the error's text, which may contain the prefix.
            logger.warning("breached password check failed", cause=type(error).__name__)
            return False
        count_breached_check("breached" if is_breached else "clean")
        return is_breached

    async def _suffixes(self, prefix: str) -> set[str]:
        body = await self._fetch(f"{self._url}/{prefix}")
        suffixes = set()
        for line in body.decode("ascii").split():
            entry = _LINE.fullmatch(line)
            if entry is None:
                raise RangeServiceError
            if int(entry[2]) > 0:  # the service pads its responses with counts of 0
                suffixes.add(entry[1].upper())
        return suffixes

    async def _fetch(self, url: str) -> bytes:
        body = bytearray()
        async with self._open_client().stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise RangeServiceError
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_RESPONSE_BYTES:
                    raise RangeServiceError
        return bytes(body)

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self._timeout,
                headers={"Add-Padding": "true", "User-Agent": "bedplate"},
            )
            # A cookie would connect the checks of different passwords.
            refuse_all = DefaultCookiePolicy(allowed_domains=[])
            self._client.cookies.jar.set_policy(refuse_all)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
