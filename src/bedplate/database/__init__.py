"""The database: the schema's base, engines, the unit of work and the read path."""

from bedplate.database.base import (
    SECRET,
    Base,
    ExactDecimal,
    Json,
    TimestampMixin,
    UTCDateTime,
)
from bedplate.database.driver_errors import BrokenReference
from bedplate.database.lists import Choices, ListQuery, Scope
from bedplate.database.query import Query
from bedplate.database.repository import Repository
from bedplate.database.search import create_search_index
from bedplate.database.session import Database, Session
from bedplate.schemas import ListParams, Page

__all__ = [
    "SECRET",
    "Base",
    "BrokenReference",
    "Choices",
    "Database",
    "ExactDecimal",
    "Json",
    "ListParams",
    "ListQuery",
    "Page",
    "Query",
    "Repository",
    "Scope",
    "Session",
    "TimestampMixin",
    "UTCDateTime",
    "create_search_index",
]
