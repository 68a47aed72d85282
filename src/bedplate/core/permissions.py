"""Permissions, and the roles that have them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

ADMIN = "admin"
USER = "user"


class Permission(NamedTuple):
    """A right that a role can have; the role `admin` has every one.

    WRITE_ANY = Permission("posts:write_any", "Change and delete anybody's posts.")
    """

    name: str
    description: str
    roles: frozenset[str] = frozenset()
    """Who has it unless the settings say more."""


ENTER_ADMIN = Permission("admin:enter", "Use the admin site.")


class UnknownPermission(ValueError):
    """A role is granted what no module declares; the text names it."""


class Permissions:
    """The one table of roles and rights, which every framework reads.

    `grants` add to what the declarations give to roles by themselves.

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
                raise UnknownPermission(f"no module declares {name!r}, for {role!r}")
        self._granted[role] = self.of(role).union(names)

    def allow(self, role: str, permission: Permission) -> bool:
        """Whether whoever has this role may do that."""
        return role == ADMIN or permission.name in self.of(role)

    def of(self, role: str) -> frozenset[str]:
        """The names of what is granted to a role; `admin` needs none of them."""
        return self._granted.get(role, frozenset())
