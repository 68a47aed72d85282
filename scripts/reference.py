"""Write docs/reference/ from the code: imports, settings, commands, errors, operations.

`--check` writes nothing and fails if a page is stale.
"""

import ast
import inspect
import secrets
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer.main
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from bedplate.cli import app as commands
from bedplate.cli import register_commands
from bedplate.config import PREFIX, Settings
from bedplate.core.errors import APIError
from bedplate.django_site.setup import set_up
from bedplate.example import BUILT_IN
from bedplate.main import create_app

PAGES = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py: change the code, not this page. -->"


def settings_page() -> Iterator[str]:
    yield "# Settings\n\n" + NOTE + "\n"
    yield (
        "Settings come from environment variables and from `.env` in the folder where "
        "the service\nis started. Environment variables override `.env`. Lists are "
        "comma-separated. An invalid\nvalue stops the start with one line that names "
        "the variable. `bedplate doctor` shows all\nvalues, with secrets masked.\n"
    )
    yield "| variable | default | |\n| --- | --- | --- |"
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        text = " ".join(filter(None, [field.description, _range(schema[name])]))
        yield f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {text} |"


def _default(value: Any) -> str:
    if value is None or value == () or value is PydanticUndefined:
        return ""  # no default, or the description explains it
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # a default isn't secret
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


def _range(schema: dict[str, Any]) -> str:
    """Return the accepted values as a sentence, or an empty text without limits."""
    if choices := schema.get("enum"):
        return "One of " + ", ".join(f"`{choice}`" for choice in choices) + "."
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum")
    if most is None:
        return "" if least is None else f"At least {least}."
    return f"{least} to {most}." if "minimum" in schema else f"At most {most}."


def commands_page() -> Iterator[str]:
    yield "# Commands\n\n" + NOTE + "\n"
    yield (
        "`python -m bedplate` is the same as `bedplate`. A failed command prints one "
        "line on standard\nerror and exits with a non-zero code.\n"
    )
    register_commands()
    yield from _commands(typer.main.get_command(commands), "bedplate")


def _commands(command: Any, path: str) -> Iterator[str]:
    if children := getattr(command, "commands", None):
        for name, child in sorted(children.items()):
            yield from _commands(child, f"{path} {name}")
        return
    yield f"## `{path}`\n\n{(command.help or '').strip()}\n"
    rows = [row for p in command.params if p.name != "help" for row in _parameter(p)]
    if rows:
        yield "| | |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def _parameter(parameter: Any) -> Iterator[str]:
    is_option = parameter.param_type_name == "option"
    name = parameter.opts[0] if is_option else (parameter.metavar or parameter.name)
    help_ = getattr(parameter, "help", None) or ""
    yield f"| `{name if is_option else name.upper()}` | {help_} |"


def errors_page() -> Iterator[str]:
    yield "# Errors\n\n" + NOTE + "\n"
    yield (
        "Every error has this body, on every path:\n\n```json\n"
        '{"error": {"code": "VALIDATION_ERROR", "message": "Validation failed",\n'
        ' "details": [{"field": "body.email", "message": "…"}], "request_id": "…"}}\n'
        "```\n"
    )
    yield "| status | code | message |\n| --- | --- | --- |"
    for kind in sorted(_kinds(APIError), key=lambda k: (k.status_code, k.code)):
        yield f"| {kind.status_code} | `{kind.code}` | {kind.message} |"
    yield (
        "\n## Exceptions of your own\n\nThe `detail` of an `HTTPException(409, detail)`"
        ", FastAPI's or Starlette's, and of an\n`APIException` of REST framework is "
        "written to the same body, with its `headers`:\n\n"
        "| `detail` | becomes |\n| --- | --- |\n"
        '| a text: `"Sold out"` | `message` |\n'
        '| a mapping: `{"code": "SOLD_OUT", "message": "Sold out", "left": 3}` | '
        "`code` (in capitals) and `message`; each other key becomes a detail, "
        '`{"field": "left", "message": "3"}` |\n'
        "| nested mappings and lists | a detail for each text; its `field` is the keys "
        "that lead to it, `lines.sku` |\n"
        "| a list of Pydantic's errors | a detail for each, by `loc` and `msg`; the "
        "input is left out |\n\n"
        "The code is that of the status in the table, or else the status's name: "
        "`IM_A_TEAPOT`.\nFor a status of 500 or above, the detail is only logged and "
        "the message is Bedplate's,\nbecause the detail may reveal a cause."
    )


