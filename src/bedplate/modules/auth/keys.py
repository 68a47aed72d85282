"""The key pairs of EdDSA and ES256: kept in the database, shared by all processes."""

import asyncio
import base64
import json
import math
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from bedplate.config import PREFIX, Settings, SettingsError
from bedplate.core.clock import utc_now
from bedplate.core.security import TokenKey
from bedplate.database import Session
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.models import SigningKey
from bedplate.modules.auth.repository import SigningKeyRepository
from bedplate.runtime import Runtime

# How long other processes may go on signing with a key after it was rotated away.
RELOAD_SECONDS = 60
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8


class KeyService:
    """Makes, rotates and publishes signing keys."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.keys = SigningKeyRepository(session)
        self.audit = AuditService(session)
        self.settings = settings

    async def load(self) -> list[TokenKey]:
        """The keys whose tokens are good, the signing one first; made if there is none.

        Two processes that start at once may make one each: both are good.

        Raises:
            SettingsError: they were encrypted with another secret key.
        """
        algorithm = self.settings.jwt_algorithm
        rows = await self.keys.usable(algorithm, utc_now())
        if not any(row.retires_at is None for row in rows):
            rows = [await self._make(), *rows]
        rows = sorted(rows, key=lambda row: row.retires_at is not None)
        return [self._opened(row) for row in rows]

    async def rotate(self) -> SigningKey:
        """Sign with a new key from now on; the old ones' tokens stay good till expiry.

        Other processes take the new key up within a minute; meanwhile the old one
        signs, so it retires a minute after the last token that it can have signed.
        """
        rows = await self.keys.usable(self.settings.jwt_algorithm, utc_now())
        overlap = timedelta(seconds=2 * RELOAD_SECONDS)
        retires_at = utc_now() + self.settings.access_token_lifetime + overlap
        for row in rows:
            row.retires_at = row.retires_at or retires_at
        new = await self._make()
        await self.audit.record(
            Action.KEYS_ROTATED, actor_id=None, subject_id=None, kid=new.kid
        )
        return new

    async def _make(self) -> SigningKey:
        algorithm = self.settings.jwt_algorithm
        private = (
            ed25519.Ed25519PrivateKey.generate()
            if algorithm == "EdDSA"
            else ec.generate_private_key(ec.SECP256R1())
        )
        pem = private.private_bytes(_PEM, _PKCS8, serialization.NoEncryption())
        encrypted = self._cipher.encrypt(pem).decode()
        row = SigningKey(kid=uuid4().hex, algorithm=algorithm, private_key=encrypted)
        return await self.keys.add(row)

    def _opened(self, row: SigningKey) -> TokenKey:
        try:
            pem = self._cipher.decrypt(row.private_key.encode())
        except InvalidToken:
            reason = "the keys in signing_keys were encrypted with another one"
            raise SettingsError(f"{PREFIX}SECRET_KEY: {reason}") from None
        private: Any = serialization.load_pem_private_key(pem, password=None)
        return TokenKey(row.kid, private, private.public_key())

    @property
    def _cipher(self) -> Fernet:
        key = self.settings.key_for("signing keys at rest")
        return Fernet(base64.urlsafe_b64encode(key))


def public_key_set(algorithm: str, keys: Sequence[TokenKey]) -> dict[str, Any]:
    """The JSON Web Key Set (RFC 7517); empty for HS256, whose key is a secret."""
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


async def load_keys(runtime: Runtime, *, since: float = math.inf) -> None:
    """Take up the keys as the database has them, unless that was done since then."""
    tokens = runtime.tokens
    if tokens.algorithm == "HS256":
        return
    async with tokens.loading:
        if tokens.loaded_at >= since:
            return
        tokens.loaded_at = time.monotonic()
        async with runtime.database.unit_of_work() as session:
            keys = await KeyService(session, runtime.settings).load()
        if [key.kid for key in keys] != [key.kid for key in tokens.keys]:
            tokens.use(keys)


async def reload_if_due(runtime: Runtime, seconds: float = RELOAD_SECONDS) -> None:
    """Take up what another process rotated so long ago, before signing."""
    await load_keys(runtime, since=time.monotonic() - seconds)


async def reload_for(runtime: Runtime, token: str) -> bool:
    """Whether the keys were loaded since the token came: then verify it again.

    Once a second at the most, as to name an unknown key is easy; but the key may be
    new, so who comes earlier waits for the next load.
    """
    came = time.monotonic()
    if not runtime.tokens.is_of_unknown_key(token):
        return False
    await asyncio.sleep(runtime.tokens.loaded_at + 1 - came)
    await load_keys(runtime, since=came)
    return True
