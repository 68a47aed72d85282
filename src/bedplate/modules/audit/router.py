from typing import Annotated

from fastapi import Depends, Query

from bedplate.api.dependencies import AdminUser, SessionDep
from bedplate.api.routing import Router
from bedplate.modules.audit.schemas import (
    AuditEventResponse,
    AuditListParams,
    AuditListResponse,
)
from bedplate.modules.audit.service import AuditService
from bedplate.openapi_parts import errors
from bedplate.schemas import Page

router = Router(prefix="/audit", tags=["audit"])


async def get_audit_service(session: SessionDep) -> AuditService:
    return AuditService(session)


AuditServiceDep = Annotated[AuditService, Depends(get_audit_service)]


@router.get(
    "",
    response_model=AuditListResponse,
    responses=errors(AuditService.list_page),
)
async def list_audit_events(
    audit: AuditServiceDep,
    admin: AdminUser,
    params: Annotated[AuditListParams, Query()],
) -> Page[AuditEventResponse]:
    """List security-relevant actions, newest first."""
    return await audit.list_page(params)
