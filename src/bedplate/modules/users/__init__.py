"""Accounts: who they are and what role they have."""

from bedplate.module import Module
from bedplate.modules.users.models import User
from bedplate.modules.users.router import router

module = Module(name="users", router=router, models=[User], requires=["emails"])
