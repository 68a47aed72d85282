"""Rules for new passwords, wherever they are set: API, admin or command."""

import asyncio
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bedplate.config import PREFIX, Settings, SettingsError
from bedplate.core.password_policy import POLICIES

if TYPE_CHECKING:  # it imports an HTTP client, which most deployments don't need
    from bedplate.breached import BreachedPasswords


class PasswordPolicy(Protocol):
    """A password policy: a built-in one, or the function that you write.

    def check(password: str, *, email: str, name: str) -> list[str]: ...
    """

    def __call__(self, password: str, *, email: str, name: str) -> Sequence[str]:
        """Return the problems of a password as sentences for the user.

        It runs in a thread, so it may block. A sentence must not repeat the password.
        """


class PasswordRules:
    """The policy and, if it is configured, the check against breached passwords."""

    def __init__(
        self, policy: PasswordPolicy, breached: "BreachedPasswords | None" = None
    ) -> None:
        self._policy = policy
        self._breached = breached

    async def problems(self, password: str, *, email: str, name: str) -> list[str]:
        """Return the problems of a new password, as sentences for the user.

        Call it outside a transaction: it may wait for another service.
        """
        # In a thread: the first call loads the list of common passwords.
        problems = await asyncio.to_thread(
            self._policy, password, email=email, name=name
        )
        if not problems and self._breached and await self._breached.contains(password):
            return ["That password is known from a data breach. Choose another one"]
        return [problems] if isinstance(problems, str) else list(problems)

    async def close(self) -> None:
        if self._breached is not None:
            await self._breached.close()


def load_policy(settings: Settings) -> PasswordPolicy:
    """Return the password policy of the settings.

    Raises:
        SettingsError: it can't be imported, or doesn't take a policy's parameters.
    """
    name = settings.password_policy
    if name in POLICIES:
        return POLICIES[name]
    try:
        policy = _import(name)
        inspect.signature(policy).bind("password", email="email", name="name")
    except Exception as error:  # noqa: BLE001, importing a module can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"{PREFIX}PASSWORD_POLICY: {name!r} is not a function that takes "
            f"(password, *, email, name): {reason}"
        ) from None
    checked: PasswordPolicy = policy
    return checked


def _import(name: str) -> Any:
    # `sys.path` of a console script starts with the script's folder, not with this one.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
