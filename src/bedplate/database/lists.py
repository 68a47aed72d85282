"""Lists: page and cursor mode, filters, search and order, declared once a resource."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.functions import GenericFunction

from bedplate.core.pagination import Cursors, Position, page_count
from bedplate.database.query import Statement, row_builder
from bedplate.schemas import ListParams, Page, ResponseSchema

R = TypeVar("R", bound=ResponseSchema)
Column = InstrumentedAttribute[Any]


_HAS_UTF8_COLLATION = (17,)


class unicode_lower(GenericFunction[str]):  # noqa: N801, it is a SQL function's name
    """`lower()` that knows more than ASCII, on SQLite too."""

    inherit_cache = True
    type = sa.String()


@compiles(unicode_lower, "postgresql")
def _lower(element: unicode_lower, compiler: Any, **options: Any) -> str:
    # A database made in the C locale lowers ASCII only, unless it is told a collation.
    version = compiler.dialect.server_version_info or (0,)
    collation = ' COLLATE "pg_c_utf8"' if version >= _HAS_UTF8_COLLATION else ""
    return f"lower(({compiler.process(element.clauses, **options)}){collation})"


class _Shape(NamedTuple):
    """What of a list's SQL depends on the request: one compiled statement each."""

    filters: tuple[str, ...]
    searched: bool
    sort: str
    mode: Literal["page", "start", "after"]


