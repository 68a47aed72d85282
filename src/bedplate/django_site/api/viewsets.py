"""Viewsets: reads by Django's ORM, writes by the module's service.

A module defines them and a `router` in its `viewsets.py`:

class PostViewSet(ServiceViewSet):
    model = Post
    service = PostService
    lists = LIST_POSTS
    response_schema = PostResponse
    body_schemas = {"create": PostCreate, "partial_update": PostUpdate}
    permissions = {"list": [AllowAny], "retrieve": [AllowAny]}
    not_found = PostNotFound
    lookup_url_kwarg = "post_id"

    @action(detail=True, methods=["post"])
    def publish(self, request, **_):
        return self.change(PostService.publish)


router = ViewSetRouter()
router.register("posts", PostViewSet)

and refers to that file: `Module(rest="bedplate.example.posts.viewsets")`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import HttpResponse
from pydantic import BaseModel
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import GenericViewSet

from bedplate.caller import Caller
from bedplate.core.errors import (
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
)
from bedplate.core.preconditions import IfMatch, is_known
from bedplate.database import ListQuery, Session
from bedplate.django_site.api.conditions import Mapped, to_q
from bedplate.django_site.api.exception_handler import handle_exception
from bedplate.django_site.api.idempotency import (
    idempotent_request,
    replay,
    store,
    store_error,
)
from bedplate.django_site.api.inputs import Inputs, read_json
from bedplate.django_site.api.openapi import ContractSchema
from bedplate.django_site.api.orm_lists import OrmList, rows_of
from bedplate.django_site.api.permissions import (
    IsAdmin,
    IsSignedIn,
    caller_of,
    requires,
)
from bedplate.django_site.api.responses import empty, render, without_body
from bedplate.django_site.authentication import BearerAuthentication
from bedplate.django_site.services import call_service, host, in_unit_of_work
from bedplate.runtime import Runtime
from bedplate.schemas import ResponseSchema

__all__ = [
    "AllowAny",
    "IsAdmin",
    "IsSignedIn",
    "ServiceViewSet",
    "ViewSetRouter",
    "action",
    "requires",
]

Act = Callable[[Any], Awaitable[Any]]
"""Calls a service's method, and returns its result."""


