"""The OpenAPI document of the viewsets, as FastAPI's tells of the same operations."""

from drf_spectacular.openapi import AutoSchema


class ContractSchema(AutoSchema):
    pass
