"""Who may ask for what, by the one table of roles and rights."""

from typing import Any

from rest_framework.permissions import AllowAny, BasePermission

from bedplate.caller import Caller
from bedplate.core.permissions import Permission

__all__ = ["AllowAny", "IsAdmin", "IsSignedIn", "caller_of", "requires"]


def caller_of(request: Any) -> Caller | None:
    """Who sent a request; None is a stranger."""
    caller: Caller | None = getattr(request.user, "caller", None)
    return caller


class IsSignedIn(BasePermission):
    """Anybody but a stranger."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return caller_of(request) is not None


class IsAdmin(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        caller = caller_of(request)
        return caller is not None and caller.is_admin


def requires(permission: Permission) -> type[BasePermission]:
    """A permission class: whose role has this right.

    permission_classes = [requires(READ_REPORTS)]
    """

    class HasPermission(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            caller = caller_of(request)
            return caller is not None and caller.may(permission)

    return HasPermission
