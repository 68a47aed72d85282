"""Password checks, and the rate limits of wrong passwords."""

from contextlib import suppress
from uuid import UUID

from bedplate.core.clock import utc_now
from bedplate.core.device_cookies import GROUPS, Device
from bedplate.core.errors import RateLimited
from bedplate.core.origin import client_block
from bedplate.core.security import PasswordCheck, check_password
from bedplate.jobs import enqueue
from bedplate.limits import Hit, hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.repository import Account
from bedplate.modules.auth.tasks import send_sign_in_limited
from bedplate.modules.users.schemas import normalize_email
from bedplate.runtime import Runtime

# A reset marks its client's address for this long (a used-up limit is the mark), and
# wrong passwords from there are counted under a limit of their own meanwhile.
_RESET = "1 per 15 minutes"
_TRIES_AFTER_RESET = "20 per 15 minutes"


class SignInLimits:
    """The limits of signing in to one account.

    An account is identified by its address, so that addresses without one are counted
    the same way. Unknown clients share one limit for each account. When it is used up,
    other unknown clients are refused, but not the clients that have signed in before,
    which send a device cookie, nor the client that has just reset the password: these
    have limits of their own.
    """

    def __init__(self, runtime: Runtime, email: str) -> None:
        settings, key = runtime.settings, account_key(email)
        self._limits = runtime.limits
        self._per_account = settings.limit_failed_sign_ins_per_account
        per_address, client = settings.limit_failed_sign_ins_per_address, client_block()
        self._strangers = hit(self._per_account, "sign-in", "account", key)
        self._address = hit(per_address, "sign-in", "address", client)
        self._reset = hit(_RESET, "sign-in", "reset", key, client)
        self._after_reset = hit(_TRIES_AFTER_RESET, "sign-in", "after", key, client)

    async def choose(
        self, account: Account | None, device: Device | None
    ) -> tuple[Hit, ...]:
        """Return the limits that a wrong password of this client counts against.

        The first is the account's limit.
        """
        if account is not None and device is not None and device.user_id == account.id:
            return (self._of_device(account.id, device.group),)
        if await self._limits.is_used_up(self._reset):
            return (self._after_reset,)
        return (self._strangers, self._address)

    async def let_in_after_reset(self, user_id: UUID) -> None:
        """Lift the limit, and give this client a limit of its own for a while."""
        await self.lift(user_id)
        await self._limits.clear(self._reset, self._after_reset)
        with suppress(RateLimited):  # another reset marked it in between
            await self._limits.count(self._reset)

    async def lift(self, user_id: UUID) -> None:
        """Clear the account's wrong passwords, including those of its devices."""
        devices = (self._of_device(user_id, group) for group in range(GROUPS))
        await self._limits.clear(self._strangers, *devices)

    def _of_device(self, user_id: UUID, group: int) -> Hit:
        return hit(self._per_account, "sign-in", "device", str(user_id), str(group))


def session_hit(runtime: Runtime, session_id: UUID) -> Hit:
    """Return the limit of a wrong current password: that of its session alone.

    Wrong passwords at sign-in must not lock out the account's open sessions.
    """
    limit = runtime.settings.limit_failed_sign_ins_per_account
    return hit(limit, "password", "session", str(session_id))


class PasswordGuard:
    """Compares a password, and counts failures.

    Failures are counted after the comparison and checked before and after it. So of
    many guesses at the same time only as many learn anything as the limit allows, while
    any number of right passwords succeed.
    """

    def __init__(
        self, runtime: Runtime, email: str, *hits: Hit, notifies: bool = False
    ) -> None:
        self._runtime = runtime
        self._key = account_key(email)
        self._hits = hits
        self._notifies = notifies

    async def check(
        self,
        password: str,
        account: Account | None,
        failure: Action,
        refusal: Exception,
    ) -> PasswordCheck:
        """Return the check of a right password.

        No transaction may be open.

        Raises:
            RateLimited: too many failures, of this account or from this address.
            ServiceUnavailable: too many passwords wait for their comparison.
            Exception: `refusal`, after the failure is counted and recorded.
        """
        await self._runtime.limits.check(*self._hits)
        stored = account.hashed_password if account else None
        check = await check_password(password, stored, key=self._key)
        if not check.ok:
            await self._record(failure, account)
            await self.count()
            raise refusal
        await self._runtime.limits.check(*self._hits)
        return check

    async def count(self) -> None:
        """Count a failure. Notify the owner if it uses up the account's limit.

        Raises:
            RateLimited: the limit was used up before.
        """
        try:
            await self._runtime.limits.count(*self._hits)
        finally:
            if self._notifies and await self._runtime.limits.is_used_up(self._hits[0]):
                await self._notify()

    async def _notify(self) -> None:
        """Send the notice at most once a day, if the job finds an account."""
        async with self._runtime.database.unit_of_work() as separate:
            key = f"{self._key} {utc_now():%Y-%m-%d}"
            await enqueue(separate, send_sign_in_limited, key=key, email=self._key)

    async def _record(self, failure: Action, account: Account | None) -> None:
        """Record a failure in a transaction of its own, which no error can undo."""
        async with self._runtime.database.unit_of_work() as separate:
            await AuditService(separate).record(
                failure, actor_id=None, subject_id=account.id if account else None
            )


def account_key(email: str) -> str:
    """Return one key for all spellings of an address, with or without an account."""
    try:
        return normalize_email(email)
    except ValueError:
        return email.strip().lower()
