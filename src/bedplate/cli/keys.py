"""`bedplate keys …`: list, rotate and revoke the keys that sign access tokens."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bedplate.cli.runner import fail, print_table, run

if TYPE_CHECKING:
    from bedplate.modules.auth.keys import KeyService
    from bedplate.modules.auth.models import SigningKey
    from bedplate.runtime import Runtime

T = TypeVar("T")

app = typer.Typer(help="Manage the keys that sign access tokens.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the signing keys, newest first. Private keys are never shown."""
    from rich.table import Table

    table = Table("Key id", "Algorithm", "Created", "State", box=None)
    for key in _with_keys(lambda keys: keys.list_all()):
        created = f"{key.created_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(key.kid, key.algorithm, created, _state(key))
    print_table(table)


def _state(key: "SigningKey") -> str:
    if key.retires_at is None:
        return "in use"
    return f"retires {key.retires_at:%Y-%m-%d %H:%M} UTC"


@app.command()
def rotate() -> None:
    """Sign with a new key. Tokens of the old key stay valid until they expire."""
    key = _with_keys(lambda keys: keys.rotate())
    print(f"New tokens are signed with {key.kid}, within a second in every process.")


@app.command()
def revoke(
    kid: Annotated[
        str,
        typer.Argument(metavar="KID", help="The key id that `keys list` shows."),
    ],
) -> None:
    """Reject a key's tokens within a second, in every process. Clients then refresh."""
    replacement = _with_keys(lambda keys: keys.revoke(kid))
    print(f"Revoked {kid}. Every process rejects its tokens within a second.")
    if replacement is not None:
        print(f"New tokens are signed with {replacement}.")


def _with_keys(act: "Callable[[KeyService], Awaitable[T]]") -> T:
    from bedplate.modules.auth.keys import KeyService

    async def work(runtime: "Runtime") -> T:
        if runtime.settings.jwt_algorithm == "HS256":
            fail(
                "HS256 signs with BEDPLATE_SECRET_KEY and has no signing keys. To "
                "revoke every access token, change that key and leave the old one out "
                "of BEDPLATE_PREVIOUS_SECRET_KEYS; or set BEDPLATE_JWT_ALGORITHM to "
                "ES256"
            )
        async with runtime.database.unit_of_work() as session:
            return await act(KeyService(session, runtime.settings))

    return run(work)
