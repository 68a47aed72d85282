from uuid import UUID

from sqlalchemy import select

from bedplate.database import ListQuery, Repository, columns_of
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.audit.schemas import (
    AuditEventResponse,
    AuditListParams,
    AuditListResponse,
)
from bedplate.schemas import Page

LIST_EVENTS = ListQuery(
    select(*columns_of(AuditEventResponse, AuditEvent)),
    AuditListResponse,
    AuditListParams,
)


class AuditRepository(Repository[AuditEvent]):
    model = AuditEvent

    async def list_page(self, params: AuditListParams) -> Page[AuditEventResponse]:
        return await self.session.fetch_page(LIST_EVENTS, params)

    async def user_agents(self, subject_id: UUID, action: str) -> set[str | None]:
        """Return the clients that an account has performed an action with."""
        query = (
            select(AuditEvent.user_agent)
            .where(AuditEvent.subject_id == subject_id, AuditEvent.action == action)
            .distinct()
        )
        return set(await self.session.scalars(query))
