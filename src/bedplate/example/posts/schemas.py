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
    example,
)

Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=255, pattern=NO_CONTROLS
    ),
    Field(description="The title, without surrounding spaces."),
]
Content = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100_000, pattern=NO_NUL),
    Field(description="The text."),
]


class PostCreate(Schema):
    """A new post."""

    model_config = example(title="Hello", content="My first post.", publish=True)

    title: Title
    content: Content
    publish: Annotated[
        bool,
        Field(
            strict=True, description="Whether to publish it now, or to save a draft."
        ),
    ] = False


class PostUpdate(PatchSchema):
    """The fields of a post to change."""

    model_config = example(title="Hello again")

    title: Title = NOT_SENT
    content: Content = NOT_SENT


class AuthorResponse(ResponseSchema, frozen=True):
    """The author, with the fields that everyone may see."""

    id: UUID
    name: Annotated[str, Field(description="The name of the author.")]


class PostResponse(ResponseSchema, frozen=True):
    """A post. It is a draft if it has no `published_at`."""

    id: UUID
    title: Annotated[str, Field(description="The title.")]
    content: Annotated[str, Field(description="The text.")]
    author: Annotated[AuthorResponse, Field(description="The author.")]
    published_at: Annotated[
        datetime | None,
        Field(description="Time of publishing, in UTC; null for drafts."),
    ]
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
    q: Annotated[
        SearchText | None, Field(description="Text to find in title or content.")
    ] = None
