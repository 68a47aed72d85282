"""A module in one file: each account keeps addresses, and sees its own only."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Query, Response, status
from pydantic import Field, HttpUrl, StringConstraints
from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate import (
    Base,
    Caller,
    Conflict,
    CurrentUser,
    InvalidCursor,
    ListParams,
    ListQuery,
    Module,
    NotFound,
    Page,
    Repository,
    ResponseSchema,
    Router,
    Schema,
    Scope,
    Session,
    SessionDep,
    columns_of,
    errors,
    utc_now,
)


class AlreadyKept(Conflict, constraint="uq_bookmarks_owner_id_url"):
    code = "ALREADY_KEPT"
    message = "You keep that address already"


class BookmarkNotFound(NotFound):
    message = "There is no such bookmark"


class Bookmark(Base):
    __tablename__ = "bookmarks"
    __table_args__ = (
        UniqueConstraint("owner_id", "url"),
        Index(None, "owner_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(String(2000))
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class BookmarkCreate(Schema):
    url: Annotated[HttpUrl, Field(max_length=2000)]
    title: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
    ]


class BookmarkResponse(ResponseSchema, frozen=True):
    id: UUID
    url: str
    title: str
    created_at: datetime


class BookmarkListResponse(Page[BookmarkResponse], frozen=True):
    """One page of bookmarks."""


class BookmarkListParams(ListParams):
    sort: Literal["created_at", "-created_at"] = "-created_at"


LIST_BOOKMARKS = ListQuery(
    sa.select(*columns_of(BookmarkResponse, Bookmark)),
    BookmarkListResponse,
    BookmarkListParams,
    scopes={
        "own": Scope(Bookmark.owner_id == sa.bindparam("owner_id", type_=sa.Uuid()))
    },
)


class BookmarkRepository(Repository[Bookmark]):
    model = Bookmark


class BookmarkService:
    """Every rule about bookmarks."""

    def __init__(self, session: Session) -> None:
        self.bookmarks = BookmarkRepository(session)

    async def create(self, data: BookmarkCreate, caller: Caller) -> Bookmark:
        """Create a bookmark.

        Raises:
            AlreadyKept: the caller has a bookmark of this address.
        """
        return await self.bookmarks.insert(
            Bookmark(owner_id=caller.id, url=str(data.url), title=data.title)
        )

    async def list_page(
        self, params: BookmarkListParams, caller: Caller
    ) -> Page[BookmarkResponse]:
        """Return one page of the caller's bookmarks.

        Raises:
            InvalidCursor
        """
        return await self.bookmarks.session.fetch_page(
            LIST_BOOKMARKS, params, "own", owner_id=caller.id
        )

    async def delete(self, bookmark_id: UUID, caller: Caller) -> None:
        """Delete a bookmark.

        Raises:
            BookmarkNotFound: also for bookmarks of others.
        """
        bookmark = await self.bookmarks.get(bookmark_id, lock=True)
        if bookmark is None or bookmark.owner_id != caller.id:
            raise BookmarkNotFound
        await self.bookmarks.delete(bookmark)


async def get_service(session: SessionDep) -> BookmarkService:
    return BookmarkService(session)


ServiceDep = Annotated[BookmarkService, Depends(get_service)]
router = Router(prefix="/bookmarks", tags=["bookmarks"])


@router.post(
    "",
    response_model=BookmarkResponse,
    status_code=status.HTTP_201_CREATED,
    responses=errors(AlreadyKept),
)
async def create_bookmark(
    bookmarks: ServiceDep, caller: CurrentUser, data: BookmarkCreate, response: Response
) -> Bookmark:
    """Keep an address."""
    bookmark = await bookmarks.create(data, caller)
    response.headers["Location"] = f"/api/v1/bookmarks/{bookmark.id}"
    return bookmark


@router.get("", response_model=BookmarkListResponse, responses=errors(InvalidCursor))
async def list_bookmarks(
    bookmarks: ServiceDep,
    caller: CurrentUser,
    params: Annotated[BookmarkListParams, Query()],
) -> Page[BookmarkResponse]:
    """One's own, a page at a time."""
    return await bookmarks.list_page(params, caller)


@router.delete(
    "/{bookmark_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(BookmarkNotFound),
)
async def delete_bookmark(
    bookmarks: ServiceDep, caller: CurrentUser, bookmark_id: UUID
) -> None:
    """Forget one."""
    await bookmarks.delete(bookmark_id, caller)


module = Module(
    name="bookmarks",
    router=router,
    models=[Bookmark],
    migrations=str(Path(__file__).parent / "migrations"),
    requires=["auth"],
)
