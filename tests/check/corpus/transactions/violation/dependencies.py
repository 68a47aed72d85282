from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

SessionLocal = sessionmaker()
sessions = async_sessionmaker()


def get_db() -> Iterator[Session]:  # finds: session-without-commit
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


async def get_session() -> AsyncIterator[AsyncSession]:  # finds: session-without-commit
    async with sessions() as session:
        yield session


async def get_late_db() -> AsyncIterator[AsyncSession]:
    async with AsyncSession() as session:
        yield session
        await session.commit()


async def get_late_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session, session.begin():
        yield session


LateDb = Annotated[AsyncSession, Depends(get_late_db)]  # finds: late-commit


def use(session: AsyncSession = Depends(get_late_session)) -> None:  # finds: late-commit
    assert session


async def sign_up(email: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(print, email)  # finds: background-task
