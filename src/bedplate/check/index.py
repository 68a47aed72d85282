"""What the rules need to know of a whole project, found out once."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

from bedplate.check.project import Function, Source

SYNC_SESSIONS = {
    "sqlalchemy.orm.Session",
    "sqlalchemy.orm.scoped_session",
    "sqlalchemy.orm.session.Session",
    "sqlmodel.Session",
}
ASYNC_SESSIONS = {
    "sqlalchemy.ext.asyncio.AsyncSession",
    "sqlalchemy.ext.asyncio.async_scoped_session",
    "sqlmodel.ext.asyncio.session.AsyncSession",
}
SESSION_FACTORIES = {
    "sqlalchemy.ext.asyncio.async_sessionmaker",
    "sqlalchemy.orm.sessionmaker",
}
EAGER_OPTIONS = {
    "contains_eager",
    "immediateload",
    "joinedload",
    "raiseload",
    "selectinload",
    "subqueryload",
}
HASHERS = (
    "argon2.PasswordHasher",
    "passlib.context.CryptContext",
    "pwdlib.PasswordHash",
)
_ROUTE_METHODS = {"get", "post", "put", "patch", "delete", "api_route"}
_SESSION_NAME = re.compile(r"^(db|session|\w+_session|db_\w*session|conn|connection)$")


@dataclass(frozen=True)
class Column:
    nullable: bool
    is_uuid: bool


@dataclass(frozen=True)
class Model:
    """A class that is a table."""

    source: Source
    node: ast.ClassDef
    columns: dict[str, Column]
    relationships: dict[str, ast.Call]


class ProjectIndex:
    """A project's models, sessions and routes."""

    def __init__(
        self,
        sources: Sequence[Source],
        covered_elsewhere: AbstractSet[str] = frozenset(),
        public: AbstractSet[str] = frozenset(),
    ) -> None:
        self.sources = sources
        self.covered_elsewhere = covered_elsewhere
        """The rules that a document or a contract of the project knows better."""
        self.public = public
        """The operations that are meant for strangers."""

    @cached_property
    def modules(self) -> set[str]:
        """The paths of modules and packages, without `.py`."""
        files = {source.path.removesuffix(".py") for source in self.sources}
        return files | {path.rpartition("/")[0] for path in files}

    @cached_property
    def models(self) -> dict[str, Model]:
        return {
            node.name: model
            for source in self.sources
            for node in source.classes
            if (model := _model(source, node)) is not None
        }

    @cached_property
    def eager(self) -> set[str]:
        """The relationships that some query loads along, or refuses to load."""
        return {
            node.attr
            for source in self.sources
            for call in source.nodes
            if isinstance(call, ast.Call) and called(source, call) in EAGER_OPTIONS
            for argument in call.args
            for node in ast.walk(argument)
            if isinstance(node, ast.Attribute)
        }

    @cached_property
    def lazy(self) -> set[str]:
        """The relationships that load when they are first looked at."""
        return {
            name
            for model in self.models.values()
            for name, call in model.relationships.items()
            if is_lazy(call)
        }

    @cached_property
    def sync_session_names(self) -> set[str]:
        """Names that stand for a synchronous session, or make one."""
        return {
            name
            for name, inside in self._session_names
            if inside & (SYNC_SESSIONS | {"sqlalchemy.orm.sessionmaker"})
            and not inside & ASYNC_SESSIONS
        }

    @cached_property
    def session_names(self) -> set[str]:
        """Names that stand for a session of either kind."""
        return {name for name, _ in self._session_names}

    @cached_property
    def _session_names(self) -> list[tuple[str, set[str]]]:
        """As `SessionDep = Annotated[Session, …]`, `SessionLocal = sessionmaker()`."""
        kinds = SYNC_SESSIONS | ASYNC_SESSIONS
        return [
            (name, inside)
            for source in self.sources
            for name, value in assigned(source.tree.body)
            if (inside := source.names_in(value)) & (kinds | SESSION_FACTORIES)
            and isinstance(value, ast.Subscript | ast.Call)
        ]

    def depends_on(self, source: Source, nodes: Sequence[ast.AST | None]) -> set[str]:
        """The names in expressions, and in the aliases and dependencies they name."""
        pending = [last_part(name) for node in nodes for name in source.names_in(node)]
        found: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self._dependencies.get(name, ())
        return found

    @cached_property
    def _dependencies(self) -> dict[str, set[str]]:
        """What `X = Annotated[…, Depends(…)]` and what functions ask for, by name."""
        found: dict[str, set[str]] = defaultdict(set)
        for source in self.sources:
            for name, value in assigned(source.tree.body):
                if isinstance(value, ast.Subscript):
                    found[name] |= {*map(last_part, source.names_in(value))}
            for function in source.functions:
                for parameter, default in function.parameters:
                    names = source.names_in(parameter.annotation)
                    names |= source.names_in(default)
                    found[function.node.name] |= {*map(last_part, names)}
        return found

    @cached_property
    def hashers(self) -> set[str]:
        """Names of objects that hash passwords."""
        return {
            name
            for source in self.sources
            for name, value in assigned(source.tree.body)
            if isinstance(value, ast.Call)
            and source.name(value.func).startswith(HASHERS)
        }

    @cached_property
    def plain_functions(self) -> dict[str, list[tuple[Source, Function]]]:
        """Functions that aren't async, by name."""
        found = defaultdict(list)
        for source in self.sources:
            for function in source.functions:
                if not function.is_async and not function.owner:
                    found[function.node.name].append((source, function))
        return found

    def is_sync_session(self, source: Source, annotation: ast.expr | None) -> bool:
        return self._is(source, annotation, SYNC_SESSIONS, self.sync_session_names)

    def is_session(self, source: Source, annotation: ast.expr | None) -> bool:
        kinds = SYNC_SESSIONS | ASYNC_SESSIONS
        return self._is(source, annotation, kinds, self.session_names)

    def _is(
        self,
        source: Source,
        annotation: ast.expr | None,
        kinds: set[str],
        names: set[str],
    ) -> bool:
        inside = source.names_in(annotation)
        return bool(inside & kinds) or any(last_part(name) in names for name in inside)

    def sessions_of(self, source: Source, function: Function) -> set[str]:
        """The parameters that hold a session."""
        return {
            parameter.arg
            for parameter, _ in function.parameters
            if self.is_session(source, parameter.annotation)
        }


