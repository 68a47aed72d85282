from typing import Annotated
from uuid import UUID

from fastapi import Form, Query, Request, Response, status

from bedplate.api.dependencies import CurrentUser, runtime_of
from bedplate.api.routing import Router
from bedplate.caller import Caller
from bedplate.core.errors import (
    Detail,
    ValidationFailed,
)
from bedplate.modules.auth.authentication import Authenticator
from bedplate.modules.auth.dependencies import (
    DeviceDep,
    RecoveryServiceDep,
    RefreshServiceDep,
    SessionServiceDep,
    SignInServiceDep,
)
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.auth.refresh import RefreshService
from bedplate.modules.auth.schemas import (
    AcceptedResponse,
    EmailChange,
    EmailOnly,
    PasswordChange,
    PasswordReset,
    TokenForm,
    TokenOnly,
    TokenResponse,
)
from bedplate.modules.auth.sessions import SessionService, SignOutScope
from bedplate.modules.auth.sign_in import SignInService
from bedplate.modules.users.schemas import SessionListResponse
from bedplate.openapi_parts import errors

router = Router(prefix="/auth", tags=["auth"])


@router.post(
    "/token",
    response_model=TokenResponse,
    responses=errors(SignInService.sign_in, RefreshService.refresh),
)
async def create_token(
    sign_ins: SignInServiceDep,
    refreshes: RefreshServiceDep,
    form: Annotated[TokenForm, Form()],
    device: DeviceDep,
    response: Response,
) -> TokenResponse:
    """Sign in with email and password, or refresh a session."""
    response.headers["Cache-Control"] = "no-store"
    if missing := form.missing():
        details = [Detail(f"body.{name}", "Field required") for name in missing]
        raise ValidationFailed(details=details)
    if form.grant_type == "refresh_token":
        return await refreshes.refresh(form.refresh_token or "")
    user_id, tokens = await sign_ins.sign_in(
        form.username or "", form.password or "", device.known
    )
    device.remember(user_id, response)
    return tokens


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def sign_out(
    sessions: SessionServiceDep,
    caller: CurrentUser,
    scope: Annotated[
        SignOutScope,
        Query(description="The sessions to end: this one, your other ones, or all."),
    ] = "local",
) -> None:
    """Sign out: end this session, your other sessions, or all."""
    await sessions.sign_out(caller, scope)


@router.get("/sessions", response_model=SessionListResponse)
async def list_sessions(  # bedplate: ignore[unpaged-list] a user has few
    sessions: SessionServiceDep, caller: CurrentUser
) -> SessionListResponse:
    """List your sessions."""
    return await sessions.list_sessions(caller)


@router.delete(
    "/sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(SessionService.revoke_session),
)
async def revoke_session(
    sessions: SessionServiceDep, caller: CurrentUser, session_id: UUID
) -> None:
    """End one of your sessions."""
    await sessions.revoke_session(caller, session_id)


@router.post(
    "/password/change",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(RecoveryService.change_password),
)
async def change_password(
    recovery: RecoveryServiceDep, caller: CurrentUser, data: PasswordChange
) -> None:
    """Change your password. Your other sessions end."""
    await recovery.change_password(caller, data.current_password, data.new_password)


@router.post(
    "/password/forgot",
    response_model=AcceptedResponse,
    status_code=status.HTTP_202_ACCEPTED,
    responses=errors(RecoveryService.forgot_password),
)
async def forgot_password(
    recovery: RecoveryServiceDep, data: EmailOnly
) -> AcceptedResponse:
    """Request a link to choose a new password."""
    await recovery.forgot_password(data.email)
    return AcceptedResponse("accepted")


@router.post(
    "/password/reset",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(RecoveryService.reset_password),
)
async def reset_password(
    recovery: RecoveryServiceDep,
    data: PasswordReset,
    device: DeviceDep,
    response: Response,
) -> None:
    """Choose a new password with the token of a link. All sessions end."""
    user_id = await recovery.reset_password(data.token, data.new_password)
    device.remember(user_id, response)


@router.post(
    "/email/verify/request",
    response_model=AcceptedResponse,
    status_code=status.HTTP_202_ACCEPTED,
    responses=errors(RecoveryService.request_verification),
)
async def request_verification(
    recovery: RecoveryServiceDep, data: EmailOnly
) -> AcceptedResponse:
    """Request a link to verify your address."""
    await recovery.request_verification(data.email)
    return AcceptedResponse("accepted")


@router.post(
    "/email/verify",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(RecoveryService.verify_email),
)
async def verify_email(recovery: RecoveryServiceDep, data: TokenOnly) -> None:
    """Verify your address with the token of a link."""
    await recovery.verify_email(data.token)


@router.post(
    "/email/change",
    response_model=AcceptedResponse,
    status_code=status.HTTP_202_ACCEPTED,
    responses=errors(RecoveryService.request_email_change),
)
async def request_email_change(
    recovery: RecoveryServiceDep, caller: CurrentUser, data: EmailChange
) -> AcceptedResponse:
    """Request a link to change your address."""
    await recovery.request_email_change(caller, data.new_email, data.current_password)
    return AcceptedResponse("accepted")


@router.post(
    "/email/change/confirm",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(RecoveryService.confirm_email_change),
)
async def confirm_email_change(recovery: RecoveryServiceDep, data: TokenOnly) -> None:
    """Change your address with the token of a link."""
    await recovery.confirm_email_change(data.token)


async def authenticate(request: Request) -> Caller:
    """Return the caller of a request, by its bearer token.

    Raises:
        NotAuthenticated
    """
    header = request.headers.get("authorization", "")
    return await Authenticator(runtime_of(request)).authenticate_header(header)
