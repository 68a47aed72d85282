"""No operation blocks the event loop."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError
from httpx import AsyncClient

from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.core import security
from bedplate.core.security import hash_password
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.module import Module
from bedplate.modules.users.models import User
from bedplate.testing.guards import blocking_calls_raise, example_request, operations
from bedplate.testing.plugin import PASSWORD, client_for, running

planted = Router(prefix="/planted")


@planted.post("/sleep", status_code=204)
async def sleep_on_the_loop() -> None:
    time.sleep(0.001)  # noqa: ASYNC251, planted


@planted.post("/read", status_code=204)
async def read_on_the_loop() -> None:
    Path(__file__).read_text()  # noqa: ASYNC240, planted


@planted.post("/hash", status_code=204)
async def hash_on_the_loop() -> None:
    hash_password.__globals__["_passwords"].hash("Passw0rd")


async def test_no_operation_blocks_the_loop(
    app: Application, as_admin: AsyncClient, user: User
) -> None:
    await _enqueue_as(app, str(user.id))
    document = app.openapi()
    names = [name for name, _ in operations(document)]
    # Deletions last: they also delete the caller.
    names.sort(key=lambda name: name.startswith("DELETE"))
    with blocking_calls_raise():
        for name in names:
            request = _about(user, example_request(document, name))
            response = await as_admin.request(**request)
            # An error is fine if it is about the values: the request was valid.
            assert response.status_code not in (404, 405, 422), (name, response.text)
            assert response.status_code < 500, (name, response.text)


async def _enqueue_as(app: Application, job_id: str) -> None:
    # The id that all examples use.
    outbox = app.state.runtime.jobs
    job = outbox.jobs["purge_jobs"]
    async with app.state.runtime.database.unit_of_work() as session:
        await session.run_sync(outbox.write, job_id, job, {}, None)


def _about(user: User, request: dict[str, Any]) -> dict[str, Any]:
    some_id = "01999999-9999-7999-8999-999999999999"
    url = request["url"].replace(some_id, str(user.id))
    request = {**request, "url": f"http://test{url}"}
    if "role" in request.get("json", {}):
        request["json"]["role"] = user.role  # the roles are a setting
    return request


@pytest.mark.parametrize("path", ["health/live", "health/ready", "metrics", "docs"])
async def test_no_operational_endpoint_blocks_the_loop(
    client: AsyncClient, path: str
) -> None:
    with blocking_calls_raise():
        response = await client.get(f"http://test/{path}")

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["sleep", "read", "hash"])
async def test_a_planted_blocking_call_is_seen(
    settings: Settings, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = (*BUILT_IN, Module(name="planted", router=planted))
    async with running(settings, modules=modules) as app, client_for(app) as client:
        before = await client.post(f"/planted/{path}")
        with blocking_calls_raise():
            during = await client.post(f"/planted/{path}")
        after = await client.post(f"/planted/{path}")

    assert [a.status_code for a in (before, during, after)] == [204, 500, 204]
    assert "BlockingError" in capsys.readouterr().err


async def test_hashing_in_a_thread_is_not_a_blocking_call() -> None:
    with blocking_calls_raise():
        await hash_password("Passw0rd")
        with pytest.raises(BlockingError):
            time.sleep(0)  # noqa: ASYNC251, planted


async def test_other_requests_are_answered_while_passwords_are_hashed(
    client: AsyncClient, as_user: AsyncClient
) -> None:
    # Blockbuster only sees the calls on its list. This notices any blocking.
    body = {"email": "new@example.com", "name": "New", "password": PASSWORD}
    with busy_hashers():
        signing_up = asyncio.create_task(client.post("/users", json=body))
        responses = [await as_user.get("/users/me") for _ in range(20)]
        assert not signing_up.done()

    assert {response.status_code for response in responses} == {200}
    assert (await signing_up).status_code == 201


@contextmanager
def busy_hashers() -> Iterator[None]:
    """Occupy every thread that hashes passwords."""
    stop = threading.Event()
    for number in range(security.hashing._idle):
        security.hashing._submit(f"busy {number}", partial(stop.wait, 60))
    try:
        yield
    finally:
        stop.set()
