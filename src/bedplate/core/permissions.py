"""Permissions, and the roles that they are granted to."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

ADMIN = "admin"
USER = "user"


class Permission(NamedTuple):
    """A right that can be granted to a role. The role `admin` has all of them.

    WRITE_ANY = Permission("posts:write_any", "Change and delete anybody's posts.")
    """

    name: str
    description: str
    roles: frozenset[str] = frozenset()
    """The roles that have it by default. The settings may grant it to more."""


ENTER_ADMIN = Permission("admin:enter", "Use the admin site.")


class UnknownPermission(ValueError):
    """A role is granted a permission that no module declares. The message names it."""


class Permissions:
    """The table of roles and their permissions, which every framework reads.

    `grants` are added to the roles that the declarations name.

    Raises:
        UnknownPermission
    """

    def __init__(
        self, declared: Iterable[Permission], grants: Mapping[str, Iterable[str]]
    ) -> None:
        self.declared = {permission.name: permission for permission in declared}
        self._granted: dict[str, frozenset[str]] = {}
        for permission in self.declared.values():
            for role in permission.roles:
                self._grant(role, [permission.name])
        for role, names in grants.items():
            self._grant(role, names)

    def _grant(self, role: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.declared:
                raise UnknownPermission(
                    f"no module declares the permission {name!r} of the role {role!r}"
                )
        self._granted[role] = self.of(role).union(names)

    def allow(self, role: str, permission: Permission) -> bool:
        """Return whether a role has a permission."""
        return role == ADMIN or permission.name in self.of(role)

    def of(self, role: str) -> frozenset[str]:
        """Return the names of a role's permissions. `admin` needs none of them."""
        return self._granted.get(role, frozenset())
