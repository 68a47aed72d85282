from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from .models import User, UserResponse
from .security import CurrentUser, get_db

router = APIRouter()
SessionDep = Annotated[Session, Depends(get_db)]


def make_sessions(url: str) -> sessionmaker[Session]:
    return sessionmaker(create_engine(url))


SessionLocal = sessionmaker()


@router.get("/first")
async def first(
    caller: CurrentUser,
    db: Session = Depends(get_db),  # finds: blocking-session
) -> UserResponse:
    return UserService(db).first()


@router.get("/second")
async def second(
    caller: CurrentUser,
    db: SessionDep,  # finds: blocking-session
) -> UserResponse:
    return UserService(db).first()


async def third() -> User | None:
    with SessionLocal() as session:  # finds: blocking-session
        return session.scalars(select(User)).first()


class UserService:
    def __init__(self, db: Session) -> None:
        self.db = db

    def first(self) -> UserResponse:
        return UserResponse.model_validate(self.db.scalars(select(User)).one())

    async def last(self) -> User | None:  # finds: blocking-session
        return self.db.scalars(select(User)).first()
