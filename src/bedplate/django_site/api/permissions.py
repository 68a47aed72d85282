"""REST framework permissions, by the table of roles and permissions."""

from typing import Any

from rest_framework.permissions import AllowAny, BasePermission

from bedplate.caller import Caller
from bedplate.core.permissions import Permission

__all__ = ["AllowAny", "IsAdmin", "IsSignedIn", "caller_of", "requires"]


def caller_of(request: Any) -> Caller | None:
    """Return the caller of a request, or None without credentials."""
    caller: Caller | None = getattr(request.user, "caller", None)
    return caller


class IsSignedIn(BasePermission):
    """Allows any signed-in caller."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return caller_of(request) is not None


class IsAdmin(BasePermission):
    """Allows admins."""

    def has_permission(self, request: Any, view: Any) -> bool:
        caller = caller_of(request)
        return caller is not None and caller.is_admin


def requires(permission: Permission) -> type[BasePermission]:
    """Return a permission class that allows roles with a permission.

    permission_classes = [requires(READ_REPORTS)]
    """

    class HasPermission(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            caller = caller_of(request)
            return caller is not None and caller.may(permission)

    return HasPermission
