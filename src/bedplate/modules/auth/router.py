from typing import Annotated

from fastapi import Depends, Form, Request, Response

from bedplate.core.errors import InvalidCredentials, NotAuthenticated
from bedplate.core.permissions import Caller
from bedplate.dependencies import RuntimeDep, SessionDep
from bedplate.modules.auth.errors import AccountInactive, EmailNotVerified
from bedplate.modules.auth.schemas import TokenForm, TokenResponse
from bedplate.modules.auth.service import Authenticator, AuthService
from bedplate.openapi import errors
from bedplate.routing import Router
from bedplate.runtime import runtime_of

router = Router(prefix="/auth", tags=["auth"])


async def get_auth_service(session: SessionDep, runtime: RuntimeDep) -> AuthService:
    return AuthService(session, runtime.settings, runtime.tokens)


AuthServiceDep = Annotated[AuthService, Depends(get_auth_service)]


@router.post(
    "/token",
    response_model=TokenResponse,
    responses=errors(InvalidCredentials, AccountInactive, EmailNotVerified),
)
async def create_token(
    auth: AuthServiceDep, form: Annotated[TokenForm, Form()], response: Response
) -> TokenResponse:
    """Sign in with email and password."""
    response.headers["Cache-Control"] = "no-store"
    return await auth.sign_in(form.username, form.password)


async def authenticate(request: Request) -> Caller:
    """The caller of a request, by its bearer token.

    Raises:
        NotAuthenticated
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticated
    runtime = runtime_of(request)
    authenticator = Authenticator(runtime.database, runtime.tokens)
    return await authenticator.authenticate(token.strip())
