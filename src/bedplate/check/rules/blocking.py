"""Sync in async: calls that block the event loop and that ruff's ASYNC rules miss."""

import ast
from collections.abc import Iterator

from bedplate.check.findings import Topic
from bedplate.check.index import SYNC_SESSIONS, ProjectIndex, last_part
from bedplate.check.project import Function, Source
from bedplate.check.rules import Place, rule

# Whole names, or the name of a module with a dot at its end.
SLOW = (
    "MySQLdb.connect",
    "bcrypt.checkpw",
    "bcrypt.hashpw",
    "boto3.client",
    "boto3.resource",
    "hashlib.pbkdf2_hmac",
    "hashlib.scrypt",
    "psycopg.connect",
    "psycopg2.connect",
    "pymongo.MongoClient",
    "pymysql.connect",
    "redis.Redis",
    "redis.StrictRedis",
    "redis.from_url",
    "requests.Session",
    "shutil.copyfile",
    "shutil.copytree",
    "shutil.rmtree",
    "smtplib.SMTP",
    "smtplib.SMTP_SSL",
    "socket.create_connection",
    "sqlite3.connect",
    "urllib3.request",
)
# Ruff finds these inside an `async def`, but not inside functions that it calls.
SLOW_FOR_RUFF = (
    "httpx.delete",
    "httpx.get",
    "httpx.patch",
    "httpx.post",
    "httpx.put",
    "httpx.request",
    "open",
    "os.system",
    "requests.",
    "subprocess.Popen",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
    "subprocess.run",
    "time.sleep",
    "urllib.request.urlopen",
)


@rule(
    "blocking-session",
    Topic.SYNC_IN_ASYNC,
    why="A query on a synchronous session inside `async def` blocks the event loop: "
    "every other request waits for it.",
    fix="Use an `AsyncSession` and await its calls, or make the function a plain "
    "`def`, which FastAPI runs in a thread.",
)
def blocking_session(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if function.is_async:
            yield from _session_parameters(source, index, function)
            yield from _sessions_opened(source, index, function)
    for owner in source.classes:
        yield from _session_attributes(source, index, owner)


def _session_parameters(
    source: Source, index: ProjectIndex, function: Function
) -> Iterator[Place]:
    for parameter, _ in function.parameters:
        if index.is_sync_session(source, parameter.annotation):
            name = function.node.name
            yield Place(parameter, f"`{name}` is async and takes a synchronous session")


def _sessions_opened(
    source: Source, index: ProjectIndex, function: Function
) -> Iterator[Place]:
    for call in function.calls:
        name = source.name(call.func)
        if name in SYNC_SESSIONS or last_part(name) in index.sync_session_names:
            yield Place(
                call, f"`{function.node.name}` is async and opens a synchronous session"
            )


def _session_attributes(
    source: Source, index: ProjectIndex, owner: ast.ClassDef
) -> Iterator[Place]:
    """Yield the async methods of a class that holds a synchronous session."""
    methods = [f for f in source.functions if f.owner is owner]
    if not any(
        index.is_sync_session(source, parameter.annotation)
        for method in methods
        if method.node.name == "__init__"
        for parameter, _ in method.parameters
    ):
        return
    for method in methods:
        if method.is_async:
            name = f"{owner.name}.{method.node.name}"
            yield Place(
                method.node, f"`{name}` is async and uses a synchronous session"
            )


@rule(
    "blocking-call",
    Topic.SYNC_IN_ASYNC,
    why="The event loop does nothing else until the call returns: one slow call "
    "delays every request.",
    fix="Use the library's async counterpart, or `await asyncio.to_thread(…)`.",
)
def blocking_call(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if not function.is_async:
            continue
        for call in function.calls:
            if name := _slow(source, index, call, SLOW):
                yield Place(call, f"`{name}` in `async def {function.node.name}`")
            elif name := _slow_inside(source, index, function, call):
                function_name = last_part(source.name(call.func))
                yield Place(call, f"`{function_name}` isn't async and calls `{name}`")


def _slow(
    source: Source, index: ProjectIndex, call: ast.Call, names: tuple[str, ...]
) -> str | None:
    name = source.name(call.func)
    owner, _, method = name.rpartition(".")
    if method in ("hash", "verify") and last_part(owner) in index.hashers:
        return name
    is_slow = any(
        name == slow or (slow.endswith(".") and name.startswith(slow)) for slow in names
    )
    return name if is_slow else None


def _slow_inside(
    source: Source, index: ProjectIndex, caller: Function, call: ast.Call
) -> str | None:
    """Return the blocking call inside the called function or method, or None."""
    name = source.name(call.func)
    if name.startswith("self."):
        return next(
            (
                slow
                for function in source.functions
                if function.owner is caller.owner
                and f"self.{function.node.name}" == name
                and not function.is_async
                for slow in _slow_in(index, source, function)
            ),
            None,
        )
    module, _, own_name = name.rpartition(".")
    for definition in index.plain_functions.get(own_name, ()):
        is_here = not module and definition[0] is source
        if is_here or (module and last_part(module) == definition[0].stem):
            return next(iter(_slow_in(index, *definition)), None)
    return None


def _slow_in(index: ProjectIndex, source: Source, function: Function) -> list[str]:
    names = (
        _slow(source, index, call, SLOW + SLOW_FOR_RUFF) for call in function.calls
    )
    return [name for name in names if name]
