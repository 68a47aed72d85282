"""The table of roles and permissions, without an application."""

import pytest

from bedplate.core.permissions import Permission, Permissions, UnknownPermission

READ = Permission("things:read", "Read things.", frozenset({"editor"}))
WRITE = Permission("things:write", "Change things.")


def test_only_roles_that_a_declaration_or_a_grant_names_have_a_permission() -> None:
    assert WRITE.roles == frozenset()
    table = Permissions(
        [READ, WRITE], {"editor": ["things:write"], "reader": [READ.name]}
    )

    assert table.of("editor") == {"things:read", "things:write"}
    assert table.of("reader") == {"things:read"}
    assert table.of("user") == table.of("") == frozenset()
    assert table.declared == {"things:read": READ, "things:write": WRITE}


def test_the_error_names_a_granted_permission_that_is_not_declared() -> None:
    with pytest.raises(UnknownPermission, match="'things:fly' of the role 'editor'"):
        Permissions([READ], {"editor": ["things:read", "things:fly"]})
