from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from bedplate.schemas import (
    NO_CONTROLS,
    NO_NUL,
    NOT_SENT,
    ListParams,
    Page,
    PatchSchema,
    ResponseSchema,
    Schema,
    SearchText,
)

Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=255, pattern=NO_CONTROLS
    ),
]
Content = Annotated[
    str, StringConstraints(min_length=1, max_length=100_000, pattern=NO_NUL)
]


class PostCreate(Schema):
    title: Title
    content: Content
    publish: Annotated[
        bool, Field(strict=True, description="At once, or keep it a draft.")
    ] = False


class PostUpdate(PatchSchema):
    title: Title = NOT_SENT
    content: Content = NOT_SENT


class AuthorResponse(ResponseSchema, frozen=True):
    """Who wrote it, as everybody may know them."""

    id: UUID
    name: str


class PostResponse(ResponseSchema, frozen=True):
    """A post; a draft if it has no `published_at`."""

    id: UUID
    title: str
    content: str
    author: AuthorResponse
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime


class PostListResponse(Page[PostResponse], frozen=True):
    """One page of posts."""


class PostListParams(ListParams):
    sort: Literal[
        "created_at",
        "-created_at",
        "published_at",
        "-published_at",
        "title",
        "-title",
    ] = "-created_at"
    author_id: UUID | None = None
    status: Literal["published", "draft"] | None = None
    q: Annotated[SearchText | None, Field(description="Part of title or content.")] = (
        None
    )
