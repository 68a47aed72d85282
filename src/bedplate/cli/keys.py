"""`bedplate keys …`: the keys that access tokens are signed with."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bedplate.cli.runner import fail, print_table, run

if TYPE_CHECKING:
    from bedplate.modules.auth.keys import KeyService
    from bedplate.modules.auth.models import SigningKey
    from bedplate.runtime import Runtime

T = TypeVar("T")

app = typer.Typer(help="Signing keys of access tokens.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the signing keys, newest first. Private keys are never shown."""
    from rich.table import Table

    table = Table("Key id", "Algorithm", "Made", "State", box=None)
    for key in _with_keys(lambda keys: keys.list_all()):
        made = f"{key.created_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(key.kid, key.algorithm, made, _state(key))
    print_table(table)


def _state(key: "SigningKey") -> str:
    if key.retires_at is None:
        return "in use"
    return f"retires {key.retires_at:%Y-%m-%d %H:%M} UTC"


@app.command()
def rotate() -> None:
    """Sign with a new key; tokens of the old one stay good until they expire."""
    new = _with_keys(lambda keys: keys.rotate())
    print(f"New tokens are signed with {new.kid}, within a second everywhere.")


@app.command()
def revoke(
    kid: Annotated[str, typer.Argument(metavar="KID", help="As `keys list` shows it.")],
) -> None:
    """Refuse a key's tokens within a second, in every process. Clients refresh."""
    new = _with_keys(lambda keys: keys.revoke(kid))
    print(f"Revoked {kid}. Its tokens are refused within a second everywhere.")
    if new is not None:
        print(f"New tokens are signed with {new}.")


def _with_keys(act: "Callable[[KeyService], Awaitable[T]]") -> T:
    from bedplate.modules.auth.keys import KeyService

    async def work(runtime: "Runtime") -> T:
        if runtime.settings.jwt_algorithm == "HS256":
            fail(
                "HS256 signs with BEDPLATE_SECRET_KEY and has no keys of its own. To "
                "void every access token, change that key and leave the old one out of "
                "BEDPLATE_PREVIOUS_SECRET_KEYS; or set BEDPLATE_JWT_ALGORITHM to ES256"
            )
        async with runtime.database.unit_of_work() as session:
            return await act(KeyService(session, runtime.settings))

    return run(work)
