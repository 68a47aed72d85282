"""Lists with pages or cursors, filters, search and sort, declared once a resource."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.util import find_tables

from bedplate.core.pagination import Cursors, Position, page_count
from bedplate.database.query import Statement
from bedplate.database.search import contains, unicode_lower
from bedplate.database.structs import row_builder
from bedplate.schemas import ListParams, Page, ResponseSchema

R = TypeVar("R", bound=ResponseSchema)
Column = InstrumentedAttribute[Any]


class Scope(NamedTuple):
    """The rows that a caller may see. Filters, searches and counts apply within it."""

    condition: sa.ColumnElement[bool]
    """May have parameters, such as `bindparam("caller_id")`."""
    never_null: Sequence[Column] = ()
    """Nullable columns that are never NULL within the scope."""


Conditions = Mapping[str, sa.ColumnElement[bool]]
"""A condition for each value that a filter accepts."""


class _Shape(NamedTuple):
    """The parts of a request that change a list's SQL. Each shape is compiled once."""

    scope: str | None
    # Each with its value if every value has its own condition, otherwise with None.
    filters: tuple[tuple[str, str | None], ...]
    has_search: bool
    sort: str
    mode: Literal["page", "start", "after", "after_null"]


class ListQuery(Generic[R]):
    """The list of a resource.

    LIST_USERS = ListQuery(
        select(*columns_of(UserResponse, User)),
        UserListResponse,
        UserListParams,
        search=(User.email, User.name),
    )

    Sort orders and filters are derived from the parameters: each value of `sort`, and
    each parameter that `ListParams` doesn't have, is the name of a column of the model
    whose `id` is selected. Pass `filters` for a parameter that filters by another
    column, or that has a condition for each of its values.

    Rows with equal sort values are sorted by id, so that an unchanged table shows each
    row once. NULL sorts as the largest value. `scopes` are the sets of rows that
    callers may see. Each combination of scope, filters, sort and mode is compiled once.

    Raises:
        TypeError: the parameters, the selected columns and the response don't match.
    """

    def __init__(
        self,
        select: sa.Select[*tuple[Any, ...]],
        page: type[Page[R]],
        params: type[ListParams],
        *,
        filters: Mapping[str, Column | Conditions] | None = None,
        search: Sequence[Column] = (),
        scopes: Mapping[str, Scope] | None = None,
    ) -> None:
        self.select = select
        self.page = page
        self.params = params
        self.item = _item_type(page)
        self.search = search
        self.scopes = scopes or {}
        model = _listed_model(select)
        self.id: Column = model.id
        self.sort: Mapping[str, Column] = _sort_columns(params, model)
        self.filters = _filters(params, model, filters or {})
        self._columns = [column.key for column in select.selected_columns]
        self.build = row_builder(self.item, list(select.selected_columns))
        self._statements: dict[_Shape, Statement] = {}
        self._check(params)
        self._everything = self._with_every_condition()

    def _check(self, params: type[ListParams]) -> None:
        if ("q" in params.model_fields) != bool(self.search):
            raise TypeError(
                f"{params.__name__} declares `q` if and only if the list has `search`"
            )
        if missing := {*self.sort, "id"} - set(self._columns):
            raise TypeError(f"the list must select {missing} to sort by it")

    def _with_every_condition(self) -> Statement:
        """Return a statement with every condition, to compile before any request.

        A condition that has no SQL on a database then fails at startup.
        """
        conditions = [scope.condition for scope in self.scopes.values()]
        for name, target in self.filters.items():
            choices = target if isinstance(target, Mapping) else [None]
            conditions += [self._filter(name, choice) for choice in choices]
        select = self.select.where(*conditions)
        return Statement(select, f"ListQuery of {self.item.__name__}")

    def prepare(
        self, params: ListParams, cursors: Cursors, scope: str | None = None
    ) -> tuple[Statement, dict[str, Any]]:
        """Return the statement for a request and the values of its parameters.

        Raises:
            InvalidCursor: the cursor belongs to another list or sort.
        """
        query = vars(params)
        filter_values = {n: query[n] for n in self.filters if query[n] is not None}
        filters = tuple((n, self._choice(n, v)) for n, v in filter_values.items())
        values = {**filter_values, "rows": params.limit}
        if query.get("q"):
            values["pattern"] = contains(query["q"])
        if params.cursor is None:
            mode: Literal["page", "start", "after", "after_null"] = "page"
            values["skipped"] = (params.page - 1) * params.limit
        else:
            values["rows"] += 1  # if the extra row exists, there is a next page
            mode = "start"
        if position := self.position(params, cursors):
            mode = "after_null" if position.value is None else "after"
            values |= {"after_value": position.value, "after_id": position.id}
        shape = _Shape(scope, filters, "pattern" in values, query["sort"], mode)
        return self._statement(shape), values

    def _choice(self, name: str, value: Any) -> str | None:
        return value if isinstance(self.filters[name], Mapping) else None

    def position(self, params: ListParams, cursors: Cursors) -> Position | None:
        """Return the position of the row before the page, or None without a cursor.

        Raises:
            InvalidCursor: the cursor belongs to another list or sort.
        """
        if not params.cursor:
            return None
        sort: str = vars(params)["sort"]
        column = self.sort[sort.removeprefix("-")]
        value_type = column.type.python_type
        value_type = value_type | None if is_nullable(column) else value_type
        return cursors.read(sort, params.cursor, value_type)

    def _statement(self, shape: _Shape) -> Statement:
        statement = self._statements.get(shape)
        if statement is None:
            statement = self._statements[shape] = Statement(self._write(shape))
        return statement

    def _write(self, shape: _Shape) -> sa.Select[*tuple[Any, ...]]:
        matching = _with_unique_names(self.select).where(*self._conditions(shape))
        if shape.mode == "page":
            return self._with_total(matching, shape)
        return self._ordered(matching, shape).limit(sa.bindparam("rows", type_=_INT))

    def _conditions(self, shape: _Shape) -> list[sa.ColumnElement[bool]]:
        conditions = [self._filter(name, choice) for name, choice in shape.filters]
        if shape.scope is not None:
            conditions.append(self.scopes[shape.scope].condition)
        if shape.has_search:
            # The database lowers the pattern too: PostgreSQL's rules for lower case
            # differ slightly from Python's.
            pattern = unicode_lower(sa.bindparam("pattern", type_=sa.String()))
            conditions.append(
                sa.or_(
                    *(unicode_lower(c).like(pattern, escape="\\") for c in self.search)
                )
            )
        if shape.mode == "after":
            conditions.append(self._after(shape))
        if shape.mode == "after_null":
            conditions.append(self._after_null(shape))
        return conditions

    def _filter(self, name: str, choice: str | None) -> sa.ColumnElement[bool]:
        target = self.filters[name]
        if isinstance(target, Mapping):
            return target[choice or ""]
        return target == sa.bindparam(name, type_=target.type)

    def _after(self, shape: _Shape) -> sa.ColumnElement[bool]:
        # A comparison of rows, which an index on (column, id) serves at any depth.
        column = self.sort[shape.sort.removeprefix("-")]
        position = sa.tuple_(column, self.id)
        last = sa.tuple_(sa.bindparam("after_value", type_=column.type), self._last_id)
        if shape.sort.startswith("-"):
            return position < last
        if self._has_nulls(column, shape.scope):
            return sa.or_(position > last, column.is_(None))
        return position > last

    def _after_null(self, shape: _Shape) -> sa.ColumnElement[bool]:
        # The last row's value is NULL: NULLs come last, or first in descending order.
        column = self.sort[shape.sort.removeprefix("-")]
        if not shape.sort.startswith("-"):
            return sa.and_(column.is_(None), self.id > self._last_id)
        remaining_nulls = sa.and_(column.is_(None), self.id < self._last_id)
        return sa.or_(remaining_nulls, column.is_not(None))

    def _has_nulls(self, column: Column, scope: str | None) -> bool:
        never = self.scopes[scope].never_null if scope is not None else ()
        return is_nullable(column) and not any(column is other for other in never)

    @property
    def _last_id(self) -> sa.BindParameter[Any]:
        return sa.bindparam("after_id", type_=self.id.type)

    def _ordered(
        self, select: sa.Select[*tuple[Any, ...]], shape: _Shape
    ) -> sa.Select[*tuple[Any, ...]]:
        column = self.sort[shape.sort.removeprefix("-")]
        return select.order_by(*_directed(shape.sort, column, self.id))

    def _with_total(
        self, matching: sa.Select[*tuple[Any, ...]], shape: _Shape
    ) -> sa.Select[*tuple[Any, ...]]:
        # One statement reads the total and the rows: one round trip and one snapshot.
        # The outer join returns the total also if the page has no rows.
        count = self._count(matching).subquery("counted")
        rows = (
            self._ordered(matching, shape)
            .limit(sa.bindparam("rows", type_=_INT))
            .offset(sa.bindparam("skipped", type_=_INT))
            .subquery("page")
        )
        sort = rows.c[shape.sort.removeprefix("-")]
        return (
            sa.select(count.c.total, *rows.c)
            .select_from(count.outerjoin(rows, sa.true()))
            .order_by(*_directed(shape.sort, sort, rows.c.id))
        )

    def _count(
        self, matching: sa.Select[*tuple[Any, ...]]
    ) -> sa.Select[*tuple[Any, ...]]:
        """Return a count of the matching rows, without outer joins it doesn't need."""
        if _is_grouped(matching):
            rows = matching.order_by(None).subquery("matching")
            return sa.select(sa.func.count().label("total")).select_from(rows)
        where = matching.whereclause
        needed = [] if where is None else find_tables(where, check_columns=True)
        froms = [_without_outer_joins(f, needed) for f in matching.get_final_froms()]
        count: sa.Select[*tuple[Any, ...]] = sa.select(sa.func.count().label("total"))
        count = count.select_from(*froms)
        return count if where is None else count.where(where)

    def read(
        self, rows: Sequence[Sequence[Any]], params: ListParams, cursors: Cursors
    ) -> Page[R]:
        """Return the page for the rows of a prepared statement."""
        if params.cursor is not None:
            return self.page_of([self.build(row) for row in rows], params, cursors)
        id_position = 1 + self._columns.index("id")
        items = [self.build(r[1:]) for r in rows if r[id_position] is not None]
        return self.page_of(items, params, cursors, total=rows[0][0])

    def page_of(
        self,
        items: Sequence[R],
        params: ListParams,
        cursors: Cursors,
        *,
        total: int | None = None,
    ) -> Page[R]:
        """Return the page for these items.

        In cursor mode (`total` is None) an item beyond the limit is dropped and means
        that there is a next page.
        """
        limit, page_items = params.limit, list(items[: params.limit])
        if total is None:
            has_next = len(items) > limit
            number = pages = None
        else:
            has_next = bool(items) and params.page * limit < total
            number, pages = params.page, page_count(total, limit)
        cursor = self._next_cursor(page_items, params, cursors) if has_next else None
        return self.page(page_items, total, number, limit, pages, cursor)

    def _next_cursor(
        self, items: Sequence[Any], params: ListParams, cursors: Cursors
    ) -> str:
        sort: str = vars(params)["sort"]
        last = items[-1]
        value = getattr(last, sort.removeprefix("-"))
        return cursors.write(sort, Position(value, last.id))


