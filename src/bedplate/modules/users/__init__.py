"""Accounts: who they are, what role they have, where they are signed in."""

from bedplate.module import Module
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.router import router

module = Module(
    name="users",
    router=router,
    rest="bedplate.viewsets.users",
    models=[User, UserSession],
    requires=["audit", "emails"],
)