class ListQuery(Generic[R]):
    """A resource's list.

    LIST_USERS = ListQuery(
        sa.select(*USER_COLUMNS),
        UserListResponse,
        UserListParams,
        sort=(User.created_at, User.email, User.name),
        filters=(User.role, User.is_active),
        search=(User.email, User.name),
    )

    The id breaks ties, so an unchanged table shows each row once. Each combination of
    filters, order and mode is compiled once.

    Raises:
        TypeError: the parameters, the columns and the row don't fit together.
    """

    def __init__(
        self,
        select: sa.Select[*tuple[Any, ...]],
        page: type[Page[R]],
        params: type[ListParams],
        *,
        sort: Sequence[Column],
        filters: Sequence[Column] = (),
        search: Sequence[Column] = (),
    ) -> None:
        self.select = select
        self.page = page
        self.sort: Mapping[str, Column] = {column.key: column for column in sort}
        self.filters: Mapping[str, Column] = {column.key: column for column in filters}
        self.search = search
        self.id = sort[0].class_.id
        self._columns = [column.key for column in select.selected_columns]
        self.build = row_builder(_item_type(page), self._columns)
        self._statements: dict[_Shape, Statement] = {}
        self._check(params)

    def _check(self, params: type[ListParams]) -> None:
        own = params.model_fields.keys() - ListParams.model_fields.keys()
        expected = {"sort", *self.filters, *(["q"] if self.search else [])}
        if own != expected:
            raise TypeError(f"{params.__name__} declares {own}, not {expected}")
        orders = {f"{sign}{name}" for name in self.sort for sign in ("", "-")}
        if set(get_args(params.model_fields["sort"].annotation)) != orders:
            raise TypeError(f"{params.__name__}.sort must be a Literal of {orders}")
        if missing := {*self.sort, "id"} - set(self._columns):
            raise TypeError(f"the list must select {missing} to sort by it")

    def prepare(
        self, params: ListParams, cursors: Cursors
    ) -> tuple[Statement, dict[str, Any]]:
        """The statement for a request, and its values.

        Raises:
            InvalidCursor: the cursor is not of this list in this order.
        """
        asked = vars(params)
        values = {n: asked[n] for n in self.filters if asked[n] is not None}
        filters = tuple(values)
        values["rows"] = params.limit
        if asked.get("q"):
            values["pattern"] = _like(asked["q"])
        if params.cursor is None:
            mode: Literal["page", "start", "after"] = "page"
            values["skipped"] = (params.page - 1) * params.limit
        else:
            values["rows"] += 1  # one more tells whether there is a next page
            mode = "after" if params.cursor else "start"
        if params.cursor:
            position = self._position(asked["sort"], params.cursor, cursors)
            values |= {"after_value": position.value, "after_id": position.id}
        shape = _Shape(filters, "pattern" in values, asked["sort"], mode)
        return self._statement(shape), values

    def _position(self, sort: str, cursor: str, cursors: Cursors) -> Position:
        column = self.sort[sort.removeprefix("-")]
        return cursors.read(sort, cursor, column.type.python_type)

    def _statement(self, shape: _Shape) -> Statement:
        statement = self._statements.get(shape)
        if statement is None:
            statement = self._statements[shape] = Statement(self._write(shape))
        return statement

    def _write(self, shape: _Shape) -> sa.Select[*tuple[Any, ...]]:
        matching = self.select.where(*self._conditions(shape))
        if shape.mode == "page":
            return self._with_total(matching, shape)
        return self._ordered(matching, shape).limit(sa.bindparam("rows", type_=_INT))

    def _conditions(self, shape: _Shape) -> list[sa.ColumnElement[bool]]:
        conditions = [
            self.filters[name] == sa.bindparam(name, type_=self.filters[name].type)
            for name in shape.filters
        ]
        if shape.searched:
            # Lowered by the database too: Python's rules are not quite PostgreSQL's.
            pattern = unicode_lower(sa.bindparam("pattern", type_=sa.String()))
            conditions.append(
                sa.or_(
                    *(unicode_lower(c).like(pattern, escape="\\") for c in self.search)
                )
            )
        if shape.mode == "after":
            conditions.append(self._after(shape.sort))
        return conditions

    def _after(self, sort: str) -> sa.ColumnElement[bool]:
        """A row comparison, which an index on (column, id) answers at any depth."""
        column = self.sort[sort.removeprefix("-")]
        here = sa.tuple_(column, self.id)
        last = sa.tuple_(
            sa.bindparam("after_value", type_=column.type),
            sa.bindparam("after_id", type_=self.id.type),
        )
        return here < last if sort.startswith("-") else here > last

    def _ordered(
        self, select: sa.Select[*tuple[Any, ...]], shape: _Shape
    ) -> sa.Select[*tuple[Any, ...]]:
        column = self.sort[shape.sort.removeprefix("-")]
        return select.order_by(*_directed(shape.sort, column, self.id))

    def _with_total(
        self, matching: sa.Select[*tuple[Any, ...]], shape: _Shape
    ) -> sa.Select[*tuple[Any, ...]]:
        """Total and rows in one round trip, of one snapshot; the total without rows."""
        count = matching.with_only_columns(
            sa.func.count().label("total"), maintain_column_froms=True
        ).subquery("counted")
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

    def read(
        self, rows: Sequence[Sequence[Any]], params: ListParams, cursors: Cursors
    ) -> Page[R]:
        """The page that the statement's rows make."""
        if params.cursor is None:
            return self._read_page(rows, params, cursors)
        items = [self.build(row) for row in rows[: params.limit]]
        more = len(rows) > params.limit
        cursor = self._next_cursor(items, params, cursors) if more else None
        return self.page(items, None, None, params.limit, None, cursor)

    def _read_page(
        self, rows: Sequence[Sequence[Any]], params: ListParams, cursors: Cursors
    ) -> Page[R]:
        total: int = rows[0][0]
        id_position = 1 + self._columns.index("id")
        items = [self.build(r[1:]) for r in rows if r[id_position] is not None]
        more = items and params.page * params.limit < total
        cursor = self._next_cursor(items, params, cursors) if more else None
        pages = page_count(total, params.limit)
        return self.page(items, total, params.page, params.limit, pages, cursor)

    def _next_cursor(
        self, items: Sequence[Any], params: ListParams, cursors: Cursors
    ) -> str:
        sort: str = vars(params)["sort"]
        last = items[-1]
        value = getattr(last, sort.removeprefix("-"))
        return cursors.write(sort, Position(value, last.id))


_INT = sa.BigInteger()


def _item_type(page: type[Page[R]]) -> type[R]:
    items = next(f for f in msgspec.structs.fields(page) if f.name == "items")
    return cast("type[R]", get_args(items.type)[0])


def _directed(sort: str, *columns: Any) -> list[sa.UnaryExpression[Any]]:
    return [sa.desc(c) if sort.startswith("-") else sa.asc(c) for c in columns]


def _like(text: str) -> str:
    r"""A LIKE pattern that finds `text` anywhere; `%`, `_` and `\` are literal."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
