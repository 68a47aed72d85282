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
from bedplate.modules.users.errors import (
    LastAdmin,
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
from bedplate.schemas import Page

router = Router(prefix="/users", tags=["users"])


async def get_user_service(session: SessionDep, runtime: RuntimeDep) -> UserService:
    return UserService(session, runtime)


UserServiceDep = Annotated[UserService, Depends(get_user_service)]


@router.post(
    "",
    response_model=UserResponse,
    status_code=status.HTTP_201_CREATED,
    responses=errors(UserService.register),
)
async def create_user(
    users: UserServiceDep, caller: OptionalUser, data: UserCreate, response: Response
) -> User:
    """Sign up, or create an account as an admin."""
    user = await users.register(data, caller)
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return user


@router.get(
    "",
    response_model=UserListResponse,
    responses=errors(UserService.list_page),
)
async def list_users(
    users: UserServiceDep, admin: AdminUser, params: Annotated[UserListParams, Query()]
) -> Page[UserResponse]:
    """List all accounts."""
    return await users.list_page(params)


@router.get("/me", response_model=UserResponse)
async def get_me(caller: CurrentUser) -> Caller:
    """Return your own account."""
    return caller


@router.patch("/me", response_model=UserResponse)
async def update_me(
    users: UserServiceDep, caller: CurrentUser, data: MeUpdate, if_match: IfMatchDep
) -> User:
    """Change your own name."""
    return await users.change(caller.id, data.changes(), caller.id, if_match)


@router.delete(
    "/me", status_code=status.HTTP_204_NO_CONTENT, responses=errors(LastAdmin)
)
async def delete_me(
    users: UserServiceDep, caller: CurrentUser, if_match: IfMatchDep
) -> None:
    """Delete your account and everything it owns."""
    await users.delete(caller.id, caller, if_match)


@router.get(
    "/{user_id}", response_model=UserResponse, responses=errors(UserService.get)
)
async def get_user(
    users: UserServiceDep, caller: CurrentUser, user_id: UUID
) -> UserResponse:
    """Return an account: your own, or any account as an admin."""
    return await users.get(user_id, caller)


@router.patch(
    "/{user_id}",
    response_model=UserResponse,
    responses=errors(UserService.update),
)
async def update_user(
    users: UserServiceDep,
    caller: CurrentUser,
    user_id: UUID,
    data: UserUpdate,
    if_match: IfMatchDep,
) -> User:
    """Change an account. Admins change every field, users their own name."""
    return await users.update(user_id, data, caller, if_match)


@router.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(UserService.delete),
)
async def delete_user(
    users: UserServiceDep, caller: CurrentUser, user_id: UUID, if_match: IfMatchDep
) -> None:
    """Delete an account and everything it owns."""
    await users.delete(user_id, caller, if_match)


@router.post(
    "/{user_id}/activate",
    response_model=ActivatedResponse,
    responses=errors(UserService.activate),
)
async def activate_user(
    users: UserServiceDep, admin: AdminUser, user_id: UUID, if_match: IfMatchDep
) -> ActivatedResponse:
    """Allow an account to sign in again."""
    await users.activate(user_id, admin.id, if_match)
    return ActivatedResponse("activated")


@router.post(
    "/{user_id}/deactivate",
    response_model=DeactivatedResponse,
    responses=errors(UserService.deactivate),
)
async def deactivate_user(
    users: UserServiceDep, admin: AdminUser, user_id: UUID, if_match: IfMatchDep
) -> DeactivatedResponse:
    """Lock an account out, from its next request on."""
    await users.deactivate(user_id, admin.id, if_match)
    return DeactivatedResponse("deactivated")


@router.get(
    "/{user_id}/sessions",
    response_model=SessionListResponse,
    responses=errors(UserService.list_sessions),
)
async def list_user_sessions(  # bedplate: ignore[unpaged-list] they are few
    users: UserServiceDep, admin: AdminUser, user_id: UUID
) -> SessionListResponse:
    """List the sessions of an account."""
    return await users.list_sessions(user_id, admin)


@router.delete(
    "/{user_id}/sessions",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(UserService.revoke_sessions),
)
async def revoke_user_sessions(
    users: UserServiceDep, admin: AdminUser, user_id: UUID
) -> None:
    """Sign an account out everywhere."""
    await users.revoke_sessions(user_id, admin)
