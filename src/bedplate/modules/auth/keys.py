"""Key pairs for EdDSA and ES256: stored in the database, shared by all processes."""

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property, partial
from typing import Any
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from bedplate.config import PREFIX, Settings, SettingsError
from bedplate.core.clock import utc_now
from bedplate.core.errors import NotFound
from bedplate.core.security import AccessTokens, TokenKey
from bedplate.database import Session
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.models import SigningKey
from bedplate.modules.auth.repository import SigningKeyRepository
from bedplate.runtime import Runtime

RELOAD_SECONDS = 1
"""The maximum age of a process's keys when it signs or accepts a token."""
_OVERLAP = timedelta(minutes=2)
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8


class KeyService:
    """Creates, rotates, revokes and publishes signing keys."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.keys = SigningKeyRepository(session)
        self.audit = AuditService(session)
        self.settings = settings

    async def load(self) -> list[TokenKey]:
        """Return the keys whose tokens are accepted, the one to sign with first.

        If there is none to sign with, one is created. Two processes that start at the
        same time may create one each: both are accepted.

        Raises:
            SettingsError: the keys were encrypted with another secret key.
        """
        rows = await self.keys.usable(self.settings.jwt_algorithm, utc_now())
        if not any(row.retires_at is None for row in rows):
            rows = [await self._make(), *rows]
        return [self._opened(row) for row in rows]

    async def rotate(self) -> SigningKey:
        """Sign with a new key from now on. Tokens of old keys stay valid until expiry.

        Other processes sign with the old key for another second, and their clocks may
        differ, so it retires two minutes after the last token that it can have signed.
        """
        await self.keys.lock_all()
        await self.reencrypt()
        algorithm = self.settings.jwt_algorithm
        # Locked: a key that is revoked meanwhile is skipped and not written back.
        rows = await self.keys.usable(algorithm, utc_now(), lock=True)
        retires_at = utc_now() + self.settings.access_token_lifetime + _OVERLAP
        for row in rows:
            row.retires_at = row.retires_at or retires_at
        new = await self._make()
        await self._record(Action.KEYS_ROTATED, new.kid)
        return new

    async def revoke(self, kid: str) -> str | None:
        """Delete a key, so that no process accepts its tokens one second later.

        Returns:
            The name of the new key, if the revoked one was the last to sign with.

        Raises:
            NotFound: there is no such key.
        """
        await self.keys.lock_all()
        row = await self.keys.get(kid, lock=True)
        if row is None:
            raise NotFound(
                f"There is no signing key {kid!r}. `bedplate keys list` shows them"
            )
        await self.keys.delete(row)
        await self._record(Action.KEY_REVOKED, kid)
        rows = await self.keys.usable(self.settings.jwt_algorithm, utc_now())
        if any(other.retires_at is None for other in rows):
            return None
        return (await self._make()).kid

    async def list_all(self) -> Sequence[SigningKey]:
        """Return every stored key, newest first."""
        return await self.keys.list_all()

    async def reencrypt(self) -> None:
        """Encrypt keys with the current secret key that a previous one encrypted.

        Raises:
            SettingsError: a key was encrypted with an unknown secret key.
        """
        await self.keys.lock_all()
        for row in await self.keys.list_all(lock=True):
            if not self._is_current(row):
                row.private_key = self._encrypt(self._decrypt(row))

    async def _record(self, action: Action, kid: str) -> None:
        await self.audit.record(action, actor_id=None, subject_id=None, kid=kid)

    async def _make(self) -> SigningKey:
        algorithm = self.settings.jwt_algorithm
        private = (
            ed25519.Ed25519PrivateKey.generate()
            if algorithm == "EdDSA"
            else ec.generate_private_key(ec.SECP256R1())
        )
        pem = private.private_bytes(_PEM, _PKCS8, serialization.NoEncryption())
        row = SigningKey(
            kid=uuid4().hex, algorithm=algorithm, private_key=self._encrypt(pem)
        )
        return await self.keys.add(row)

    def _opened(self, row: SigningKey) -> TokenKey:
        pem = self._decrypt(row)
        private: Any = serialization.load_pem_private_key(pem, password=None)
        return TokenKey(row.kid, private, private.public_key())

    def _encrypt(self, pem: bytes) -> str:
        return self._ciphers[0].encrypt(pem).decode()

    def _decrypt(self, row: SigningKey) -> bytes:
        try:
            return MultiFernet(self._ciphers).decrypt(row.private_key)
        except InvalidToken:
            raise SettingsError(
                f"{PREFIX}SECRET_KEY: the keys in signing_keys were encrypted with "
                f"another one. Add that one to {PREFIX}PREVIOUS_SECRET_KEYS"
            ) from None

    def _is_current(self, row: SigningKey) -> bool:
        try:
            self._ciphers[0].decrypt(row.private_key)
        except InvalidToken:
            return False
        return True

    @cached_property
    def _ciphers(self) -> list[Fernet]:
        keys = self.settings.keys_for("signing keys at rest")
        return [Fernet(base64.urlsafe_b64encode(key)) for key in keys]


def public_key_set(algorithm: str, keys: Sequence[TokenKey]) -> dict[str, Any]:
    """Return the JSON Web Key Set (RFC 7517); empty for HS256, whose key is secret."""
    kind: Any = OKPAlgorithm if algorithm == "EdDSA" else ECAlgorithm
    return {
        "keys": [
            {
                **json.loads(kind.to_jwk(key.public)),
                "kid": key.kid,
                "alg": algorithm,
                "use": "sig",
            }
            for key in keys
            if key.kid is not None
        ]
    }


async def load_keys(runtime: Runtime) -> None:
    """Load the keys when a process starts, and re-encrypt them with the current secret.

    Raises:
        SettingsError: they were encrypted with another secret key.
    """
    tokens = runtime.tokens
    if tokens.algorithm == "HS256":
        return
    started = time.monotonic()
    async with runtime.database.unit_of_work() as session:
        service = KeyService(session, runtime.settings)
        await service.reencrypt()
        tokens.use(await service.load())
    tokens.loaded_at = started


async def refresh_keys(runtime: Runtime, *, since: float | None = None) -> None:
    """Reload keys that were created, retired or revoked up to a second ago.

    A token is signed or accepted only after this, so that every process refuses a
    revoked key within a second. It costs a process one small statement a second;
    HS256, whose key is the secret, costs none. With `since` the keys are reloaded if
    they are older than that instant of `time.monotonic`.

    Raises:
        ServiceUnavailable: the database does not answer, so no key can be trusted.
    """
    tokens = runtime.tokens
    oldest = time.monotonic() - RELOAD_SECONDS if since is None else since
    while tokens.algorithm != "HS256" and tokens.loaded_at <= oldest:
        if tokens.loading is None:
            # One task for all requests: while the database hangs, they must not wait
            # for a timeout each, one after another.
            tokens.loading = asyncio.create_task(_reload(runtime))
            tokens.loading.add_done_callback(partial(_end_loading, tokens))
        await asyncio.shield(tokens.loading)


def _end_loading(tokens: AccessTokens, task: asyncio.Task[None]) -> None:
    tokens.loading = None
    if not task.cancelled():
        task.exception()  # retrieved, also if every waiting request was cancelled


async def _reload(runtime: Runtime) -> None:
    tokens, settings = runtime.tokens, runtime.settings
    started = time.monotonic()  # before the statement, which may miss later changes
    async with runtime.database.unit_of_work() as session:
        service = KeyService(session, settings)
        names = await service.keys.usable_names(tokens.algorithm, utc_now())
        if names != [key.kid for key in tokens.keys]:
            tokens.use(await service.load())
    tokens.loaded_at = started


async def reload_for(runtime: Runtime, token: str) -> bool:
    """Reload the keys if a token names an unknown one. Return whether it did.

    At most once a second, since any client can name an unknown key. The key may be new,
    so a token that comes earlier waits for the next reload.
    """
    arrived = time.monotonic()
    if not runtime.tokens.is_of_unknown_key(token):
        return False
    await asyncio.sleep(runtime.tokens.loaded_at + RELOAD_SECONDS - arrived)
    await refresh_keys(runtime, since=arrived)
    return True
