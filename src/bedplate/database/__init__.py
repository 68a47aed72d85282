"""The database: model base classes, engines, the unit of work and the read path."""

from bedplate.database.base import (
    SECRET,
    Base,
    ExactDecimal,
    Json,
    TimestampMixin,
    UTCDateTime,
)
from bedplate.database.columns import columns_of
from bedplate.database.driver_errors import BrokenReference
from bedplate.database.lists import ListQuery, Scope
from bedplate.database.query import Query, ValueQuery
from bedplate.database.repository import Repository
from bedplate.database.search import create_search_index
from bedplate.database.session import Database, Session

__all__ = [
    "SECRET",
    "Base",
    "BrokenReference",
    "Database",
    "ExactDecimal",
    "Json",
    "ListQuery",
    "Query",
    "Repository",
    "Scope",
    "Session",
    "TimestampMixin",
    "UTCDateTime",
    "ValueQuery",
    "columns_of",
    "create_search_index",
]
