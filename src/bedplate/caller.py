"""`Caller`: the signed-in user of a request, and the visible fields of accounts.

To add a column that every account shows, add it to the model, to `Account` and by a
migration. Responses, lists, the caller and Django's user follow from `Account`.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, WithJsonSchema

from bedplate.core.permissions import ADMIN, Permission
from bedplate.schemas import ResponseSchema

# Documented as an address, and not validated again: it was, on its way in.
StoredEmail = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "email"}),
    Field(description="The email address, in lower case."),
]


class Account(ResponseSchema, frozen=True):
    """The fields of an account that its owner and admins may see."""

    id: UUID
    email: StoredEmail
    name: Annotated[str, Field(description="The name that others see.")]
    role: Annotated[
        str, Field(description="The role, which decides about permissions.")
    ]
    is_active: Annotated[bool, Field(description="Whether the account may sign in.")]
    email_verified: Annotated[
        bool, Field(description="Whether the address was confirmed by a link.")
    ]
    created_at: datetime
    updated_at: datetime


class SignedIn(Account, frozen=True):
    """A session and its user, as read from the database for this request."""

    session_id: UUID


class Caller(SignedIn, frozen=True):
    """The signed-in user of one request, with the permissions of their role."""

    granted: frozenset[str]

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN

    def may(self, permission: Permission) -> bool:
        """Return whether the caller's role has a permission."""
        return self.role == ADMIN or permission.name in self.granted
