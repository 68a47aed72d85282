from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError

from .models import User
from .repository import insert


class ShopError(Exception):
    status = 400


async def handle_shop_error(request: Request, error: ShopError) -> Response:
    return JSONResponse({"error": str(error)}, error.status)


async def handle_integrity(request: Request, error: IntegrityError) -> Response:  # finds: any-integrity-error
    return JSONResponse({"error": "conflict"}, 409)


async def handle_invalid(request: Request, error: RequestValidationError) -> Response:
    return JSONResponse({"error": error.errors()}, 422)  # finds: echoed-input


async def add(user: User) -> None:
    try:
        await insert(user)
    except IntegrityError as error:  # finds: any-integrity-error
        raise HTTPException(409, "taken") from error  # finds: two-error-shapes


def install(app: FastAPI) -> None:
    app.add_exception_handler(ShopError, handle_shop_error)
