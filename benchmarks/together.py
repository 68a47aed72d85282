"""Looks for lost writes while admin forms and API calls write the same rows.

uv run python -m benchmarks.together --seconds 60

Each writer reads a number from an account's name and writes the next one, through the
API with `If-Match` or through the admin's form. A refused write is tried again. At the
end each number must equal the count of successful writes.
"""

import asyncio
import tempfile
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from bedplate.testing.browser import Browser
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.servers import run_command, serving

PASSWORD = "Passw0rd-of-tests"
ADMIN = "ada@example.com"
ROWS = 4


class Tally:
    """The responses, and the number of writes to each row."""

    def __init__(self) -> None:
        self.responses: Counter[str] = Counter()
        self.written: Counter[str] = Counter()


def main(
    seconds: Annotated[float, typer.Option(help="Duration of the writes.")] = 60,
    forms: Annotated[int, typer.Option(help="Admins who use forms.")] = 4,
    calls: Annotated[int, typer.Option(help="Clients of the API.")] = 4,
    database_url: Annotated[str, typer.Option(help="Default: SQLite.")] = "",
) -> None:
    """Write, print the results, and exit with 1 if a write was lost."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"secret_key": TEST_KEY, "log_level": "warning"}
        settings |= {"database_url": database_url} if database_url else {}
        make_admin(Path(folder), **settings)
        with serving(Path(folder), **settings) as server:
            tally, rows = asyncio.run(write(server.url, seconds, forms, calls))
            log = server.errors
    expected = {id_: f"n{tally.written[id_]}" for id_ in rows}
    print(dict(sorted(tally.responses.items())))
    print(f"{sum(tally.written.values()) / seconds:.0f} writes a second")
    print("locked" if "locked" in log else "never locked")
    lost = rows != expected or any(a.startswith("5") for a in tally.responses)
    print("LOST" if lost else "nothing lost")
    raise typer.Exit(int(lost or "locked" in log))


def make_admin(folder: Path, **settings: Any) -> None:
    run_command(folder, "migrate", **settings)
    account = (ADMIN, "--name", "Ada", "--role", "admin", "--password-stdin")
    run_command(folder, "users", "create", *account, stdin=PASSWORD, **settings)


async def write(
    url: str, seconds: float, forms: int, calls: int
) -> tuple[Tally, dict[str, str]]:
    """Run all writers, and return the tally and the rows' final names."""
    tally, until = Tally(), time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as api:
        form = {"username": ADMIN, "password": PASSWORD}
        token = (await api.post("/auth/token", data=form)).json()["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        rows = [await add_row(api, number) for number in range(ROWS)]
        async with asyncio.TaskGroup() as tasks:
            for start in range(calls):
                tasks.create_task(call(api, rows[start % ROWS :], tally, until))
            for start in range(forms):
                tasks.create_task(fill(url, rows[start % ROWS :], tally, until))
        names = {id_: (await api.get(f"/users/{id_}")).json()["name"] for id_ in rows}
    return tally, names


async def add_row(api: httpx.AsyncClient, number: int) -> str:
    body = {"email": f"row{number}@example.com", "name": "n0", "password": PASSWORD}
    return str((await api.post("/users", json=body)).json()["id"])


def next_of(name: str) -> str:
    return f"n{int(name.removeprefix('n')) + 1}"


async def call(
    api: httpx.AsyncClient, rows: list[str], tally: Tally, until: float
) -> None:
    """Write through the API, with the ETag that was read as `If-Match`."""
    for id_ in cycle(rows):
        if time.monotonic() > until:
            return
        read = await api.get(f"/users/{id_}")
        response = await api.patch(
            f"/users/{id_}",
            json={"name": next_of(read.json()["name"])},
            headers={"If-Match": read.headers["etag"]},
        )
        tally.responses[f"{response.status_code} by the API"] += 1
        tally.written[id_] += response.status_code == httpx.codes.OK


async def fill(url: str, rows: list[str], tally: Tally, until: float) -> None:
    """Write as an admin, who changes the value that the form shows."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        browser = Browser(client)
        await browser.sign_in(ADMIN, PASSWORD)
        for id_ in cycle(rows):
            if time.monotonic() > until:
                return
            await browser.open(f"/admin/bedplate/user/{id_}/change/")
            name = browser.form().fields["name"]
            response = await browser.submit(name=next_of(name), _continue="1")
            kind = "saved" if response.is_redirect else "refused as changed meanwhile"
            tally.responses[f"{response.status_code} by a form, {kind}"] += 1
            tally.written[id_] += response.is_redirect


if __name__ == "__main__":
    typer.run(main)
