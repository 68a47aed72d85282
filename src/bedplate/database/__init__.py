"""The database: the schema's base, engines, the unit of work and the read path."""

from bedplate.database.base import (
    SECRET,
    Base,
    FixedDecimal,
    Json,
    TimestampMixin,
    UTCDateTime,
)
from bedplate.database.lists import ListQuery
from bedplate.database.query import Query
from bedplate.database.work import Database, Repository, Session
from bedplate.schemas import ListParams, Page

__all__ = [
    "SECRET",
    "Base",
    "Database",
    "FixedDecimal",
    "Json",
    "ListParams",
    "ListQuery",
    "Page",
    "Query",
    "Repository",
    "Session",
    "TimestampMixin",
    "UTCDateTime",
]
