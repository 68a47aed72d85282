"""Measures whether response times reveal the state of an account.

`python -m benchmarks.timing` prints medians of sign-ins for an unknown address, a wrong
password and an inactive account, and of *forgot password* for a known and an unknown
address. The requests are sent in turn, in one process and without rate limits.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

import httpx
import typer

from bedplate import migrate
from bedplate.config import Settings
from bedplate.core.security import hash_password
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.module import migrations_of
from bedplate.modules.users.models import User
from bedplate.runtime import make_database
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.plugin import client_for, running
from bedplate.testing.postgres import local_postgres

PASSWORD = "Passw0rd-of-timing"
Send = Callable[[], Awaitable[httpx.Response]]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Requests of each kind.")] = 200,
) -> None:
    """Measure on both databases."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(f"sqlite:///{folder}/timing.db", folder, rounds))
        with local_postgres() as url:
            asyncio.run(_measure(url, folder, rounds))


async def _measure(url: str, folder: str, rounds: int) -> None:
    settings = Settings.load(
        _env_file=None,
        database_url=url,
        secret_key=TEST_KEY,
        data_dir=Path(folder),
        mail_url=f"file://{folder}/mail",
        rate_limits_enabled=False,
        log_level="error",
    )
    await _migrate(settings)
    async with running(settings) as app, client_for(app) as client:
        await _make_accounts(app)
        kind = app.state.runtime.database.dialect.name
        for title, requests in _requests(client).items():
            _report(f"{kind}, {title}", await _send_in_turn(requests, rounds))


async def _migrate(settings: Settings) -> None:
    database = make_database(settings)
    await migrate.upgrade(database, migrations_of(BUILT_IN))
    await database.close()


async def _make_accounts(app: Application) -> None:
    hashed = await hash_password(PASSWORD)
    async with app.state.runtime.database.unit_of_work() as session:
        for email, is_active in (("known@x.test", True), ("inactive@x.test", False)):
            user = User(email=email, name="T", hashed_password=hashed)
            user.is_active = is_active
            session.add(user)


def _requests(client: httpx.AsyncClient) -> Mapping[str, Mapping[str, Send]]:
    def sign_in(email: str, password: str) -> Send:
        form = {"username": email, "password": password}
        return lambda: client.post("/auth/token", data=form)

    def forgot(email: str) -> Send:
        return lambda: client.post("/auth/password/forgot", json={"email": email})

    return {
        "sign-in": {
            "unknown address": sign_in("unknown@x.test", PASSWORD),
            "wrong password": sign_in("known@x.test", "wrong"),
            "inactive account": sign_in("inactive@x.test", PASSWORD),
        },
        "forgot password": {
            "unknown address": forgot("unknown@x.test"),
            "known address": forgot("known@x.test"),
        },
    }


async def _send_in_turn(requests: Mapping[str, Send], rounds: int) -> dict[str, float]:
    """Send each request once a round, and return the median milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(rounds):
        for name, send in requests.items():
            started = time.perf_counter()
            await send()
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def _report(title: str, medians: Mapping[str, float]) -> None:
    first = next(iter(medians.values()))
    print(f"\n{title}")
    for name, median in medians.items():
        print(f"  {name:<18} {median:8.2f} ms  {median / first - 1:+.1%}")


if __name__ == "__main__":
    typer.run(main)
