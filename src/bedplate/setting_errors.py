"""Describe rejected settings: which variable, what is wrong and what to do."""

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_LONGEST_VALUE = 60
# URLs may hold a password. The others are for settings of an application that are
# plain strings by mistake.
_SECRET_ENDINGS = ("_url", "_dsn", "_key", "_keys", "_token", "_secret", "_password")

_NUMBERS = ("int_", "float_", "finite_", "greater_than", "less_than")
_PROBLEMS = {
    "int_": "is not a whole number.",
    "float_": "is not a number.",
    "finite_": "is not a finite number.",
    "greater_than": "is out of range.",
    "less_than": "is out of range.",
    "bool_": "is not a boolean. Use true or false.",
    "ip_": "is not a network. Use CIDR notation, such as 10.0.0.0/8.",
    "dict_": 'is not a JSON object. Use {"role": ["permission"]}.',
    "tuple_": "is not a list.",
    "string_type": "is not a string.",
    "string_too_short": "is too short.",
}


def describe_error(settings: type[BaseModel], prefix: str, error: ErrorDetails) -> str:
    """Return one line about a rejected setting, without the value of a secret.

    `BEDPLATE_POOL_SIZE: 'ten' is not a whole number. Use a number from 1 to 1000.`
    """
    if not error["loc"]:
        return _problem(None, error)  # of several settings: the text names them
    name = str(error["loc"][0])
    field = settings.model_fields.get(name)
    # Only values that are not secret: the line ends up in logs.
    value = "the value" if _is_secret(name, field) else _shorten(repr(error["input"]))
    return f"{prefix}{name.upper()}: {value} {_problem(field, error)}"


def _is_secret(name: str, field: FieldInfo | None) -> bool:
    has_secret_type = field is None or "Secret" in repr(field.annotation)
    return has_secret_type or name.endswith(_SECRET_ENDINGS)


def _shorten(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}…'"


def _problem(field: FieldInfo | None, error: ErrorDetails) -> str:
    kind, message = error["type"], error["msg"]
    if kind in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "literal_error":
        return f"is not allowed. Use {error['ctx']['expected']}."
    for beginning, problem in _PROBLEMS.items():
        if kind.startswith(beginning):
            return f"{problem}{_range(field)}" if beginning in _NUMBERS else problem
    return f"is not valid: {message}."


def _range(field: FieldInfo | None) -> str:
    """Return what to use instead: " Use a number from 1 to 1000."."""
    limits: dict[str, Any] = {}
    for constraint in field.metadata if field else ():
        for name in ("ge", "gt", "le"):
            if hasattr(constraint, name):
                limits[name] = getattr(constraint, name)
    if not limits:
        return ""
    least = f"from {limits['ge']}" if "ge" in limits else f"above {limits.get('gt', 0)}"
    most = f" to {limits['le']}" if "le" in limits else " up"
    if "gt" in limits:
        most = f", at most {limits['le']}" if "le" in limits else ""
    return f" Use a number {least}{most}."
