"""The OpenAPI document of the viewsets, equal to FastAPI's for the same operations."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel
from rest_framework.permissions import AllowAny

from bedplate.core.errors import APIError, PermissionDenied, errors_of
from bedplate.core.preconditions import MAX_TAGS_LENGTH
from bedplate.django_site.api.permissions import IsSignedIn
from bedplate.openapi_parts import (
    add_header_parameter,
    declare_errors,
    declare_etag,
    declare_idempotency,
    error_schemas,
    errors,
)
from bedplate.schemas import ResponseSchema, documented

Json = dict[str, Any]

_COMPONENTS = "#/components/schemas/"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    """The security scheme of our tokens, also in the document of your own project."""

    target_class = "bedplate.django_site.authentication.BearerAuthentication"
    name = "BearerToken"

    def get_security_definition(self, auto_schema: Any) -> Json:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ContractSchema(AutoSchema):
    """The schema of a `ServiceViewSet`, from what it declares; see `extend_schema`."""

    view: Any

    def get_operation(self, *args: Any, **options: Any) -> Any:
        operation = super().get_operation(*args, **options)
        if operation is None:
            return None
        self._add_schemas(error_schemas())
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        for status, response in errors(*self._errors()).items():
            documented_error = {"description": response["description"]}
            operation["responses"].setdefault(str(status), documented_error)
        self._declare_machinery(operation)
        declare_errors(operation)
        return operation

    def _declare_machinery(self, operation: Json) -> None:
        if self.view.is_change:
            description = "Write only if the resource still has this `ETag`."
            add_header_parameter(
                operation, "if-match", description, maxLength=MAX_TAGS_LENGTH
            )
        if self._is_resource():
            declare_etag(operation, method=self.method)
        if self.view.action == "create":
            declare_idempotency(operation)

    def _is_resource(self) -> bool:
        response = self._response()
        return response is not None and "id" in response.__struct_fields__

    def _errors(self) -> Sequence[type[APIError]]:
        """Return the errors of the service method, and 403 if a role is required."""
        action = self.view.action
        method = self.view.service_methods.get(action, action)
        declared = errors_of(getattr(self.view.service, method, None))
        needs_role = any(
            type(permission) not in (AllowAny, IsSignedIn)
            for permission in self.view.get_permissions()
        )
        return [*declared, *([PermissionDenied] if needs_role else [])]

    def _response(self) -> type[ResponseSchema] | None:
        """Return the response schema, or None for an empty response."""
        if self.method == "DELETE":
            return None
        is_list = self.view.action == "list"
        schema: type[ResponseSchema] = (
            self.view.lists.page if is_list else self.view.response_schema
        )
        return schema

    def get_operation_id(self) -> str:
        return f"{self.view.basename}_{self.view.action}"

    def get_summary(self) -> str:
        return f"{self.view.action} {self.view.basename}".replace("_", " ").capitalize()

    def get_tags(self) -> list[str]:
        return [self.view.basename]

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False  # otherwise drf-spectacular documents an array of pages

    def get_override_parameters(self) -> list[Any]:
        parameters = []
        name = self.view.lookup_url_kwarg
        if self.view.detail:
            schema = {"type": "string", "format": "uuid"}
            parameters.append(OpenApiParameter(name, schema, OpenApiParameter.PATH))
        if self.view.action == "list":
            properties = self.view.lists.params.model_json_schema()["properties"]
            parameters += [
                OpenApiParameter(
                    name, schema, description=schema.get("description", "")
                )
                for name, schema in properties.items()
            ]
        return parameters

    def get_request_serializer(self) -> Any:
        schema = self.view.body_schemas.get(self.view.action)
        return {"application/json": self._reference(schema)} if schema else None

    def get_response_serializers(self) -> Any:
        response = self._response()
        if response is None:
            return {HTTPStatus.NO_CONTENT.value: None}
        is_create = self.view.action == "create"
        status = HTTPStatus.CREATED if is_create else HTTPStatus.OK
        return {status.value: self._reference(documented(response), "serialization")}

    def _reference(self, model: type[BaseModel], mode: Any = "validation") -> Json:
        template = f"{_COMPONENTS}{{model}}"
        schema = model.model_json_schema(ref_template=template, mode=mode)
        parts = schema.pop("$defs", {})
        self._add_schemas({**parts, model.__name__: schema})
        return {"$ref": _COMPONENTS + model.__name__}

    def _add_schemas(self, schemas: Json) -> None:
        for name, schema in schemas.items():
            kind = ResolvedComponent.SCHEMA
            component = ResolvedComponent(  # type: ignore[no-untyped-call]
                name, kind, schema, object=name
            )
            self.registry.register_on_missing(component)
