from itertools import batched

from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list["Post"]] = relationship(back_populates="author", lazy="raise")


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="posts")


async def with_authors(session: AsyncSession) -> list[tuple[Post, Author]]:
    query = select(Post).options(selectinload(Post.author))
    return [(post, post.author) for post in await session.scalars(query)]


async def by_ids(session: AsyncSession, ids: list[int]) -> list[Post]:
    found: list[Post] = []
    for batch in batched(ids, 500):
        found += await session.scalars(select(Post).where(Post.id.in_(batch)))
    return found


def titles(settings: dict[str, str], names: list[str]) -> list[str | None]:
    return [settings.get(name) for name in names]


def configure(db: Session) -> None:
    for table in ("posts", "authors"):
        db.execute(select(1).where(table == "posts"))


def add_all(db: Session, posts: list[Post]) -> None:
    for post in posts:
        db.add(post)


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list[Post]] = relationship()


async def tags_and_authors(session: AsyncSession) -> list[Tag]:
    along = selectinload(Tag.posts).selectinload(Post.author)
    return list(await session.scalars(select(Tag).options(along)))