def _kinds(kind: type[APIError]) -> list[type[APIError]]:
    """Return one error class for each code, of those that Bedplate declares."""
    assert BUILT_IN  # importing the modules has declared their errors
    by_code: dict[str, type[APIError]] = {}
    pending = [kind]
    while pending:
        current = pending.pop()
        pending += current.__subclasses__()
        if current is not APIError and current.__module__.startswith("bedplate"):
            by_code.setdefault(current.code, current)
    return list(by_code.values())


def http_page() -> Iterator[str]:
    yield "# Operations\n\n" + NOTE + "\n"
    yield (
        "`/docs` and `bedplate openapi` show each operation in full. Outside the API "
        "there are\n`/health/live`, `/health/ready`, `/metrics`, "
        "`/.well-known/jwks.json`, `/docs`, `/openapi.json`\nand the pages below "
        "`/account/` that mails link to.\nHEAD works wherever GET does.\n"
    )
    yield "| | for | summary | statuses |\n| --- | --- | --- | --- |"
    settings = _settings()
    app = create_app(settings, BUILT_IN)
    dependants = {
        (method, context.path_format): getattr(
            context.original_route, "dependant", None
        )
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            callers = _callers(operation, dependants[method.upper(), path])
            statuses = ", ".join(operation["responses"])
            summary = operation["description"].splitlines()[0]
            yield f"| `{method.upper()} {path}` | {callers} | {summary} | {statuses} |"


def _callers(operation: dict[str, Any], dependant: Any) -> str:
    if {} in operation.get("security", [{}]):
        return "anyone"
    return ", ".join(sorted(_roles(dependant))) or "signed in"


def _roles(dependant: Any) -> set[str]:
    """Return the roles that an endpoint requires, if any."""
    roles = getattr(dependant.call, "roles", ())
    return set(roles).union(*map(_roles, dependant.dependencies))


FRONT_DOORS = ("bedplate", "bedplate.django_site", "bedplate.testing")


def imports_page() -> Iterator[str]:
    yield "# Imports\n\n" + NOTE + "\n"
    yield (
        "Import from these three packages only. Everything else may change in any "
        "release.\n"
    )
    set_up(_settings(), BUILT_IN)  # names of the Django half need its apps
    for package in FRONT_DOORS:
        module = import_module(package)
        yield f"## `{package}`\n\n| name | |\n| --- | --- |"
        for name in sorted(module.__all__, key=str.lower):
            yield f"| `{name}` | {_summary(package, name)} |"
        yield ""


def _settings() -> Settings:
    return Settings.load(
        _env_file=None,
        secret_key=secrets.token_hex(32),
        database_url="sqlite:///reference.db",
        allowed_hosts="localhost",
    )


def _summary(package: str, name: str) -> str:
    """Return the first line of the text of a function, class or constant."""
    value = getattr(import_module(package), name)
    if isinstance(value, type):
        text = vars(value).get("__doc__")
    elif inspect.isfunction(value):
        text = value.__doc__
    else:
        text = _text_below(package, name)
    return inspect.cleandoc(text or "").partition("\n")[0].replace("|", "\\|")


def _text_below(package: str, name: str) -> str:
    """Return the string literal below the assignment of a constant."""
    homes: dict[str, str] = vars(import_module(package))["_HOMES"]
    source = inspect.getsource(import_module(f"{package}.{homes[name]}"))
    body = ast.parse(source).body
    for statement, following in pairwise(body):
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [getattr(statement, "target", statement)]
        )
        if not isinstance(following, ast.Expr):
            continue
        if any(ast.unparse(target) == name for target in targets):
            return str(ast.literal_eval(following.value))
    return ""


PAGES_BY_NAME: dict[str, Callable[[], Iterator[str]]] = {
    "imports.md": imports_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "http.md": http_page,
}


def main() -> None:
    stale = []
    for name, make in PAGES_BY_NAME.items():
        path, text = PAGES / name, "\n".join(make()).rstrip() + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if stale and "--check" in sys.argv:
        raise SystemExit(f"stale, run scripts/reference.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
