"""`bedplate users …`: manage accounts by the same rules as the API."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bedplate.cli.runner import fail, print_table, run

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bedplate.modules.users.models import User
    from bedplate.modules.users.schemas import UserResponse
    from bedplate.modules.users.service import UserService
    from bedplate.runtime import Runtime

T = TypeVar("T")
S = TypeVar("S", bound="BaseModel")

app = typer.Typer(help="Create and manage accounts.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The account's address.")]
PasswordStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input."),
]


@app.command()
def create(
    email: Email,
    name: Annotated[str, typer.Option(help="The person's name.")],
    role: Annotated[str, typer.Option(help="One of the configured roles.")] = "user",
    password_stdin: PasswordStdin = False,
) -> None:
    """Create an account. Use it with `--role admin` for the first admin."""
    from bedplate.modules.users.schemas import UserCreate

    password = _read_password(password_stdin)
    data = _validated(UserCreate, email=email, name=name, role=role, password=password)
    user = _with_users(lambda users: users.create(data))
    print(f"Created {user.role} {user.email}.")


@app.command("list")
def list_(
    role: Annotated[
        str | None, typer.Option(help="Only accounts of this role.")
    ] = None,
    q: Annotated[
        str | None, typer.Option("-q", help="Part of the address or the name.")
    ] = None,
) -> None:
    """List accounts, newest first."""
    from rich.table import Table
    from rich.text import Text

    table = Table("Email", "Name", "Role", "Active", "Since", box=None)
    for user in _with_users(lambda users: _all(users, role=role, q=q)):
        active = "yes" if user.is_active else "no"
        since = f"{user.created_at:%Y-%m-%d}"
        # Text is printed as it is: a name could hold rich's markup, as [bold].
        cells = (user.email, user.name, user.role, active, since)
        table.add_row(*map(Text, cells))
    print_table(table)


async def _all(users: "UserService", **filters: str | None) -> "list[UserResponse]":
    """Return every matching account, read page by page."""
    from bedplate.modules.users.schemas import UserListParams

    accounts: list[UserResponse] = []
    cursor: str | None = ""
    set_filters = {name: value for name, value in filters.items() if value is not None}
    while cursor is not None:
        params = _validated(UserListParams, limit=100, cursor=cursor, **set_filters)
        page = await users.list_page(params)
        accounts += page.items
        cursor = page.next_cursor
    return accounts


@app.command()
def set_role(
    email: Email,
    role: Annotated[str, typer.Argument(help="One of the configured roles.")],
) -> None:
    """Change an account's role, from its next request on."""
    user = _change(email, lambda users, user: users.change(user.id, {"role": role}))
    print(f"{user.email} now has the role {user.role}.")


@app.command()
def activate(email: Email) -> None:
    """Reactivate a deactivated account."""
    user = _change(email, lambda users, user: users.activate(user.id))
    print(f"{user.email} is active.")


@app.command()
def deactivate(email: Email) -> None:
    """Deactivate an account, from its next request on."""
    user = _change(email, lambda users, user: users.deactivate(user.id))
    print(f"{user.email} is deactivated.")


@app.command()
def unlock(email: Email) -> None:
    """Let an account sign in again immediately after too many wrong passwords."""
    from bedplate.migrate import ensure_schema
    from bedplate.modules.auth.sign_in import SignInService

    address = _normalized(email)

    async def work(runtime: "Runtime") -> None:
        await ensure_schema(runtime.database, runtime.migrations)
        async with runtime.database.unit_of_work() as session:
            await SignInService(session, runtime).unlock_by_email(address)

    run(work)
    print(f"{address} can sign in again.")


@app.command()
def set_password(email: Email, password_stdin: PasswordStdin = False) -> None:
    """Replace an account's password."""
    from bedplate.modules.users.schemas import PasswordSet

    data = _validated(PasswordSet, password=_read_password(password_stdin))
    user = _change(
        email, lambda users, user: users.set_password(user.id, data.password)
    )
    print(f"{user.email} has a new password.")


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        fail("standard input is not a terminal: use --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _validated(schema: type[S], **values: Any) -> S:
    """Return the values as a schema, validated by the rules of the API.

    Fails with one line that names each wrong field but never its value.
    """
    from pydantic import ValidationError

    from bedplate.core.envelope import describe_error

    try:
        return schema(**values)
    except ValidationError as error:
        fail("; ".join(describe_error(e) for e in error.errors(include_input=False)))


def _with_users(act: "Callable[[UserService], Awaitable[T]]") -> T:
    """Run `act` in one transaction and return its result.

    Runs missing migrations first: the first account may be created before the first
    start of the server.
    """
    from bedplate.migrate import ensure_schema
    from bedplate.modules.users.service import UserService

    async def work(runtime: "Runtime") -> T:
        await ensure_schema(runtime.database, runtime.migrations)
        async with runtime.database.unit_of_work() as session:
            return await act(UserService(session, runtime))

    return run(work)


def _change(
    email: str, act: "Callable[[UserService, User], Awaitable[User]]"
) -> "User":
    from bedplate.migrate import ensure_schema
    from bedplate.modules.users.service import UserService

    address = _normalized(email)

    async def work(runtime: "Runtime") -> "User":
        await ensure_schema(runtime.database, runtime.migrations)
        async with runtime.database.unit_of_work() as session:
            user = await UserService(session, runtime).get_by_email(address)
        # A second transaction: it begins only after a password is hashed, so that a
        # slow hash holds no lock.
        async with runtime.database.unit_of_work() as session:
            return await act(UserService(session, runtime), user)

    return run(work)


def _normalized(email: str) -> str:
    from bedplate.modules.users.schemas import normalize_email

    try:
        return normalize_email(email)
    except ValueError as error:
        fail(f"email: {error}")
