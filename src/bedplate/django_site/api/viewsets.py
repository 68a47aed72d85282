"""Viewsets: reads by Django's ORM, writes by the module's service.

A module has them in its `viewsets.py`, with a `router` below:

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

and names that file: `Module(rest="bedplate.example.posts.viewsets")`.
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
from bedplate.django_site.api.responses import answer, empty, without_body
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
"""What to do with a service."""


class ServiceViewSet(GenericViewSet[Any]):
    """A resource of a module under REST framework.

    The schemas are the module's own, so each refusal is the one that FastAPI gives. A
    method added with `@action` has a service do it by `self.call` and answers by
    `self.respond`, or both by `self.change`. What was asked is in `self.pk`,
    `self.data`, `self.if_match` and `self.caller`.
    """

    model: ClassVar[Mapped]
    service: ClassVar[Callable[..., Any]]
    lists: ClassVar[ListQuery[Any]]
    response_schema: type[ResponseSchema]
    """What shows one; `@action(response_schema=…)` for another."""
    body_schemas: ClassVar[Mapping[str, type[BaseModel]]] = {}
    """By action, as serializers are by `get_serializer_class`."""
    permissions: ClassVar[Mapping[str, Sequence[type[BasePermission]]]] = {}
    """By action, where they differ from `permission_classes`."""
    not_found: ClassVar[type[NotFound]] = NotFound
    service_methods: ClassVar[Mapping[str, str]] = {
        "list": "list_page",
        "retrieve": "get",
        "partial_update": "update",
        "destroy": "delete",
    }
    """The service's method by action, if its name differs; its errors are declared."""

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
        """Who asks.

        Raises:
            NotAuthenticated: a stranger.
        """
        if self.caller_or_none is None:
            raise NotAuthenticated
        return self.caller_or_none

    # What is asked

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Refuses in FastAPI's order: method, form of the body, caller, inputs."""
        if not self.is_allowed:
            allowed = ", ".join(sorted(self.allowed_methods))
            raise MethodNotAllowed(headers={"Allow": allowed})
        schema = self.body_schemas.get(self.action)
        sent = read_json(request) if schema else None
        self.perform_authentication(request)
        self.caller_or_none = caller_of(request)
        self.check_permissions(request)
        self.check_throttles(request)
        self._read(schema, sent)

    @property
    def is_allowed(self) -> bool:
        return bool(self.action) and self.request.method in self.allowed_methods

    def _read(self, schema: type[BaseModel] | None, sent: Any) -> None:
        inputs, request = Inputs(), self.request
        if self.is_change:
            self.if_match = inputs.if_match(request.headers)
        name = self.lookup_url_kwarg or self.lookup_field
        if name in self.kwargs:
            self.pk = inputs.id(name, self.kwargs[name])
        if self.action == "list":
            self.params = inputs.query(self.lists.params, request.META["QUERY_STRING"])
        if schema is not None:
            self.data = inputs.body(schema, sent)
        inputs.check()

    @property
    def is_change(self) -> bool:
        """Whether it changes what is there, which `If-Match` can forbid."""
        method = self.request.method
        return method in {"PATCH", "DELETE"} or (method == "POST" and bool(self.detail))

    def get_permissions(self) -> list[Any]:
        chosen = self.permissions.get(self.action, self.permission_classes)
        return [kind() for kind in chosen]

    def permission_denied(self, request: Any, *_: Any, **__: Any) -> Any:
        raise NotAuthenticated if self.caller_or_none is None else PermissionDenied

    # What is answered

    def get_queryset(self) -> QuerySet[Any]:
        """The rows that the caller may know of, with all that is shown of them.

        Raises:
            ImproperlyConfigured: the list has scopes, so the viewset has to say which.
        """
        if self.lists.scopes:
            name = type(self).__name__
            raise ImproperlyConfigured(f"{name}.get_queryset must choose a scope")
        return rows_of(self.model, self.lists.item)

    def in_scope(self, name: str, **values: Any) -> QuerySet[Any]:
        """The rows of one of the list's scopes."""
        condition = self.lists.scopes[name].condition
        rows = rows_of(self.model, self.lists.item)
        return rows.filter(to_q(self.model, condition, values))

    def get_object(self) -> Any:
        found = self.get_queryset().filter(pk=self.pk).first()
        if found is None:
            raise self.not_found
        return found

    def call(self, act: Act) -> Any:
        """What the service returns; by then it is committed.

        Raises:
            APIError: what it refuses; nothing was written.
        """
        return call_service(type(self).service, act)

    def change(self, act: Callable[..., Awaitable[Any]]) -> HttpResponse:
        """200 with what a method of the service makes of this one.

        return self.change(PostService.publish)
        """
        result = self.call(lambda it: act(it, self.pk, self.caller, self.if_match))
        return self.respond(result)

    def respond(self, result: Any, status: int = HTTPStatus.OK) -> HttpResponse:
        """A response schema, or what has its fields, as FastAPI would answer it."""
        if not isinstance(result, ResponseSchema):
            result = self.response_schema.of(result)
        response = answer(result, status)
        known = self.request.headers.get("If-None-Match")
        is_read = self.request.method in {"GET", "HEAD"}
        if not is_read or known is None or "ETag" not in response:
            return response
        is_same = is_known(known, response["ETag"])
        return without_body(response, HTTPStatus.NOT_MODIFIED) if is_same else response

    def create_by(self, act: Act) -> HttpResponse:
        """Answer 201 with what the service creates, once for each `Idempotency-Key`."""
        keyed = idempotent_request(self.request, self.caller_or_none)

        async def create(session: Session, runtime: Runtime) -> HttpResponse:
            if keyed and (stored := await keyed.lock(session)):
                return replay(stored)
            entity = await act(type(self).service(session, runtime))
            response = self.respond(entity, HTTPStatus.CREATED)
            response["Location"] = f"{self.request.path}/{entity.id}"
            if keyed:
                await store(keyed, session, response)
            return response

        return in_unit_of_work(create)

    def handle_exception(self, exc: Exception) -> Any:
        refusal = handle_exception(exc, self.get_exception_handler_context())
        if self.action != "create":
            return refusal
        return store_error(self.request, self.caller_or_none, exc, refusal)

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    # The operations

    def list(self, request: Any, **_: Any) -> HttpResponse:
        """What the caller may know of, a page at a time."""
        cursors = host().runtime.database.cursors
        rows = OrmList(self.lists, self.model, cursors)
        return self.respond(rows.page(self.get_queryset(), self.params))

    def create(self, request: Any, **_: Any) -> HttpResponse:
        """Make one."""
        return self.create_by(lambda service: service.create(self.data, self.caller))

    def retrieve(self, request: Any, **_: Any) -> HttpResponse:
        """One, if the caller may know of it."""
        return self.respond(self.get_object())

    def partial_update(self, request: Any, **_: Any) -> HttpResponse:
        """Change what is sent of it."""
        changed = self.call(
            lambda service: service.update(
                self.pk, self.data, self.caller, self.if_match
            )
        )
        return self.respond(changed)

    def destroy(self, request: Any, **_: Any) -> HttpResponse:
        """Remove it."""
        self.call(lambda service: service.delete(self.pk, self.caller, self.if_match))
        return empty(HTTPStatus.NO_CONTENT)


class ViewSetRouter(SimpleRouter):
    """Routes without a slash at the end, as the contract has them."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def get_default_basename(self, viewset: Any) -> str:
        return str(viewset.model.__tablename__)


def only_viewsets(endpoints: Iterable[Any]) -> list[Any]:
    """drf-spectacular's hook: document these viewsets and no other view."""
    return [
        endpoint
        for endpoint in endpoints
        if issubclass(endpoint[-1].cls, ServiceViewSet)
    ]
