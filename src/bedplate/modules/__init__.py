"""The built-in modules, lowest first. A user's module can do all that these do."""

from bedplate.modules.audit import module as audit
from bedplate.modules.auth import module as auth
from bedplate.modules.users import module as users

BUILT_IN = (audit, users, auth)

__all__ = ["BUILT_IN", "audit", "auth", "users"]
