"""An index of a project's models, sessions and routes, built once for all rules."""

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
    """A class that maps a table."""

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
        """The rules that an OpenAPI document or an import contract checks better."""
        self.public = public
        """The operations that are public on purpose."""

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
        """The relationships that some query loads eagerly, or refuses to load."""
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
        """The relationships that load on first access."""
        return {
            name
            for model in self.models.values()
            for name, call in model.relationships.items()
            if is_lazy(call)
        }

    @cached_property
    def sync_session_names(self) -> set[str]:
        """Names of synchronous sessions and of what creates them."""
        return {
            name
            for name, inside in self._session_names
            if inside & (SYNC_SESSIONS | {"sqlalchemy.orm.sessionmaker"})
            and not inside & ASYNC_SESSIONS
        }

    @cached_property
    def session_names(self) -> set[str]:
        """Names of sessions of either kind and of what creates them."""
        return {name for name, _ in self._session_names}

    @cached_property
    def _session_names(self) -> list[tuple[str, set[str]]]:
        """Names such as `SessionDep = Annotated[Session, …]`, with the names inside."""
        kinds = SYNC_SESSIONS | ASYNC_SESSIONS
        return [
            (name, inside)
            for source in self.sources
            for name, value in assigned(source.tree.body)
            if (inside := source.names_in(value)) & (kinds | SESSION_FACTORIES)
            and isinstance(value, ast.Subscript | ast.Call)
        ]

    def depends_on(self, source: Source, nodes: Sequence[ast.AST | None]) -> set[str]:
        """Return the names in expressions, and in the aliases and dependencies used."""
        pending = [last_part(name) for node in nodes for name in source.names_in(node)]
        names: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in names:
                names.add(name)
                pending += self._dependencies.get(name, ())
        return names

    @cached_property
    def _dependencies(self) -> dict[str, set[str]]:
        """The dependencies of functions and of `X = Annotated[…, Depends(…)]`."""
        dependencies: dict[str, set[str]] = defaultdict(set)
        for source in self.sources:
            for name, value in assigned(source.tree.body):
                if isinstance(value, ast.Subscript):
                    dependencies[name] |= {*map(last_part, source.names_in(value))}
            for function in source.functions:
                for parameter, default in function.parameters:
                    names = source.names_in(parameter.annotation)
                    names |= source.names_in(default)
                    dependencies[function.node.name] |= {*map(last_part, names)}
        return dependencies

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
        functions = defaultdict(list)
        for source in self.sources:
            for function in source.functions:
                if not function.is_async and not function.owner:
                    functions[function.node.name].append((source, function))
        return functions

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
        """Return the names of the parameters that hold a session."""
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
    nullable = keyword(value, "nullable")
    if isinstance(nullable, ast.Constant):
        return Column(bool(nullable.value), is_uuid)
    if is_true(keyword(value, "primary_key")):
        return Column(nullable=False, is_uuid=is_uuid)
    optional = annotation is None or is_optional(source, annotation)
    return Column(optional, is_uuid)


def is_optional(source: Source, annotation: ast.expr) -> bool:
    """Return whether a type allows None."""
    if "typing.Optional" in source.names_in(annotation):
        return True
    return any(
        isinstance(node, ast.Constant) and node.value is None
        for node in ast.walk(annotation)
    )


def is_lazy(relationship: ast.Call) -> bool:
    """Return whether `lazy` of a relationship is unset, "select" or True."""
    lazy = keyword(relationship, "lazy")
    # SQLModel passes SQLAlchemy's arguments on in this dict.
    arguments = keyword(relationship, "sa_relationship_kwargs")
    if isinstance(arguments, ast.Dict):
        pairs = zip(arguments.keys, arguments.values, strict=True)
        lazy = next((v for k, v in pairs if k and ast.unparse(k) == "'lazy'"), lazy)
    return lazy is None or (
        isinstance(lazy, ast.Constant) and lazy.value in ("select", True)
    )


def assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that statements assign to, with the values."""
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
    """Return the value of a call's keyword argument, or None."""
    if not isinstance(call, ast.Call):
        return None
    return next((k.value for k in call.keywords if k.arg == name), None)


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def called(source: Source, call: ast.Call) -> str:
    """Return the last name of the called function, also for `a(…).b(…)`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return last_part(source.name(call.func))


def last_part(name: str) -> str:
    return name.rpartition(".")[2]


def looks_like_a_session(source: Source, node: ast.AST) -> bool:
    """Return whether an expression has a name as sessions have: `self.session`."""
    return bool(_SESSION_NAME.match(last_part(source.name(node))))


def route_decorator(function: Function) -> ast.Call | None:
    """Return the decorator of an endpoint, such as `@router.get("/users")`."""
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
    path = decorator.args[0] if decorator.args else keyword(decorator, "path")
    if not isinstance(path, ast.Constant) or not isinstance(path.value, str):
        return False
    return path.value == "" or path.value.startswith("/")


def bases_of(source: Source, node: ast.ClassDef) -> set[str]:
    return {last_part(name) for base in node.bases for name in source.names_in(base)}
