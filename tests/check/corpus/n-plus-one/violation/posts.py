from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list["Post"]] = relationship(back_populates="author")  # finds: lazy-relationship


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="posts", lazy="select")  # finds: lazy-relationship


async def with_authors(session: AsyncSession) -> list[tuple[Post, Author | None]]:
    posts = (await session.scalars(select(Post))).all()
    found = []
    for post in posts:
        author = await session.get(Author, post.author_id)  # finds: query-in-loop
        found.append((post, author))
    return found


def counted(db: Session, authors: list[Author]) -> dict[int, int]:
    return {
        author.id: len(db.query(Post).filter_by(author_id=author.id).all())  # finds: query-in-loop
        for author in authors
    }


def get_posts(db: Session, author_id: int) -> list[Post]:
    return list(db.scalars(select(Post).where(Post.author_id == author_id)))


def all_posts(db: Session) -> list[Post]:
    found: list[Post] = []
    for author in db.scalars(select(Author)):
        found += get_posts(db, author.id)  # finds: query-in-loop
    return found


class PostService:
    def __init__(self, repository: "PostRepository") -> None:
        self.repository = repository

    async def load(self, ids: list[int]) -> list[Post | None]:
        return [await self.repository.get_by_id(id_) for id_ in ids]  # finds: query-in-loop


class PostRepository:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get_by_id(self, post_id: int) -> Post | None:
        return await self.session.get(Post, post_id)


class BlogService:
    def __init__(self, session: AsyncSession) -> None:
        self.posts = PostRepository(session)

    async def several(self, ids: list[int]) -> list[Post | None]:
        found = []
        for post_id in ids:
            found.append(await self.posts.get_by_id(post_id))  # finds: query-in-loop
        return found


async def together(posts: PostRepository, ids: list[int]) -> list[Post | None]:
    waiting = (posts.get_by_id(post_id) for post_id in ids)  # finds: query-in-loop
    return [await found for found in waiting]


def counted_again(db: Session, authors: list[Author]) -> list[int]:
    ids = []
    for author in authors:
        ids.append(author.id)
    return [len(db.execute(select(Post)).all()) for author_id in ids]  # finds: query-in-loop