_INT = sa.BigInteger()


def _listed_model(select: sa.Select[*tuple[Any, ...]]) -> Any:
    """Return the mapped class whose `id` the list selects.

    Raises:
        TypeError: it selects no `id`.
    """
    for description in select.column_descriptions:
        if description["name"] == "id" and description["entity"] is not None:
            return description["entity"]
    raise TypeError("a list must select the `id` of its model: add it to the columns")


def _sort_columns(params: type[ListParams], model: Any) -> Mapping[str, Column]:
    """Return the column for each name in `sort`.

    Raises:
        TypeError: `sort` doesn't have each name with and without `-`.
    """
    orders = set(get_args(params.model_fields["sort"].annotation))
    names = {str(order).removeprefix("-") for order in orders}
    expected = {f"{sign}{name}" for name in names for sign in ("", "-")}
    if not orders or orders != expected:
        raise TypeError(f"{params.__name__}.sort must be a Literal of {expected}")
    return {name: _column(params, model, name) for name in sorted(names)}


def _filters(
    params: type[ListParams], model: Any, overrides: Mapping[str, Column | Conditions]
) -> Mapping[str, Column | Conditions]:
    names = [
        name
        for name in params.model_fields
        if name not in ListParams.model_fields and name not in ("sort", "q")
    ]
    if unknown := overrides.keys() - set(names):
        raise TypeError(f"{params.__name__} has no parameter for the filters {unknown}")
    return {
        name: overrides[name] if name in overrides else _column(params, model, name)
        for name in names
    }


