from typing import Annotated

from fastapi import Depends

from bedplate.dependencies import RuntimeDep, SessionDep
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.auth.service import AuthService


async def get_auth_service(session: SessionDep, runtime: RuntimeDep) -> AuthService:
    return AuthService(session, runtime)


async def get_recovery_service(
    session: SessionDep, runtime: RuntimeDep
) -> RecoveryService:
    return RecoveryService(session, runtime)


AuthServiceDep = Annotated[AuthService, Depends(get_auth_service)]
RecoveryServiceDep = Annotated[RecoveryService, Depends(get_recovery_service)]
