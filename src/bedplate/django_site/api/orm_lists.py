"""A module's lists by Django's ORM. Pages and cursors are the same as FastAPI's."""

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Any, Generic, TypeVar

import msgspec
from django.db.models import BooleanField, F, Func, Q, QuerySet, TextField, Value

from bedplate.core.pagination import Cursors, Position
from bedplate.database import ListQuery
from bedplate.database.lists import is_nullable
from bedplate.database.search import contains
from bedplate.django_site.api.conditions import Mapped, path_of, references, to_q
from bedplate.django_site.bridge import model_of, secrets_of
from bedplate.schemas import ListParams, Page, ResponseSchema

R = TypeVar("R", bound=ResponseSchema)
Rows = QuerySet[Any]

_HAS_UTF8_COLLATION = 170000


class Contains(Func):
    """A case-insensitive search in a column, as in `bedplate.database.search`."""

    output_field = BooleanField()

    def __init__(self, column: str, text: str) -> None:
        pattern = Value(contains(text), output_field=TextField())
        super().__init__(F(column), pattern)

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        return self._compared(compiler, "unicode_lower({})")

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> Any:
        has_collation = connection.pg_version >= _HAS_UTF8_COLLATION
        collation = ' COLLATE "pg_c_utf8"' if has_collation else ""
        return self._compared(compiler, f"lower(({{}}){collation})")

    def _compared(self, compiler: Any, lowered: str) -> Any:
        parts = [compiler.compile(part) for part in self.get_source_expressions()]
        (text, text_values), (pattern, pattern_values) = parts
        sql = f"{lowered.format(text)} LIKE {lowered.format(pattern)} ESCAPE '\\'"
        return sql, (*text_values, *pattern_values)


def rows_of(mapped: Mapped, item: type[ResponseSchema]) -> Rows:
    """Return all rows with the related rows that an item shows, without secrets."""
    rows: Rows = model_of(mapped).objects.all()
    hidden = [*secrets_of(mapped)]
    nested = {field.name for field in msgspec.structs.fields(item)}
    related = {n: other for n, other in references(mapped).items() if n in nested}
    for name, other in related.items():
        hidden += [f"{name}__{secret}" for secret in secrets_of(other.class_)]
    # Without names, `select_related` would follow every foreign key.
    return (rows.select_related(*related) if related else rows).defer(*hidden)


class OrmList(Generic[R]):
    """A module's list, read by Django's ORM."""

    def __init__(self, query: ListQuery[R], mapped: Mapped, cursors: Cursors) -> None:
        self._query = query
        self._mapped = mapped
        self._cursors = cursors

    def page(self, rows: Rows, params: ListParams) -> Page[R]:
        """Return the requested page of the rows that the caller may see.

        Raises:
            InvalidCursor: the cursor belongs to another list or another order.
        """
        sort: str = vars(params)["sort"]
        matching = rows.filter(*self._conditions(params))
        ordered = matching.order_by(*self._order(sort))
        if params.cursor is None:
            start = (params.page - 1) * params.limit
            items = self._items(ordered[start : start + params.limit])
            total = matching.count()
            return self._query.page_of(items, params, self._cursors, total=total)
        if position := self._query.position(params, self._cursors):
            ordered = ordered.filter(self._after(sort, position))
        items = self._items(
            ordered[: params.limit + 1]
        )  # one more shows if there is a next page
        return self._query.page_of(items, params, self._cursors)

    def _items(self, rows: Rows) -> list[R]:
        return [self._query.item.of(row) for row in rows]

    def _conditions(self, params: ListParams) -> Iterator[Q]:
        values = vars(params)
        for name, target in self._query.filters.items():
            value = values[name]
            if value is None:
                continue
            if isinstance(target, Mapping):
                yield to_q(self._mapped, target[value], {})
            else:
                yield Q((self._path(target), value))
        if text := values.get("q"):
            matches = [Q(Contains(self._path(c), text)) for c in self._query.search]
            yield reduce(or_, matches)

    def _path(self, column: Any) -> str:
        return path_of(self._mapped, column)

    def _order(self, sort: str) -> list[Any]:
        """Return the order. NULL sorts as the largest value, on both databases."""
        column = self._query.sort[sort.removeprefix("-")]
        field, id_ = F(self._path(column)), F("pk")
        empty = is_nullable(column) or None
        if sort.startswith("-"):
            return [field.desc(nulls_first=empty), id_.desc()]
        return [field.asc(nulls_last=empty), id_.asc()]

    def _after(self, sort: str, last: Position) -> Q:
        """Return the condition for the rows after a position.

        Its first bound looks redundant; it lets the database use an index.
        """
        column = self._query.sort[sort.removeprefix("-")]
        path, descending = self._path(column), sort.startswith("-")
        lookup = "lt" if descending else "gt"
        after_id = Q((f"pk__{lookup}", last.id))
        if last.value is None:
            nulls = Q((f"{path}__isnull", True)) & after_id
            return nulls | Q((f"{path}__isnull", False)) if descending else nulls
        after_value = Q((f"{path}__{lookup}", last.value)) | after_id
        after = Q((f"{path}__{lookup}e", last.value)) & after_value
        if descending or not is_nullable(column):
            return after
        return after | Q((f"{path}__isnull", True))
