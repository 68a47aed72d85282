from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from .models import User, UserResponse
from .security import CurrentUser, get_async_db, get_db

router = APIRouter()
SessionDep = Annotated[AsyncSession, Depends(get_async_db, scope="function")]
AsyncSessionLocal = async_sessionmaker()


@router.get("/first")
def first(caller: CurrentUser, db: Annotated[Session, Depends(get_db)]) -> UserResponse:
    return UserService(db).first()


@router.get("/second")
async def second(caller: CurrentUser, session: SessionDep) -> UserResponse:
    return await AsyncUserService(session).first()


async def third() -> User | None:
    async with AsyncSessionLocal() as session:
        return (await session.scalars(select(User))).first()


class UserService:
    def __init__(self, db: Session) -> None:
        self.db = db

    def first(self) -> UserResponse:
        return UserResponse.model_validate(self.db.scalars(select(User)).one())


class AsyncUserService:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def first(self) -> UserResponse:
        rows = await self.session.scalars(select(User))
        return UserResponse.model_validate(rows.one())