def _column(params: type[ListParams], model: Any, name: str) -> Column:
    column = getattr(model, name, None)
    if column is None:
        raise TypeError(
            f"{params.__name__}: {model.__name__} has no column {name!r}. Pass another "
            f"column or a condition for each value, filters={{{name!r}: …}}"
        )
    return cast("Column", column)


def _with_unique_names(
    select: sa.Select[*tuple[Any, ...]],
) -> sa.Select[*tuple[Any, ...]]:
    """Rename columns that share a name, such as `author_id` and `author: Author`'s id.

    Rows are read by position, but a subquery refers to its columns by name.
    """
    columns: list[Any] = list(select.selected_columns)
    names = [column.key for column in columns]
    if len(set(names)) == len(names):
        return select
    unique = [
        column if names.index(column.key) == index else column.label(f"column_{index}")
        for index, column in enumerate(columns)
    ]
    return select.with_only_columns(*unique, maintain_column_froms=True)


def _is_grouped(select: Any) -> bool:
    """Return whether one row of the result can stand for several joined rows."""
    # Private: SQLAlchemy has no public names for these clauses.
    clauses = ("_group_by_clauses", "_having_criteria", "_distinct")
    return any(getattr(select, clause) for clause in clauses)


def _without_outer_joins(from_: Any, needed: Sequence[Any]) -> Any:
    while isinstance(from_, sa.Join) and from_.isouter and from_.right not in needed:
        from_ = from_.left
    return from_


def _item_type(page: type[Page[R]]) -> type[R]:
    items = next(f for f in msgspec.structs.fields(page) if f.name == "items")
    rows, *_ = get_args(items.type)  # `Annotated[list[R], …]`
    return cast("type[R]", get_args(rows)[0])


def _directed(sort: str, *columns: Any) -> list[sa.UnaryExpression[Any]]:
    return [_directed_one(sort.startswith("-"), column) for column in columns]


def _directed_one(descending: bool, column: Any) -> sa.UnaryExpression[Any]:
    ordered: sa.UnaryExpression[Any] = sa.desc(column) if descending else sa.asc(column)
    if is_nullable(column):  # PostgreSQL's default, written out for SQLite
        ordered = sa.nulls_first(ordered) if descending else sa.nulls_last(ordered)
    return ordered


def is_nullable(column: Any) -> bool:
    return bool(getattr(column.expression, "nullable", False))