def _model(source: Source, node: ast.ClassDef) -> Model | None:
    names = {name for name, _ in assigned(node.body)}
    is_sqlmodel = any(keyword.arg == "table" for keyword in node.keywords)
    if "__tablename__" not in names and not is_sqlmodel:
        return None
    columns, relationships = {}, {}
    for name, annotation, value in _attributes(node):
        kind = last_part(source.name(value.func)) if isinstance(value, ast.Call) else ""
        if isinstance(value, ast.Call) and kind in ("relationship", "Relationship"):
            relationships[name] = value
        elif annotation is not None or kind in ("Column", "mapped_column"):
            columns[name] = _column(source, annotation, value)
    return Model(source, node, columns, relationships)


def _attributes(
    node: ast.ClassDef,
) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, part.annotation, part.value
        elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
            yield part.targets[0].id, None, part.value


def _column(
    source: Source, annotation: ast.expr | None, value: ast.expr | None
) -> Column:
    is_uuid = any(
        last_part(name).lower() == "uuid"
        for name in source.names_in(annotation) | source.names_in(value)
    )
    said = keyword(value, "nullable")
    if isinstance(said, ast.Constant):
        return Column(bool(said.value), is_uuid)
    if is_true(keyword(value, "primary_key")):
        return Column(nullable=False, is_uuid=is_uuid)
    optional = annotation is None or is_optional(source, annotation)
    return Column(optional, is_uuid)


def is_optional(source: Source, annotation: ast.expr) -> bool:
    """Whether a type lets None through."""
    if "typing.Optional" in source.names_in(annotation):
        return True
    return any(
        isinstance(node, ast.Constant) and node.value is None
        for node in ast.walk(annotation)
    )


def is_lazy(relationship: ast.Call) -> bool:
    """Whether nothing is said of how a relationship is loaded, or `select`."""
    said = keyword(relationship, "lazy")
    given = keyword(relationship, "sa_relationship_kwargs")
    if isinstance(given, ast.Dict):
        pairs = zip(given.keys, given.values, strict=True)
        said = next((v for k, v in pairs if k and ast.unparse(k) == "'lazy'"), said)
    return said is None or (
        isinstance(said, ast.Constant) and said.value in ("select", True)
    )


def assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """The names that statements give a value to, and the values."""
    for node in body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.value is not None
        ):
            yield node.target.id, node.value


def keyword(call: ast.AST | None, name: str) -> ast.expr | None:
    """The value of a call's keyword argument."""
    if not isinstance(call, ast.Call):
        return None
    return next((k.value for k in call.keywords if k.arg == name), None)


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def called(source: Source, call: ast.Call) -> str:
    """The last name of what is called, in `a(…).b(…)` too."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return last_part(source.name(call.func))


def last_part(name: str) -> str:
    return name.rpartition(".")[2]


def looks_like_a_session(source: Source, node: ast.AST) -> bool:
    """Whether an expression is called as sessions are: `db`, `self.session`."""
    return bool(_SESSION_NAME.match(last_part(source.name(node))))


def route_decorator(function: Function) -> ast.Call | None:
    """The decorator that makes a function an endpoint: `@router.get("/users")`."""
    for decorator in function.node.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr in _ROUTE_METHODS
            and _is_a_path(decorator)
        ):
            return decorator
    return None


def _is_a_path(decorator: ast.Call) -> bool:
    given = decorator.args[0] if decorator.args else keyword(decorator, "path")
    if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
        return False
    return given.value == "" or given.value.startswith("/")


def bases_of(source: Source, node: ast.ClassDef) -> set[str]:
    return {last_part(name) for base in node.bases for name in source.names_in(base)}
