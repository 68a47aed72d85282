"""The table of roles and rights, without an application."""

import pytest

from bedplate.core.permissions import Permission, Permissions, UnknownPermission

READ = Permission("things:read", "Read things.", frozenset({"editor"}))
WRITE = Permission("things:write", "Change things.")


def test_a_permission_is_nobody_s_but_the_roles_that_it_or_a_grant_names() -> None:
    assert WRITE.roles == frozenset()
    table = Permissions(
        [READ, WRITE], {"editor": ["things:write"], "reader": [READ.name]}
    )

    assert table.of("editor") == {"things:read", "things:write"}
    assert table.of("reader") == {"things:read"}
    assert table.of("user") == table.of("") == frozenset()
    assert table.declared == {"things:read": READ, "things:write": WRITE}


def test_a_grant_of_what_is_not_declared_is_refused_by_name() -> None:
    with pytest.raises(UnknownPermission, match="'things:fly' of the role 'editor'"):
        Permissions([READ], {"editor": ["things:read", "things:fly"]})
