from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from bedplate.database import ListQuery, Query, Repository, Scope, columns_of
from bedplate.example.posts.models import Post
from bedplate.example.posts.schemas import (
    PostListParams,
    PostListResponse,
    PostResponse,
)
from bedplate.modules.users.models import User
from bedplate.schemas import Page

Readable = Literal["published", "own", "all"]

PUBLISHED = Post.published_at.is_not(None)
IS_OWN = Post.author_id == bindparam("caller_id", type_=sa.Uuid())
SCOPES: dict[str, Scope] = {
    "published": Scope(PUBLISHED, never_null=[Post.published_at]),
    "own": Scope(sa.or_(PUBLISHED, IS_OWN)),
    "all": Scope(sa.true()),
}
# Every post has an author, but a count needs none: an outer join can be left out.
POSTS = select(
    *columns_of(PostResponse, Post, author=User),
).outerjoin(User, User.id == Post.author_id)
FIND_POST = {
    readable: Query(
        POSTS.where(Post.id == bindparam("post_id", type_=sa.Uuid()), scope.condition),
        PostResponse,
    )
    for readable, scope in SCOPES.items()
}
LIST_POSTS = ListQuery(
    POSTS,
    PostListResponse,
    PostListParams,
    filters={"status": {"published": PUBLISHED, "draft": Post.published_at.is_(None)}},
    search=(Post.title, Post.content),
    scopes=SCOPES,
)


class PostRepository(Repository[Post]):
    model = Post

    async def find(
        self, post_id: UUID, readable: Readable, caller_id: UUID | None
    ) -> PostResponse | None:
        return await self.session.fetch_one(
            FIND_POST[readable], post_id=post_id, caller_id=caller_id
        )

    async def list_page(
        self, params: PostListParams, readable: Readable, caller_id: UUID | None
    ) -> Page[PostResponse]:
        return await self.session.fetch_page(
            LIST_POSTS, params, readable, caller_id=caller_id
        )
