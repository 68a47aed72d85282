"""Who is calling, and what a role may do."""

from datetime import datetime
from uuid import UUID

import msgspec

ADMIN = "admin"
USER = "user"


class Caller(msgspec.Struct, frozen=True):
    """The signed-in user of one request, as the database had it a moment ago."""

    id: UUID
    email: str
    name: str
    role: str
    is_active: bool
    email_verified: bool
    created_at: datetime
    updated_at: datetime
    session_id: UUID

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN
