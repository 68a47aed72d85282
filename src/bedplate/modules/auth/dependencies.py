from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from bedplate.api.dependencies import RuntimeDep, SessionDep, runtime_of
from bedplate.core.device_cookies import DeviceCookies
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.auth.refresh import RefreshService
from bedplate.modules.auth.sessions import SessionService
from bedplate.modules.auth.sign_in import SignInService


async def get_sign_in_service(
    session: SessionDep, runtime: RuntimeDep
) -> SignInService:
    return SignInService(session, runtime)


async def get_refresh_service(
    session: SessionDep, runtime: RuntimeDep
) -> RefreshService:
    return RefreshService(session, runtime)


async def get_session_service(
    session: SessionDep, runtime: RuntimeDep
) -> SessionService:
    return SessionService(session, runtime)


async def get_recovery_service(
    session: SessionDep, runtime: RuntimeDep
) -> RecoveryService:
    return RecoveryService(session, runtime)


class RequestDevice:
    """The device that a request's cookie names, and how its next cookie is set."""

    def __init__(self, request: Request) -> None:
        self._cookies: DeviceCookies = runtime_of(request).device_cookies
        self.known = self._cookies.read(request.cookies)

    def remember(self, user_id: UUID, response: Response) -> None:
        """Let a client that has just signed in be known from now on."""
        value = self._cookies.issue(user_id, self.known)
        response.set_cookie(self._cookies.name, value, **self._cookies.attributes)


async def get_device(request: Request) -> RequestDevice:
    return RequestDevice(request)


SignInServiceDep = Annotated[SignInService, Depends(get_sign_in_service)]
RefreshServiceDep = Annotated[RefreshService, Depends(get_refresh_service)]
SessionServiceDep = Annotated[SessionService, Depends(get_session_service)]
RecoveryServiceDep = Annotated[RecoveryService, Depends(get_recovery_service)]
DeviceDep = Annotated[RequestDevice, Depends(get_device)]
