"""Passwords and access tokens.

Passwords: Argon2id at OWASP's minimum (Password Storage Cheat Sheet: m=19 MiB, t=2,
p=1), always in a small thread pool with a bounded queue that is fair between accounts,
since a hash takes about 45 ms of one core.
Tokens: JWT as RFC 8725 recommends: the settings fix the algorithm, never the token, and
`typ` and `aud` prevent one kind of token from being used as another.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import jwt
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from bedplate.core.clock import timestamp
from bedplate.core.fair_queue import FairQueue
from bedplate.core.origin import client_block

TIME_COST: Final = 2
MEMORY_COST: Final = 19_456  # KiB
MAX_PASSWORD_LENGTH: Final = 128

_passwords = PasswordHash(
    [Argon2Hasher(time_cost=TIME_COST, memory_cost=MEMORY_COST, parallelism=1)]
)
# One thread per core: more hashes would only compete, each with 19 MiB of memory. At
# about 45 ms a hash, a full queue is done in five seconds, and 50 wrong passwords for
# one account at the same time all get a response.
_CORES: Final = os.cpu_count() or 1
hashing: Final = FairQueue(
    threads=_CORES,
    max_per_key=64,
    max_waiting=100 * _CORES,
    timeout=15,
    name="argon2",
)
# Verified if an account does not exist, so that an unknown address takes the same time.
_NO_ACCOUNT: Final = _passwords.hash(os.urandom(16).hex())


class PasswordCheck(NamedTuple):
    """The result of a check. `new_hash` is set if the stored hash is outdated."""

    ok: bool
    new_hash: str | None


async def hash_password(password: str, *, key: str | None = None) -> str:
    """Hash a password for storage, off the event loop.

    Keys take turns, so one key can't delay the others. The default is the client's
    address block.

    Raises:
        ServiceUnavailable: too many hashes are waiting, for this key or in total.
    """
    return await hashing.run(key or client_block(), _passwords.hash, password)


async def check_password(
    password: str, stored: str | None, *, key: str | None = None
) -> PasswordCheck:
    """Compare a password with a stored hash, off the event loop.

    If `stored` is None (no account), the result is false after the same time.

    Raises:
        ServiceUnavailable: too many hashes are waiting, for this key or in total.
    """
    return await hashing.run(key or client_block(), _compare, password, stored)


def hash_password_blocking(password: str, *, key: str | None = None) -> str:
    """Do the same as `hash_password`, for a thread that may block."""
    return hashing.run_blocking(key or client_block(), _passwords.hash, password)


def check_password_blocking(
    password: str, stored: str | None, *, key: str | None = None
) -> PasswordCheck:
    """Do the same as `check_password`, for a thread that may block."""
    return hashing.run_blocking(key or client_block(), _compare, password, stored)


def _compare(password: str, stored: str | None) -> PasswordCheck:
    try:
        ok, new_hash = _passwords.verify_and_update(password, stored or _NO_ACCOUNT)
    except UnknownHashError:
        # An unknown kind of hash (imported, or of a locked account): take the same
        # time.
        _passwords.verify(password, _NO_ACCOUNT)
        return PasswordCheck(ok=False, new_hash=None)
    ok = ok and stored is not None
    return PasswordCheck(ok=ok, new_hash=new_hash if ok else None)


def new_token() -> str:
    """Return an opaque token of 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the hash to store for an opaque token.

    A plain SHA-256 is enough, since the token is random.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return a separate key for each purpose (HKDF-Expand, RFC 5869, one block).

    `secret` is already uniformly random, so HKDF's extract step is not needed.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha256)


class AccessClaims(NamedTuple):
    """The claims of a verified access token."""

    user_id: UUID
    session_id: UUID
    expires_at: int


class TokenKey(NamedTuple):
    """A key that signs access tokens. Keys for HS256 have no `kid`."""

    kid: str | None
    private: Any
    public: Any


class AccessTokens:
    """Issues access tokens and verifies them.

    Verified tokens are cached, so each signature is checked once and the expiry every
    time. A valid token may belong to a session that has ended: the caller of `verify`
    must check that in the database.
    """

    _MAX_CACHED = 10_000
    _AUDIENCE = "bedplate-api"
    _REQUIRED = ("iss", "aud", "sub", "sid", "jti", "typ", "iat", "exp")

    def __init__(
        self,
        keys: Sequence[TokenKey],
        *,
        algorithm: str,
        issuer: str,
        lifetime: timedelta,
    ) -> None:
        self.algorithm = algorithm
        self.lifetime = lifetime
        self.loaded_at = time.monotonic()
        self.loading: asyncio.Task[None] | None = None
        self._issuer = issuer
        self.use(keys)

    def use(self, keys: Sequence[TokenKey]) -> None:
        """Sign with the first of these keys and accept all of them from now on."""
        self.keys = tuple(keys)
        self._signing_key = keys[0] if keys else None
        self._verified: dict[str, AccessClaims] = {}

    def issue(self, user_id: UUID, session_id: UUID) -> str:
        assert self._signing_key is not None, "the signing keys were not loaded"
        now = int(timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "typ": "access",
            "iat": now,
            "exp": now + int(self.lifetime.total_seconds()),
        }
        kid, private, _ = self._signing_key
        headers = None if kid is None else {"kid": kid}
        return jwt.encode(claims, private, algorithm=self.algorithm, headers=headers)

    def verify(self, token: str) -> AccessClaims | None:
        """Return the claims of a token, or None if it is invalid or expired."""
        claims = self._verified.get(token) or self._decode(token)
        if claims is None or claims.expires_at <= timestamp():
            return None
        return claims

    def is_of_unknown_key(self, token: str) -> bool:
        """Return whether a token names a key that isn't loaded. It may be a new one."""
        if self.algorithm == "HS256":
            return False  # its only key has no `kid`
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return False
        return kid is not None and not self._keys_named(kid)

    def _decode(self, token: str) -> AccessClaims | None:
        try:
            payload = self._payload(token)
            if payload["typ"] != "access" or payload["iat"] > timestamp():
                return None
            claims = AccessClaims(
                UUID(payload["sub"]), UUID(payload["sid"]), int(payload["exp"])
            )
        except (
            jwt.InvalidTokenError,
            ValueError,
            TypeError,
            AttributeError,
            LookupError,
        ):
            return None
        self._cache(token, claims)
        return claims

    def _payload(self, token: str) -> dict[str, Any]:
        keys = self._keys_named(jwt.get_unverified_header(token).get("kid"))
        for key in keys[:-1]:
            with suppress(jwt.InvalidSignatureError):
                return self._payload_by(key, token)
        return self._payload_by(keys[-1], token)

    def _keys_named(self, kid: object) -> list[TokenKey]:
        """Return the keys that may have signed a token; for HS256 `kid` is None."""
        return [key for key in self.keys if key.kid == kid]

    def _payload_by(self, key: TokenKey, token: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.public,
            algorithms=[self.algorithm],
            audience=self._AUDIENCE,
            issuer=self._issuer,
            # `verify` and `_decode` check these with our clock, which tests can stop.
            options={
                "require": list(self._REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
            },
        )

    def _cache(self, token: str, claims: AccessClaims) -> None:
        if len(self._verified) >= self._MAX_CACHED:
            self._verified.pop(next(iter(self._verified)))  # the oldest
        self._verified[token] = claims
