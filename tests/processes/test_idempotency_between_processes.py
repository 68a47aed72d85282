"""Two servers on one database run a repeated request only once."""

import asyncio
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import idempotency_program

from bedplate.testing.servers import Server, serving

PASSWORD = "Passw0rd-of-tests"
AUTHOR = {"email": "author@example.com", "name": "Author", "password": PASSWORD}
CONCURRENT = 20


def post_with(key: str) -> dict[str, Any]:
    return {
        "url": "/posts",
        "json": {"title": key, "content": "C", "publish": True},
        "headers": {"Idempotency-Key": key},
    }


def sign_up(server: Server) -> dict[str, str]:
    """Sign up an author, and return the headers of their requests."""
    with httpx.Client(base_url=server.api, timeout=30) as client:
        assert client.post("/users", json=AUTHOR).status_code == 201
        form = {"username": AUTHOR["email"], "password": PASSWORD}
        token = client.post("/auth/token", data=form).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def send_concurrently(
    clients: list[httpx.AsyncClient], **request: Any
) -> list[httpx.Response]:
    """Send a request many times, alternately to both servers."""
    return await asyncio.gather(
        *(clients[n % 2].request(**request) for n in range(CONCURRENT))
    )


async def one_key_makes_one_row(clients: list[httpx.AsyncClient]) -> None:
    for key in ("key-1", "key-2", "key-3"):
        responses = await send_concurrently(clients, method="POST", **post_with(key))
        counts = Counter(
            (a.status_code, a.headers.get("idempotent-replayed")) for a in responses
        )
        assert counts.pop((201, None)) == 1, counts
        assert counts.keys() <= {(201, "true"), (409, None)}
        refusals = [a.json()["error"] for a in responses if a.status_code == 409]
        assert {e["code"] for e in refusals} <= {"IDEMPOTENCY_IN_PROGRESS"}
        assert len({a.content for a in responses if a.status_code == 201}) == 1
        assert await count(clients[0], key) == 1


async def count(client: httpx.AsyncClient, title: str) -> int:
    return int((await client.get("/posts", params={"q": title})).json()["total"])


async def one_tag_lets_one_writer_win(clients: list[httpx.AsyncClient]) -> None:
    post = await clients[0].post(**post_with("tagged"))
    path = f"/posts/{post.json()['id']}"
    responses = await asyncio.gather(
        *(
            clients[n % 2].patch(
                path,
                json={"title": f"Writer {n}"},
                headers={"If-Match": post.headers["etag"]},
            )
            for n in range(CONCURRENT)
        )
    )
    assert sorted(a.status_code for a in responses) == [200, *[412] * (CONCURRENT - 1)]
    [winner] = [a for a in responses if a.status_code == 200]
    assert (await clients[1].get(path)).json() == winner.json()


async def a_repeat_after_a_kill_is_answered(
    clients: list[httpx.AsyncClient], first: Server, folder: Path
) -> None:
    """Kill a server between its commit and its response, and repeat the request."""
    request = post_with("killed")
    headers = {**request["headers"], "X-Hold-Back": "1"}
    request_task = asyncio.create_task(
        clients[0].post(**{**request, "headers": headers})
    )
    deadline = time.monotonic() + 30
    while not (folder / "committed").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    first.kill()
    with suppress(httpx.TransportError):
        await request_task
        raise AssertionError("the killed server answered")

    repeat = await clients[1].post(**request)
    assert (repeat.status_code, repeat.headers.get("idempotent-replayed")) == (
        201,
        "true",
    )
    assert repeat.json()["title"] == "killed"
    assert await count(clients[1], "killed") == 1


def test_requests_that_two_servers_receive_run_once(
    database_url: str, tmp_path: Path
) -> None:
    shutil.copy(idempotency_program.__file__, tmp_path)
    settings = {"database_url": database_url, "app": "idempotency_program:app"}
    with (
        serving(tmp_path, **settings) as first,
        serving(tmp_path, **settings) as second,
    ):
        headers = sign_up(first)

        async def work() -> None:
            async with (
                httpx.AsyncClient(base_url=first.api, headers=headers, timeout=30) as a,
                httpx.AsyncClient(
                    base_url=second.api, headers=headers, timeout=30
                ) as b,
            ):
                clients = [a, b]
                await one_key_makes_one_row(clients)
                await one_tag_lets_one_writer_win(clients)
                await a_repeat_after_a_kill_is_answered(clients, first, tmp_path)

        asyncio.run(work())
