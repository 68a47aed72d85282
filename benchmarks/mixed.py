"""Readers and writers at the same time: look for locks, errors and lost writes.

`python -m benchmarks.mixed` runs 8 clients that read and 4 that write against
`bedplate serve --workers 2` for a minute, on SQLite and on PostgreSQL. It prints the
responses by status and the writes that were lost. It exits with 1 after a 5xx, a
"database is locked" in the log or a lost write.
"""

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from bedplate.testing.postgres import local_postgres
from bedplate.testing.servers import Server, run_command, serving

PASSWORD = "Passw0rd-of-benchmarks"
_SERVER_ERROR = 500
_NAMES = count()


class Tally:
    """The statuses, writes and longest time that the clients saw."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.written: set[str] = set()
        self.slowest = 0.0

    async def send(
        self, client: httpx.AsyncClient, method: str, path: str, **options: Any
    ) -> httpx.Response:
        started = time.perf_counter()
        response = await client.request(method, path, **options)
        self.slowest = max(self.slowest, time.perf_counter() - started)
        self.statuses[response.status_code] += 1
        return response

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status >= _SERVER_ERROR)


def main(
    seconds: Annotated[float, typer.Option(min=1)] = 60,
    readers: Annotated[int, typer.Option(min=0)] = 8,
    writers: Annotated[int, typer.Option(min=1)] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 2,
) -> None:
    """Run on both databases."""
    succeeded = True
    for kind in ("sqlite", "postgresql"):
        postgres = local_postgres() if kind == "postgresql" else nullcontext()
        with tempfile.TemporaryDirectory() as folder, postgres as url:
            path = Path(folder)
            settings = {"database_url": url or f"sqlite:///{path / 'mixed.db'}"}
            run_command(path, "migrate", **settings)
            with serving(path, "--workers", str(workers), **settings) as server:
                tally = asyncio.run(_load(server, seconds, readers, writers))
                succeeded &= asyncio.run(_report(kind, server, tally))
    raise typer.Exit(0 if succeeded else 1)


async def _load(server: Server, seconds: float, readers: int, writers: int) -> Tally:
    tally, ends = Tally(), time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=server.api, timeout=30) as client:
        headers = [await _sign_up(client) for _ in range(writers)]
        await asyncio.gather(
            *(_read(client, tally, ends) for _ in range(readers)),
            *(_write(client, tally, ends, bearer) for bearer in headers),
        )
    return tally


async def _sign_up(client: httpx.AsyncClient) -> dict[str, str]:
    email = f"writer{next(_NAMES)}@example.com"
    account = {"email": email, "name": "Writer", "password": PASSWORD}
    (await client.post("/users", json=account)).raise_for_status()
    form = {"username": email, "password": PASSWORD}
    token = (await client.post("/auth/token", data=form)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def _read(client: httpx.AsyncClient, tally: Tally, ends: float) -> None:
    while time.monotonic() < ends:
        await tally.send(client, "GET", "/posts", params={"limit": 20})


async def _write(
    client: httpx.AsyncClient, tally: Tally, ends: float, headers: dict[str, str]
) -> None:
    """Create, change and publish posts until the time is over."""
    while time.monotonic() < ends:
        post = {"title": f"Post {next(_NAMES)}", "content": "Text"}
        created = await tally.send(client, "POST", "/posts", json=post, headers=headers)
        if created.status_code != httpx.codes.CREATED:
            continue
        path, change = f"/posts/{created.json()['id']}", {"content": "Changed"}
        await tally.send(client, "PATCH", path, json=change, headers=headers)
        published = await tally.send(client, "POST", f"{path}/publish", headers=headers)
        if published.is_success and published.json()["content"] == "Changed":
            tally.written.add(created.json()["id"])


async def _report(kind: str, server: Server, tally: Tally) -> bool:
    published = await _published(server)
    locked = server.errors.count("database is locked")
    lost = len(tally.written - published)
    statuses = ", ".join(f"{n:,} of {s}" for s, n in sorted(tally.statuses.items()))
    print(
        f"{kind}: {statuses}; {len(tally.written):,} posts written, {lost} lost; "
        f"{tally.failed} errors, {locked} locks; slowest {tally.slowest:.2f} s"
    )
    return not (tally.failed or locked or lost)


async def _published(server: Server) -> set[str]:
    """Return the ids of all published posts."""
    ids: set[str] = set()
    cursor: str | None = ""
    async with httpx.AsyncClient(base_url=server.api, timeout=30) as client:
        while cursor is not None:
            params: dict[str, Any] = {"limit": 100, "cursor": cursor}
            page = (await client.get("/posts", params=params)).json()
            ids |= {item["id"] for item in page["items"]}
            cursor = page["next_cursor"]
    return ids


if __name__ == "__main__":
    typer.run(main)
