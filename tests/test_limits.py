"""Counting, in each store: SQLite, PostgreSQL and a real Redis."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from httpx import AsyncClient

from bedplate.core.errors import RateLimited
from bedplate.limits import Hit, Limits, RateLimit, hit, make_limits
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import PASSWORD, client_for
from bedplate.testing.redis import LocalRedis, local_redis


@pytest.fixture(scope="module")
def redis() -> Iterator[LocalRedis]:
    with local_redis() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """With Redis the database is a SQLite file, which then counts nothing."""
    kind = "postgres" if request.param == "postgresql" else "sqlite"
    with request.getfixturevalue(f"{kind}_databases").fresh() as url:
        yield url


@pytest.fixture
def setting_overrides(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.node.callspec.params["database_url"] == "redis":
        return {"redis_url": request.getfixturevalue("redis").url}
    return {}


@pytest.fixture
def limits(app: Application) -> Limits:
    limits: Limits = app.state.runtime.limits
    return limits


@pytest.fixture
def use() -> Any:
    """Return a use of a limit by a new client."""
    somebody = uuid4().hex

    def make(limit: str) -> Hit:
        return hit(limit, somebody)

    return make


async def refusal(act: Any) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        await act
    return caught.value


async def is_let_through(act: Any) -> bool:
    try:
        await act
    except RateLimited:
        return False
    return True


async def test_as_many_are_let_through_as_the_limit_says(
    limits: Limits, use: Any
) -> None:
    limited = use("3 per minute")
    answers = [await is_let_through(limits.count(limited)) for _ in range(5)]

    assert answers == [True] * 3 + [False] * 2


async def test_a_check_counts_nothing(limits: Limits, use: Any) -> None:
    limited = use("1 per minute")
    for _ in range(3):
        await limits.check(limited)
    await limits.count(limited)

    await refusal(limits.check(limited))


async def test_fifty_at_once_are_counted_as_fifty(limits: Limits, use: Any) -> None:
    counts = (limits.count(use("10 per minute")) for _ in range(50))
    answers = await asyncio.gather(*map(is_let_through, counts))

    assert answers.count(True) == 10
    # The same window, asked with other numbers: exactly fifty hits are in it.
    counter = limits._windows.storage
    item, key = use("10 per minute")
    assert await counter.get(item.key_for(key)) == 50


async def test_processes_share_a_count(
    app: Application, limits: Limits, use: Any
) -> None:
    runtime = app.state.runtime
    redis_url = runtime.settings.redis_url
    others = make_limits(
        runtime.database,
        redis_url=redis_url.get_secret_value() if redis_url else None,
        enabled=True,
    )
    limited = use("2 per minute")
    await limits.count(limited)
    await others.count(limited)

    await refusal(limits.count(limited))
    await refusal(others.count(limited))
    await others.close()


async def test_of_two_limits_both_are_counted_when_one_is_over(
    limits: Limits, use: Any
) -> None:
    tight, wide = use("1 per minute"), use("3 per hour")
    answers = [await is_let_through(limits.count(tight, wide)) for _ in range(3)]

    assert answers == [True, False, False]
    await refusal(limits.check(wide))


async def test_after_what_retry_after_says_the_limit_is_fresh(
    limits: Limits, use: Any
) -> None:
    limited = use("1 per 3 seconds")
    await limits.count(limited)
    start = time.monotonic()
    seconds = int((await refusal(limits.check(limited))).headers["Retry-After"])

    refused_at = 0.0
    async with asyncio.timeout(15):
        began = time.monotonic()  # an answer may be late, on a busy machine
        while not await is_let_through(limits.check(limited)):
            refused_at = began - start
            await asyncio.sleep(0.02)  # the clock is what is waited for
            began = time.monotonic()

    assert seconds - 2 < refused_at < seconds
    await limits.count(limited)


async def test_what_is_refused_does_not_prolong_the_wait(
    limits: Limits, use: Any
) -> None:
    limited = use("1 per minute")
    await limits.count(limited)
    first = await refusal(limits.count(limited))
    await asyncio.sleep(1.1)  # the clock is what is waited for
    later = await refusal(limits.count(limited))

    assert int(later.headers["Retry-After"]) < int(first.headers["Retry-After"])


async def test_what_is_cleared_is_fresh_and_the_rest_is_not(
    limits: Limits, use: Any
) -> None:
    cleared, other = use("1 per minute"), hit("1 per minute", uuid4().hex)
    await limits.count(cleared, other)
    assert await limits.is_used_up(cleared)

    await limits.clear(cleared)

    assert not await limits.is_used_up(cleared)
    await limits.count(cleared)
    await refusal(limits.count(other))


async def test_turned_off_they_refuse_nothing(app: Application, use: Any) -> None:
    off = make_limits(app.state.runtime.database, redis_url=None, enabled=False)
    for _ in range(3):
        await off.count(use("1 per minute"))
    assert not await off.is_used_up(use("1 per minute"))


async def test_the_store_holds_nobody_s_address(app: Application, user: User) -> None:
    form = {"username": user.email, "password": "wrong"}
    async with client_for(app, address="203.0.113.9") as client:
        assert (await client.post("/auth/token", data=form)).status_code == 401

    async with app.state.runtime.database.engine.connect() as connection:
        rows = (await connection.execute(sa.select(RateLimit))).all()

    assert len(rows) == (0 if app.state.runtime.settings.redis_url else 2)
    assert user.email not in str(rows)
    assert "203.0.113.9" not in str(rows)


async def test_failed_sign_ins_are_counted_over_http(
    client: AsyncClient, user: User
) -> None:
    email = f"{uuid4().hex}@example.com"  # nobody's, and not counted in Redis yet

    async def guess(number: int) -> int:
        form = {"username": email, "password": f"wrong {number}"}
        return (await client.post("/auth/token", data=form)).status_code

    statuses = await asyncio.gather(*map(guess, range(9)))

    assert sorted(statuses) == [401] * 5 + [429] * 4


@pytest.mark.parametrize("database_url", ["redis"], indirect=True)
async def test_without_its_redis_a_sign_in_is_503_and_not_let_through(
    client: AsyncClient, user: User, redis: LocalRedis
) -> None:
    form = {"username": user.email, "password": PASSWORD}
    redis.kill()
    try:
        refused = await client.post("/auth/token", data=form)
        me = await client.get("/users/me")
    finally:
        redis.start()

    assert_refused(refused, 503, "SERVICE_UNAVAILABLE")
    assert "retry-after" in refused.headers
    assert_refused(me, 401, "UNAUTHENTICATED")  # what needs no limit goes on
    assert (await client.post("/auth/token", data=form)).status_code == 200
