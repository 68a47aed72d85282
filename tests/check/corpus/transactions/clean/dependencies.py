from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

sessions = async_sessionmaker()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session, session.begin():
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_settings() -> AsyncIterator[str]:
    yield "settings"


SettingsDep = Annotated[str, Depends(get_settings)]


async def sign_up(session: SessionDep, email: str) -> None:
    await enqueue(session, email)


async def enqueue(session: AsyncSession, email: str) -> None:
    session.add(email)
