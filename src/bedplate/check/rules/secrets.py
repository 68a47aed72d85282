"""Secrets in places where ruff and detect-secrets don't look for them."""

import ast
import re
from collections.abc import Iterator

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, keyword
from bedplate.check.project import Source
from bedplate.check.rules import Place, rule

_READING = {"os.environ.get", "os.environ.setdefault", "os.getenv"}
_SECRET = re.compile(
    r"secret|password|passwd|token|api_?key|private_?key", re.IGNORECASE
)


@rule(
    "secret-in-call",
    Topic.SECRETS,
    why="Everyone who can read the code has the secret, and production uses this "
    "default if the variable is ever missing.",
    fix="Read it from the environment, and refuse to start without it.",
)
def secret_in_call(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for call in source.nodes:
        if isinstance(call, ast.Call):
            name = source.name(call.func)
            if name in _READING and _is_secret_default(call):
                yield Place(call, f"`{name}` has a default for a secret")
            elif name in (
                "jwt.decode",
                "jwt.encode",
                "jose.jwt.decode",
                "jose.jwt.encode",
            ):
                key = call.args[1] if len(call.args) > 1 else keyword(call, "key")
                if _is_text(key):
                    yield Place(call, f"the key of `{name}` is in the code")


def _is_secret_default(call: ast.Call) -> bool:
    if len(call.args) < 2:  # noqa: PLR2004, a name and a default
        return False
    name, default = call.args[:2]
    is_secret = isinstance(name, ast.Constant) and _SECRET.search(str(name.value))
    return bool(is_secret) and _is_text(default)


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value)
