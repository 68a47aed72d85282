from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import StringConstraints

from bedplate.schemas import NO_NUL, ListParams, Page, ResponseSchema


class AuditEventResponse(ResponseSchema, frozen=True):
    """One security-relevant event. `actor_id` is null if nobody was signed in."""

    id: UUID
    created_at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditListResponse(Page[AuditEventResponse], frozen=True):
    """One page of the audit trail."""


class AuditListParams(ListParams):
    sort: Literal["created_at", "-created_at"] = "-created_at"
    action: Annotated[str, StringConstraints(max_length=50, pattern=NO_NUL)] | None = (
        None
    )
    actor_id: UUID | None = None
    subject_id: UUID | None = None
