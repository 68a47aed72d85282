"""`columns_of`: derives the columns of a SELECT from the struct of its rows."""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from bedplate.database.structs import nested_struct


def columns_of(
    row: type[msgspec.Struct], model: Any, /, **sources: Any
) -> list[sa.ColumnElement[Any]]:
    """Return the columns that fill a struct, in the order of its fields.

    POSTS = select(*columns_of(PostResponse, Post, author=User)).join(User)

    A field takes the model's attribute of the same name. For a field that is a struct
    itself, pass its model, here `author=User`; for a deeper one use its path,
    `author_company=Company`. For any other field pass an expression:
    `comments=func.count(Comment.id)`.

    Raises:
        TypeError: a field has no column, or a source has no field. The message names
            it.
    """
    remaining = dict(sources)
    columns = list(_columns(row, model, "", remaining))
    if remaining:
        names = ", ".join(sorted(remaining))
        raise TypeError(f"{row.__name__} has no field for {names}")
    return columns


def _columns(
    row: Any, model: Any, prefix: str, sources: dict[str, Any]
) -> Iterator[sa.ColumnElement[Any]]:
    for field in msgspec.structs.fields(row):
        path = f"{prefix}{field.name}"
        source = sources.pop(path, None)
        nested = nested_struct(field.type)
        if nested is None:
            yield _column(row, model, field.name, path, source)
        elif source is None:
            raise TypeError(
                f"{row.__name__}.{field.name} is a struct: pass the model that fills "
                f"it, {path}=…"
            )
        else:
            yield from _columns(nested, source, f"{path}_", sources)


def _column(row: Any, model: Any, name: str, path: str, source: Any) -> Any:
    column = getattr(model, name, None) if source is None else source
    if column is None:
        raise TypeError(
            f"{row.__name__}.{name} has no column: {model.__name__} has no attribute "
            f"of that name. Add one, or pass an expression, {path}=…"
        )
    return column if getattr(column, "key", None) == path else column.label(path)
