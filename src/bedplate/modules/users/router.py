from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response, status

from bedplate.api.dependencies import (
    AdminUser,
    CurrentUser,
    IfMatchDep,
    OptionalUser,
    RuntimeDep,
    SessionDep,
)
from bedplate.api.routing import Router
from bedplate.caller import Caller
from bedplate.core.errors import InvalidCursor, PermissionDenied, RateLimited
from bedplate.database import Page
from bedplate.modules.users.errors import (
    EmailTaken,
    LastAdmin,
    SignupClosed,
    UserNotFound,
)
from bedplate.modules.users.models import User
from bedplate.modules.users.schemas import (
    ActivatedResponse,
    DeactivatedResponse,
    MeUpdate,
    SessionListResponse,
    UserCreate,
    UserListParams,
    UserListResponse,
    UserResponse,
    UserUpdate,
)
from bedplate.modules.users.service import UserService
from bedplate.openapi_parts import errors

router = Router(prefix="/users", tags=["users"])


async def get_user_service(session: SessionDep, runtime: RuntimeDep) -> UserService:
    return UserService(session, runtime)


UserServiceDep = Annotated[UserService, Depends(get_user_service)]


@router.post(
    "",
    response_model=UserResponse,
    status_code=status.HTTP_201_CREATED,
    responses=errors(SignupClosed, PermissionDenied, EmailTaken, RateLimited),
)
async def create_user(
    users: UserServiceDep, caller: OptionalUser, data: UserCreate, response: Response
) -> User:
    """Sign up, or make an account as an admin."""
    user = await users.register(data, caller)
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return user


@router.get(
    "",
    response_model=UserListResponse,
    responses=errors(InvalidCursor, PermissionDenied),
)
async def list_users(
    users: UserServiceDep, admin: AdminUser, params: Annotated[UserListParams, Query()]
) -> Page[UserResponse]:
    """All accounts, a page at a time."""
    return await users.list_page(params)


@router.get("/me", response_model=UserResponse)
async def get_me(caller: CurrentUser) -> Caller:
    """One's own account."""
    return caller


@router.patch("/me", response_model=UserResponse)
async def update_me(
    users: UserServiceDep, caller: CurrentUser, data: MeUpdate, if_match: IfMatchDep
) -> User:
    """Change one's own name."""
    return await users.change(caller.id, data.changes(), caller.id, if_match)


@router.delete(
    "/me", status_code=status.HTTP_204_NO_CONTENT, responses=errors(LastAdmin)
)
async def delete_me(
    users: UserServiceDep, caller: CurrentUser, if_match: IfMatchDep
) -> None:
    """Leave, and take everything along."""
    await users.delete(caller.id, caller, if_match)


@router.get("/{user_id}", response_model=UserResponse, responses=errors(UserNotFound))
async def get_user(
    users: UserServiceDep, caller: CurrentUser, user_id: UUID
) -> UserResponse:
    """An account: one's own, or any as an admin."""
    return await users.get(user_id, caller)


@router.patch(
    "/{user_id}",
    response_model=UserResponse,
    responses=errors(PermissionDenied, UserNotFound, EmailTaken, LastAdmin),
)
async def update_user(
    users: UserServiceDep,
    caller: CurrentUser,
    user_id: UUID,
    data: UserUpdate,
    if_match: IfMatchDep,
) -> User:
    """Change an account: admins all of it, oneself the name."""
    return await users.update(user_id, data, caller, if_match)


@router.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(UserNotFound, LastAdmin),
)
async def delete_user(
    users: UserServiceDep, caller: CurrentUser, user_id: UUID, if_match: IfMatchDep
) -> None:
    """Remove an account and all that is its own."""
    await users.delete(user_id, caller, if_match)


@router.post(
    "/{user_id}/activate",
    response_model=ActivatedResponse,
    responses=errors(PermissionDenied, UserNotFound),
)
async def activate_user(
    users: UserServiceDep, admin: AdminUser, user_id: UUID, if_match: IfMatchDep
) -> ActivatedResponse:
    """Let an account in again."""
    await users.activate(user_id, admin.id, if_match)
    return ActivatedResponse("activated")


@router.post(
    "/{user_id}/deactivate",
    response_model=DeactivatedResponse,
    responses=errors(PermissionDenied, UserNotFound, LastAdmin),
)
async def deactivate_user(
    users: UserServiceDep, admin: AdminUser, user_id: UUID, if_match: IfMatchDep
) -> DeactivatedResponse:
    """Shut an account out, from its next request on."""
    await users.deactivate(user_id, admin.id, if_match)
    return DeactivatedResponse("deactivated")


@router.get(
    "/{user_id}/sessions",
    response_model=SessionListResponse,
    responses=errors(PermissionDenied, UserNotFound),
)
async def list_user_sessions(  # bedplate: ignore[unpaged-list] they are few
    users: UserServiceDep, admin: AdminUser, user_id: UUID
) -> SessionListResponse:
    """Where an account is signed in."""
    return await users.list_sessions(user_id, admin)


@router.delete(
    "/{user_id}/sessions",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(PermissionDenied, UserNotFound),
)
async def revoke_user_sessions(
    users: UserServiceDep, admin: AdminUser, user_id: UUID
) -> None:
    """Sign an account out everywhere."""
    await users.revoke_sessions(user_id, admin)
