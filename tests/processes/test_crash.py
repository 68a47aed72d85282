"""kill -9 under load: everything that was acknowledged is stored, once."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy import make_url, select
from support import MANY_SIGN_UPS

from bedplate.database import Database
from bedplate.modules.users.models import User
from bedplate.testing.servers import serving

ACKNOWLEDGED_AT_LEAST = 120  # on each database; a hash takes 45 ms of a core
CALLERS = 8
PASSWORD = "Passw0rd-of-tests"


async def load(api: str, acknowledged: list[str], numbers: Iterator[int]) -> None:
    """Sign up one account after the other, until the server is killed."""
    async with httpx.AsyncClient(timeout=30) as client:
        while True:
            email = f"user{next(numbers)}@example.com"
            body = {"email": email, "name": "User", "password": PASSWORD}
            try:
                response = await client.post(f"{api}/users", json=body)
            except httpx.TransportError:
                return
            assert response.status_code == 201
            acknowledged.append(email)


async def stored_addresses(url: str) -> list[str]:
    database = Database(make_url(url), cursor_keys=[b""])
    try:
        async with database.engine.connect() as connection:
            return list(await connection.scalars(select(User.email)))
    finally:
        await database.close()


def test_every_acknowledged_sign_up_survives_a_kill(
    database_url: str, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    with serving(tmp_path, database_url=database_url, **MANY_SIGN_UPS) as server:

        async def kill_under_load() -> None:
            numbers = itertools.count()
            callers = [load(server.api, acknowledged, numbers) for _ in range(CALLERS)]
            tasks = [asyncio.create_task(caller) for caller in callers]
            while len(acknowledged) < ACKNOWLEDGED_AT_LEAST:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0.02)
            server.kill()
            await asyncio.gather(*tasks)

        asyncio.run(kill_under_load())

    with serving(tmp_path, database_url=database_url) as server:
        stored = asyncio.run(stored_addresses(database_url))
        again = {"email": acknowledged[-1], "name": "User", "password": PASSWORD}
        doubled = httpx.post(f"{server.api}/users", json=again, timeout=30)

    print(f"{len(acknowledged)} acknowledged, {len(stored)} stored")
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    # At most one more for each caller: stored, but the response was lost.
    assert len(stored) <= len(acknowledged) + CALLERS
    assert doubled.json()["error"]["code"] == "EMAIL_TAKEN"
