"""`bedplate keys …`: the keys that access tokens are signed with."""

from typing import TYPE_CHECKING

import typer

from bedplate.cli import fail, run

if TYPE_CHECKING:
    from bedplate.runtime import Runtime

app = typer.Typer(help="Signing keys of access tokens.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Keep `rotate` a command of its own while it is the only one."""


@app.command()
def rotate() -> None:
    """Sign with a new key; tokens of the old one stay good until they expire."""
    run(_rotate)


async def _rotate(runtime: "Runtime") -> None:
    from bedplate.modules.auth.keys import KeyService

    if runtime.settings.jwt_algorithm == "HS256":
        fail(
            "HS256 has no keys to rotate: set BEDPLATE_JWT_ALGORITHM to EdDSA or "
            "ES256, or change BEDPLATE_SECRET_KEY, which voids every access token"
        )
    async with runtime.database.unit_of_work() as session:
        new = await KeyService(session, runtime.settings).rotate()
    print(f"New tokens are signed with {new.kid}, within a minute everywhere.")
