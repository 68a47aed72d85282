from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship()


def one(db: Session, post_id: int) -> Post | None:
    return db.scalar(select(Post).options(joinedload(Post.author)).filter_by(id=post_id))


def names(db: Session) -> list[str]:
    return [post.author.name for post in db.scalars(select(Post))]  # finds: lazy-load-in-loop


def printed(db: Session) -> None:
    posts = db.query(Post).all()
    for post in posts:
        print(post.author.name)  # finds: lazy-load-in-loop
