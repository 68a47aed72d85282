"""Dependencies of endpoints, by alias: the session, the settings, the caller."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.security import OAuth2PasswordBearer

from bedplate.caller import Caller
from bedplate.config import Settings
from bedplate.core.errors import NotAuthenticated, PermissionDenied
from bedplate.core.permissions import ADMIN, Permission
from bedplate.core.preconditions import MAX_TAGS_LENGTH, IfMatch
from bedplate.database import Session
from bedplate.runtime import Runtime

# The scheme in the OpenAPI document; `api/openapi.py` turns the second into the first.
SCHEME = "BearerToken"
OPTIONAL_SCHEME = "OptionalBearerToken"
TOKEN_URL = "/api/v1/auth/token"  # noqa: S105, it is an address


def runtime_of(request: Request) -> Runtime:
    """Return the runtime of the application that handles a request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def get_runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def get_settings(request: Request) -> Settings:
    return runtime_of(request).settings


async def get_session(request: Request) -> AsyncIterator[Session]:
    async with runtime_of(request).database.unit_of_work() as session:
        yield session


async def get_if_match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            max_length=MAX_TAGS_LENGTH,
            description="Write only if the resource still has this `ETag`.",
        ),
    ] = None,
) -> IfMatch | None:
    # FastAPI reads the first line of a header; clients may send several lines.
    return None if if_match is None else IfMatch.of(request.headers.getlist("if-match"))


IfMatchDep = Annotated[IfMatch | None, Depends(get_if_match)]
"""The `If-Match` header, for services that change a row."""
RuntimeDep = Annotated[Runtime, Depends(get_runtime)]
"""The runtime of the application, which services take."""
SettingsDep = Annotated[Settings, Depends(get_settings)]
"""The settings of the application."""
# Function scope commits before the response leaves. FastAPI's default commits after it:
# the client would read 201 for a row that the database then refused.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
"""The session of the request: one unit of work, committed before the response."""


class BearerCaller(OAuth2PasswordBearer):
    """The OAuth2 scheme and the caller in one dependency, which costs one statement.

    With `roles` the caller must have one of them, with `permission` that permission.
    With `optional` a request without credentials has no caller; bad credentials are
    still refused.

    Raises:
        NotAuthenticated: no token, or one that is expired or revoked.
        PermissionDenied: the caller's role is none of `roles`, or lacks `permission`.
    """

    def __init__(
        self,
        *roles: str,
        permission: Permission | None = None,
        optional: bool = False,
    ) -> None:
        name = OPTIONAL_SCHEME if optional else SCHEME
        super().__init__(tokenUrl=TOKEN_URL, scheme_name=name)
        self.roles = frozenset(roles)
        self.permission = permission
        self.optional = optional

    async def __call__(self, request: Request) -> Any:  # type: ignore[override]  # HTTP
        if self.optional and "authorization" not in request.headers:
            return None
        authenticate = runtime_of(request).authenticate
        if authenticate is None:
            raise NotAuthenticated
        caller = await authenticate(request)
        request.scope["caller"] = caller  # read by `idempotency.py`
        self._check(caller)
        return caller

    def _check(self, caller: Caller) -> None:
        if self.roles and caller.role not in self.roles:
            raise PermissionDenied
        if self.permission is not None and not caller.may(self.permission):
            raise PermissionDenied


def require_role(*roles: str) -> Any:
    """Return a dependency: the caller, who must have one of these roles.

    Editor = Annotated[Caller, require_role("editor", "admin")]
    """
    return Depends(BearerCaller(*roles))


def require_permission(permission: Permission) -> Any:
    """Return a dependency: the caller, whose role must have this permission.

    Moderator = Annotated[Caller, require_permission(WRITE_ANY)]
    """
    return Depends(BearerCaller(permission=permission))


CurrentUser = Annotated[Caller, Depends(BearerCaller())]
"""The signed-in caller; 401 without one."""
OptionalUser = Annotated[Caller | None, Depends(BearerCaller(optional=True))]
"""The signed-in caller, or None without a token."""
AdminUser = Annotated[Caller, require_role(ADMIN)]
"""The signed-in caller, who must be an admin; 403 otherwise."""
