from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from bedplate.schemas import NO_NUL, ListParams, Page, ResponseSchema


class AuditEventResponse(ResponseSchema, frozen=True):
    """A security-relevant action."""

    id: UUID
    created_at: datetime
    action: Annotated[
        str, Field(description="The kind of action, such as `auth.signed_in`.")
    ]
    actor_id: Annotated[
        UUID | None,
        Field(description="The account that acted; null for strangers and the system."),
    ]
    subject_id: Annotated[
        UUID | None, Field(description="The account that the action was about.")
    ]
    ip: Annotated[str | None, Field(description="The IP address of the client.")]
    user_agent: Annotated[str | None, Field(description="The client.")]
    request_id: Annotated[
        str | None, Field(description="The id of the request, as in its log line.")
    ]
    details: Annotated[
        dict[str, Any], Field(description="More about the action, by its kind.")
    ]


class AuditListResponse(Page[AuditEventResponse], frozen=True):
    """One page of the audit trail."""


class AuditListParams(ListParams):
    sort: Literal["created_at", "-created_at"] = "-created_at"
    action: Annotated[str, StringConstraints(max_length=50, pattern=NO_NUL)] | None = (
        None
    )
    actor_id: UUID | None = None
    subject_id: UUID | None = None