class ServiceViewSet(GenericViewSet[Any]):
    """A resource of a module under REST framework.

    The schemas are the module's own, so errors are the same as FastAPI's. A method
    added with `@action` calls the service by `self.call` and responds by
    `self.respond`, or does both by `self.change`. The inputs are in `self.pk`,
    `self.data`, `self.if_match` and `self.caller`.
    """

    model: ClassVar[Mapped]
    service: ClassVar[Callable[..., Any]]
    lists: ClassVar[ListQuery[Any]]
    response_schema: type[ResponseSchema]
    """The schema of one resource; an action may set its own `response_schema`."""
    body_schemas: ClassVar[Mapping[str, type[BaseModel]]] = {}
    """The schema of the body, by action."""
    permissions: ClassVar[Mapping[str, Sequence[type[BasePermission]]]] = {}
    """Permissions by action, if they differ from `permission_classes`."""
    not_found: ClassVar[type[NotFound]] = NotFound
    service_methods: ClassVar[Mapping[str, str]] = {
        "list": "list_page",
        "retrieve": "get",
        "partial_update": "update",
        "destroy": "delete",
    }
    """The service's method by action, if its name differs; documents its errors."""

    authentication_classes = (BearerAuthentication,)
    permission_classes = (IsSignedIn,)
    http_method_names = ("get", "head", "post", "patch", "delete")
    schema = ContractSchema()

    pk: UUID
    data: Any
    params: Any
    if_match: IfMatch | None
    caller_or_none: Caller | None = None

    @property
    def caller(self) -> Caller:
        """The caller of the request.

        Raises:
            NotAuthenticated: the request has no credentials.
        """
        if self.caller_or_none is None:
            raise NotAuthenticated
        return self.caller_or_none

    # Inputs

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Check the request in FastAPI's order: method, JSON, caller, inputs."""
        if not self.is_allowed:
            allowed = ", ".join(sorted(self.allowed_methods))
            raise MethodNotAllowed(headers={"Allow": allowed})
        schema = self.body_schemas.get(self.action)
        body = read_json(request) if schema else None
        self.perform_authentication(request)
        self.caller_or_none = caller_of(request)
        self.check_permissions(request)
        self.check_throttles(request)
        self._read(schema, body)

    @property
    def is_allowed(self) -> bool:
        return bool(self.action) and self.request.method in self.allowed_methods

    def _read(self, schema: type[BaseModel] | None, body: Any) -> None:
        inputs, request = Inputs(), self.request
        if self.is_change:
            self.if_match = inputs.if_match(request.headers)
        name = self.lookup_url_kwarg or self.lookup_field
        if name in self.kwargs:
            self.pk = inputs.id(name, self.kwargs[name])
        if self.action == "list":
            self.params = inputs.query(self.lists.params, request.META["QUERY_STRING"])
        if schema is not None:
            self.data = inputs.body(schema, body)
        inputs.check()

    @property
    def is_change(self) -> bool:
        """Whether the request changes a resource, so that `If-Match` applies."""
        method = self.request.method
        return method in {"PATCH", "DELETE"} or (method == "POST" and bool(self.detail))

    def get_permissions(self) -> list[Any]:
        classes = self.permissions.get(self.action, self.permission_classes)
        return [permission() for permission in classes]

    def permission_denied(self, request: Any, *_: Any, **__: Any) -> Any:
        raise NotAuthenticated if self.caller_or_none is None else PermissionDenied

    # Responses

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that the caller may see, with the related rows shown.

        Raises:
            ImproperlyConfigured: the list has scopes, so the viewset must choose one.
        """
        if self.lists.scopes:
            name = type(self).__name__
            raise ImproperlyConfigured(
                f"{name}: override get_queryset, and choose a scope"
            )
        return rows_of(self.model, self.lists.item)

    def in_scope(self, name: str, **values: Any) -> QuerySet[Any]:
        """Return the rows of one of the list's scopes."""
        condition = self.lists.scopes[name].condition
        rows = rows_of(self.model, self.lists.item)
        return rows.filter(to_q(self.model, condition, values))

    def get_object(self) -> Any:
        row = self.get_queryset().filter(pk=self.pk).first()
        if row is None:
            raise self.not_found
        return row

    def call(self, act: Act) -> Any:
        """Call the service, commit, and return the result.

        Raises:
            APIError: an error of the service; nothing was written.
        """
        return call_service(type(self).service, act)

    def change(self, act: Callable[..., Awaitable[Any]]) -> HttpResponse:
        """Call a method of the service on this resource, and respond with the result.

        return self.change(PostService.publish)
        """
        result = self.call(
            lambda service: act(service, self.pk, self.caller, self.if_match)
        )
        return self.respond(result)

    def respond(self, result: Any, status: int = HTTPStatus.OK) -> HttpResponse:
        """Return a response of a schema, or of an object with the schema's fields."""
        is_list = self.action == "list"
        schema = self.lists.page if is_list else self.response_schema
        # Exactly: a subclass, such as the caller's, has fields that are not shown.
        if type(result) is not schema:
            result = schema.of(result)
        response = render(result, status)
        known_tags = self.request.headers.get("If-None-Match")
        is_read = self.request.method in {"GET", "HEAD"}
        if not is_read or known_tags is None or "ETag" not in response:
            return response
        is_same = is_known(known_tags, response["ETag"])
        return without_body(response, HTTPStatus.NOT_MODIFIED) if is_same else response

    def create_by(self, act: Act) -> HttpResponse:
        """Create a resource, once for each `Idempotency-Key`, and respond with 201."""
        keyed = idempotent_request(self.request, self.caller_or_none)

        async def create(session: Session, runtime: Runtime) -> HttpResponse:
            if keyed and (stored := await keyed.lock(session)):
                return replay(stored)
            created = await act(type(self).service(session, runtime))
            response = self.respond(created, HTTPStatus.CREATED)
            response["Location"] = f"{self.request.path}/{created.id}"
            if keyed:
                await store(keyed, session, response)
            return response

        return in_unit_of_work(create)

    def handle_exception(self, exc: Exception) -> Any:
        response = handle_exception(exc, self.get_exception_handler_context())
        if self.action != "create":
            return response
        return store_error(self.request, self.caller_or_none, exc, response)

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    # The operations

    def list(self, request: Any, **_: Any) -> HttpResponse:
        """List the resources that you may see, a page at a time."""
        cursors = host().runtime.database.cursors
        rows = OrmList(self.lists, self.model, cursors)
        return self.respond(rows.page(self.get_queryset(), self.params))

    def create(self, request: Any, **_: Any) -> HttpResponse:
        """Create a resource."""
        return self.create_by(lambda service: service.create(self.data, self.caller))

    def retrieve(self, request: Any, **_: Any) -> HttpResponse:
        """Return a resource that you may see."""
        return self.respond(self.get_object())

    def partial_update(self, request: Any, **_: Any) -> HttpResponse:
        """Change the fields of a resource that are sent."""
        changed = self.call(
            lambda service: service.update(
                self.pk, self.data, self.caller, self.if_match
            )
        )
        return self.respond(changed)

    def destroy(self, request: Any, **_: Any) -> HttpResponse:
        """Delete a resource."""
        self.call(lambda service: service.delete(self.pk, self.caller, self.if_match))
        return empty(HTTPStatus.NO_CONTENT)


class ViewSetRouter(SimpleRouter):
    """Routes without a trailing slash, like FastAPI's."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def get_default_basename(self, viewset: Any) -> str:
        return str(viewset.model.__tablename__)


def only_viewsets(endpoints: Iterable[Any]) -> list[Any]:
    """Document only these viewsets; a preprocessing hook of drf-spectacular."""
    return [
        endpoint
        for endpoint in endpoints
        if issubclass(endpoint[-1].cls, ServiceViewSet)
    ]
