"""The rules that every new password has to pass, whichever door it comes by."""

import asyncio
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bedplate.config import PREFIX, Settings, SettingsError
from bedplate.core.password_policy import POLICIES

if TYPE_CHECKING:  # it loads an HTTP client, which most deployments don't need
    from bedplate.breached import BreachedPasswords


class PasswordPolicy(Protocol):
    """What `BEDPLATE_PASSWORD_POLICY` names: a policy of ours or a function of yours.

    def check(password: str, *, email: str, name: str) -> list[str]: ...
    """

    def __call__(self, password: str, *, email: str, name: str) -> Sequence[str]:
        """Return what is wrong, as sentences for the user; empty if nothing is.

        It runs in a thread, so it may wait. A text must not repeat the password.
        """


class PasswordRules:
    """The policy and, if one is set, the check against breached passwords."""

    def __init__(
        self, policy: PasswordPolicy, breached: "BreachedPasswords | None" = None
    ) -> None:
        self._policy = policy
        self._breached = breached

    async def problems(self, password: str, *, email: str, name: str) -> list[str]:
        """Return what is wrong with a new password of an account.

        No transaction may be under way: it may wait for another service.
        """
        # In a thread: the first call loads the list of common passwords.
        found = await asyncio.to_thread(self._policy, password, email=email, name=name)
        if not found and self._breached and await self._breached.contains(password):
            return ["That password is known from a data breach. Choose another one"]
        return [found] if isinstance(found, str) else list(found)

    async def close(self) -> None:
        if self._breached is not None:
            await self._breached.close()


def load_policy(settings: Settings) -> PasswordPolicy:
    """Return the password policy that the settings name.

    Raises:
        SettingsError: it can't be imported, or can't be called as a policy is.
    """
    name = settings.password_policy
    if name in POLICIES:
        return POLICIES[name]
    try:
        policy = _import(name)
        inspect.signature(policy).bind("password", email="email", name="name")
    except Exception as error:  # noqa: BLE001, whatever the import of their module raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"{PREFIX}PASSWORD_POLICY: {name!r} is not a function that takes "
            f"(password, *, email, name): {reason}"
        ) from None
    found: PasswordPolicy = policy
    return found


def _import(name: str) -> Any:
    # A console script's path begins with its own folder, not with this one.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
