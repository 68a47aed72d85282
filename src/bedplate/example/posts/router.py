from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response, status

from bedplate.api.dependencies import (
    CurrentUser,
    IfMatchDep,
    OptionalUser,
    RuntimeDep,
    SessionDep,
)
from bedplate.api.routing import Router
from bedplate.example.posts.schemas import (
    PostCreate,
    PostListParams,
    PostListResponse,
    PostResponse,
    PostUpdate,
)
from bedplate.example.posts.service import PostService
from bedplate.openapi_parts import errors
from bedplate.schemas import Page

router = Router(prefix="/posts", tags=["posts"])


async def get_post_service(session: SessionDep, runtime: RuntimeDep) -> PostService:
    return PostService(session, runtime)


PostServiceDep = Annotated[PostService, Depends(get_post_service)]


@router.get(
    "", response_model=PostListResponse, responses=errors(PostService.list_page)
)
async def list_posts(
    posts: PostServiceDep,
    caller: OptionalUser,
    params: Annotated[PostListParams, Query()],
) -> Page[PostResponse]:
    """List the posts that you may read."""
    return await posts.list_page(params, caller)


@router.post("", response_model=PostResponse, status_code=status.HTTP_201_CREATED)
async def create_post(
    posts: PostServiceDep, caller: CurrentUser, data: PostCreate, response: Response
) -> PostResponse:
    """Create a post."""
    post = await posts.create(data, caller)
    response.headers["Location"] = f"/api/v1/posts/{post.id}"
    return post


@router.get(
    "/{post_id}", response_model=PostResponse, responses=errors(PostService.get)
)
async def get_post(
    posts: PostServiceDep, caller: OptionalUser, post_id: UUID
) -> PostResponse:
    """Return a post. A draft is shown to its author and admins."""
    return await posts.get(post_id, caller)


@router.patch(
    "/{post_id}", response_model=PostResponse, responses=errors(PostService.update)
)
async def update_post(
    posts: PostServiceDep,
    caller: CurrentUser,
    post_id: UUID,
    data: PostUpdate,
    if_match: IfMatchDep,
) -> PostResponse:
    """Change a post."""
    return await posts.update(post_id, data, caller, if_match)


@router.delete(
    "/{post_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(PostService.delete),
)
async def delete_post(
    posts: PostServiceDep, caller: CurrentUser, post_id: UUID, if_match: IfMatchDep
) -> None:
    """Delete a post."""
    await posts.delete(post_id, caller, if_match)


@router.post(
    "/{post_id}/publish",
    response_model=PostResponse,
    responses=errors(PostService.publish),
)
async def publish_post(
    posts: PostServiceDep, caller: CurrentUser, post_id: UUID, if_match: IfMatchDep
) -> PostResponse:
    """Publish a post."""
    return await posts.publish(post_id, caller, if_match)


@router.post(
    "/{post_id}/unpublish",
    response_model=PostResponse,
    responses=errors(PostService.unpublish),
)
async def unpublish_post(
    posts: PostServiceDep, caller: CurrentUser, post_id: UUID, if_match: IfMatchDep
) -> PostResponse:
    """Turn a post into a draft again."""
    return await posts.unpublish(post_id, caller, if_match)
