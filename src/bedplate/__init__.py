"""The front door: everything that an application or a module imports.

from bedplate import Module, Router, create_app

`bedplate.django_site` and `bedplate.testing` have the rest. What stands in no `__all__`
of these three may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.admin import Action, Admin, Form, Stat
    from bedplate.api.dependencies import (
        AdminUser,
        CurrentUser,
        IfMatchDep,
        OptionalUser,
        RuntimeDep,
        SessionDep,
        SettingsDep,
        require_permission,
        require_role,
    )
    from bedplate.api.routing import Router
    from bedplate.caller import Caller
    from bedplate.config import PasswordPolicyName, Settings
    from bedplate.core.clock import utc_now
    from bedplate.core.errors import (
        APIError,
        Conflict,
        Detail,
        InvalidCursor,
        NotFound,
        PermanentError,
        PermissionDenied,
        ValidationFailed,
        raises,
    )
    from bedplate.core.permissions import Permission
    from bedplate.core.preconditions import IfMatch
    from bedplate.database import (
        Base,
        BrokenReference,
        ExactDecimal,
        Json,
        ListQuery,
        Query,
        Repository,
        Scope,
        Session,
        TimestampMixin,
        UTCDateTime,
        columns_of,
        create_search_index,
    )
    from bedplate.dispatcher import with_django
    from bedplate.example import BUILT_IN
    from bedplate.jobs import JobRun, Queue, enqueue, job
    from bedplate.main import create_app, install
    from bedplate.module import Module
    from bedplate.modules import CORE
    from bedplate.modules.emails.tasks import send_email
    from bedplate.modules.users.models import User
    from bedplate.modules.users.service import UserService
    from bedplate.openapi_parts import errors
    from bedplate.runtime import Runtime
    from bedplate.schemas import (
        NO_CONTROLS,
        NO_NUL,
        NOT_SENT,
        Digits,
        Instant,
        JsonObject,
        ListParams,
        Page,
        PatchSchema,
        ResponseSchema,
        Schema,
        SearchText,
    )
    from bedplate.worker import run_worker

__all__ = [
    "BUILT_IN",
    "CORE",
    "NOT_SENT",
    "NO_CONTROLS",
    "NO_NUL",
    "APIError",
    "Action",
    "Admin",
    "AdminUser",
    "Base",
    "BrokenReference",
    "Caller",
    "Conflict",
    "CurrentUser",
    "Detail",
    "Digits",
    "ExactDecimal",
    "Form",
    "IfMatch",
    "IfMatchDep",
    "Instant",
    "InvalidCursor",
    "JobRun",
    "Json",
    "JsonObject",
    "ListParams",
    "ListQuery",
    "Module",
    "NotFound",
    "OptionalUser",
    "Page",
    "PasswordPolicyName",
    "PatchSchema",
    "PermanentError",
    "Permission",
    "PermissionDenied",
    "Query",
    "Queue",
    "Repository",
    "ResponseSchema",
    "Router",
    "Runtime",
    "RuntimeDep",
    "Schema",
    "Scope",
    "SearchText",
    "Session",
    "SessionDep",
    "Settings",
    "SettingsDep",
    "Stat",
    "TimestampMixin",
    "UTCDateTime",
    "User",
    "UserService",
    "ValidationFailed",
    "columns_of",
    "create_app",
    "create_search_index",
    "enqueue",
    "errors",
    "install",
    "job",
    "raises",
    "require_permission",
    "require_role",
    "run_worker",
    "send_email",
    "utc_now",
    "with_django",
]

_HOMES = {
    "create_app": "main",
    "install": "main",
    "with_django": "dispatcher",
    "Module": "module",
    "PasswordPolicyName": "config",  # pragma: allowlist secret
    "Settings": "config",
    "Runtime": "runtime",
    "run_worker": "worker",
    "CORE": "modules",
    "BUILT_IN": "example",
    "Router": "api.routing",
    "AdminUser": "api.dependencies",
    "CurrentUser": "api.dependencies",
    "IfMatchDep": "api.dependencies",
    "OptionalUser": "api.dependencies",
    "RuntimeDep": "api.dependencies",
    "SessionDep": "api.dependencies",
    "SettingsDep": "api.dependencies",
    "require_permission": "api.dependencies",
    "require_role": "api.dependencies",
    "errors": "openapi_parts",
    "raises": "core.errors",
    "APIError": "core.errors",
    "Conflict": "core.errors",
    "Detail": "core.errors",
    "InvalidCursor": "core.errors",
    "NotFound": "core.errors",
    "PermanentError": "core.errors",
    "PermissionDenied": "core.errors",
    "ValidationFailed": "core.errors",
    "Base": "database",
    "BrokenReference": "database",
    "columns_of": "database",
    "ExactDecimal": "database",
    "Json": "database",
    "ListQuery": "database",
    "Query": "database",
    "Repository": "database",
    "Scope": "database",
    "Session": "database",
    "TimestampMixin": "database",
    "UTCDateTime": "database",
    "create_search_index": "database",
    "Digits": "schemas",
    "Instant": "schemas",
    "JsonObject": "schemas",
    "NO_CONTROLS": "schemas",
    "NO_NUL": "schemas",
    "SearchText": "schemas",
    "ListParams": "schemas",
    "NOT_SENT": "schemas",
    "Page": "schemas",
    "PatchSchema": "schemas",
    "ResponseSchema": "schemas",
    "Schema": "schemas",
    "Permission": "core.permissions",
    "Caller": "caller",
    "IfMatch": "core.preconditions",
    "utc_now": "core.clock",
    "JobRun": "jobs",
    "Queue": "jobs",
    "enqueue": "jobs",
    "job": "jobs",
    "Action": "admin",
    "Admin": "admin",
    "Form": "admin",
    "Stat": "admin",
    "User": "modules.users.models",
    "UserService": "modules.users.service",
    "send_email": "modules.emails.tasks",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `bedplate --help` and the light modules stay light.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
