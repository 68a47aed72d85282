"""Accounts and sessions in the admin site. They are here because of the reset."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from bedplate.admin import Action, Admin, Form, Stat
from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.auth.sign_in import SignInService
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.schemas import NewPassword, UserCreate, UserUpdate
from bedplate.modules.users.service import UserService
from bedplate.schemas import NOT_SENT


class UserForm(UserUpdate):
    """The fields of an account that an admin changes on one page."""

    is_active: bool = NOT_SENT
    password: Annotated[
        NewPassword | None,
        Field(description="A new password. Leave it empty to keep the present one."),
    ] = None


async def prepare_change(
    users: UserService, user_id: UUID, data: UserForm, caller: Caller
) -> Mapping[str, Any]:
    """Check and hash the new password, if there is one."""
    changes = data.changes()
    if not changes.get("password"):
        changes.pop("password", None)  # an empty input keeps the present password
    return await users.prepare(user_id, changes, caller.id)


async def change_user(
    users: UserService, user_id: UUID, changes: Mapping[str, Any], caller: Caller
) -> None:
    """Apply all changes, or none."""
    await users.update_as_admin(user_id, changes, caller)


async def activate(users: UserService, user_id: UUID, caller: Caller) -> None:
    await users.activate(user_id, caller.id)


async def deactivate(users: UserService, user_id: UUID, caller: Caller) -> None:
    await users.deactivate(user_id, caller.id)


async def send_reset(recovery: RecoveryService, user_id: UUID, caller: Caller) -> None:
    """Send a link to choose a new password."""
    await recovery.send_reset(user_id)


user = Admin(
    User,
    list_display=[
        "email",
        "name",
        "role",
        "is_active",
        "created_at",
    ],
    list_filter=["role", "is_active", "created_at"],
    search=["email", "name"],
    ordering=["-created_at"],
    service=UserService,
    create=Form(UserCreate, UserService.register),
    update=Form(UserForm, change_user, prepare_change),
    delete=UserService.delete,
    choices={"role": lambda settings: settings.roles},
    actions=[
        Action("Activate", activate, when=lambda user: not user.is_active),
        Action(
            "Deactivate",
            deactivate,
            when=lambda user: user.is_active,
            is_dangerous=True,
        ),
        Action("Send password reset", send_reset, service=RecoveryService),
        Action("Unlock sign-in", SignInService.unlock, service=SignInService),
        Action("Revoke sessions", UserService.revoke_sessions, is_dangerous=True),
    ],
    stats=[Stat("Users"), Stat("Active users", {"is_active": True})],
)
user_session = Admin(
    UserSession,
    name="Session",
    list_display=["created_at", "user", "ip", "user_agent", "expires_at"],
    list_filter=["created_at"],
    search=["ip", "user_agent"],
    ordering=["-last_used_at"],
    service=UserService,
    delete=UserService.end_session,
    actions=[Action("End", UserService.end_session, is_dangerous=True)],
    stats=[Stat("Active sessions", {"expires_at__gt": utc_now})],
)
