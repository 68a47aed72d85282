"""Passwords and access tokens.

Passwords: Argon2id at OWASP's minimum (Password Storage Cheat Sheet: m=19 MiB, t=2,
p=1), always in a small thread pool with a bounded queue that is fair between accounts,
since a hash costs some 45 ms of one core.
Tokens: JWT as RFC 8725 asks for it: the algorithm is ours to choose, never the token's,
and `typ` and `aud` keep one kind of token from being taken for another.
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
# As many at once as there are cores: more would only wait, each holding 19 MiB. At
# some 45 ms a hash a full queue is served in five seconds, and 50 wrong passwords for
# one account at once are all answered.
_CORES: Final = os.cpu_count() or 1
hashing: Final = FairQueue(
    threads=_CORES,
    max_per_key=64,
    max_waiting=100 * _CORES,
    timeout=15,
    name="argon2",
)
# Verified when there is no account, so that an unknown address costs the same time.
_NO_ACCOUNT: Final = _passwords.hash(os.urandom(16).hex())


class PasswordCheck(NamedTuple):
    """Whether a password was right; `new_hash` when its hash should be replaced."""

    ok: bool
    new_hash: str | None


async def hash_password(password: str, *, key: str | None = None) -> str:
    """Hash a password for storing, off the event loop.

    Hashing is served in turn by `key`; by default that is the client's address.

    Raises:
        ServiceUnavailable: too many hashes are waiting, of this key or in all.
    """
    return await hashing.run(key or client_block(), _passwords.hash, password)


async def check_password(
    password: str, stored: str | None, *, key: str | None = None
) -> PasswordCheck:
    """Compare off the event loop; `None` (no account) is false after the same time.

    Raises:
        ServiceUnavailable: too many hashes are waiting, of this key or in all.
    """
    return await hashing.run(key or client_block(), _compare, password, stored)


def hash_password_blocking(password: str, *, key: str | None = None) -> str:
    """`hash_password` for a thread that may block."""
    return hashing.run_blocking(key or client_block(), _passwords.hash, password)


def check_password_blocking(
    password: str, stored: str | None, *, key: str | None = None
) -> PasswordCheck:
    """`check_password` for a thread that may block."""
    return hashing.run_blocking(key or client_block(), _compare, password, stored)


def _compare(password: str, stored: str | None) -> PasswordCheck:
    try:
        ok, new_hash = _passwords.verify_and_update(password, stored or _NO_ACCOUNT)
    except UnknownHashError:
        # A hash of another make (an import, a locked account): spend the same time.
        _passwords.verify(password, _NO_ACCOUNT)
        return PasswordCheck(ok=False, new_hash=None)
    ok = ok and stored is not None
    return PasswordCheck(ok=ok, new_hash=new_hash if ok else None)


def new_token() -> str:
    """An opaque token of 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is stored of an opaque token. It is random, so a plain hash will do."""
    return hashlib.sha256(token.encode()).hexdigest()


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose (HKDF-Expand, RFC 5869, one block).

    `secret` is already uniformly random, so HKDF's extract step is not needed.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha256)


class AccessClaims(NamedTuple):
    """What a verified access token says."""

    user_id: UUID
    session_id: UUID
    expires_at: int


class TokenKey(NamedTuple):
    """A key that access tokens are signed with. HS256's have no name."""

    kid: str | None
    private: Any
    public: Any


class AccessTokens:
    """Issues access tokens and verifies them.

    A token whose signature was verified is remembered, so the signature of each token
    is checked once and its expiry every time. Whether its session still lives is not
    the token's to say: the caller of `verify` reads that from the database.
    """

    _REMEMBERED = 10_000
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
        """Sign with the first of these keys, and accept all of them, from now on."""
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
        """The claims of a token of ours that has not expired, else None."""
        claims = self._verified.get(token) or self._decode(token)
        if claims is None or claims.expires_at <= timestamp():
            return None
        return claims

    def is_of_unknown_key(self, token: str) -> bool:
        """Whether a token names a key that isn't here; it may be a new one."""
        if self.algorithm == "HS256":
            return False  # its one key has no name
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
        self._remember(token, claims)
        return claims

    def _payload(self, token: str) -> dict[str, Any]:
        keys = self._keys_named(jwt.get_unverified_header(token).get("kid"))
        for key in keys[:-1]:
            with suppress(jwt.InvalidSignatureError):
                return self._payload_by(key, token)
        return self._payload_by(keys[-1], token)

    def _keys_named(self, kid: object) -> list[TokenKey]:
        """Return the keys that may have signed a token: HS256's have no name."""
        return [key for key in self.keys if key.kid == kid]

    def _payload_by(self, key: TokenKey, token: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.public,
            algorithms=[self.algorithm],
            audience=self._AUDIENCE,
            issuer=self._issuer,
            # `verify` and `_decode` compare these with the one clock.
            options={
                "require": list(self._REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
            },
        )

    def _remember(self, token: str, claims: AccessClaims) -> None:
        if len(self._verified) >= self._REMEMBERED:
            self._verified.pop(next(iter(self._verified)))  # the oldest
        self._verified[token] = claims
