from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError

from .errors import EmailTaken
from .models import User
from .repository import insert


class ShopError(Exception):
    status = 400


async def handle_shop_error(request: Request, error: ShopError) -> Response:
    return JSONResponse({"error": str(error)}, error.status)


async def handle_http(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code)


async def handle_invalid(request: Request, error: RequestValidationError) -> Response:
    wrong = [{"field": e["loc"], "message": e["msg"]} for e in error.errors()]
    return JSONResponse({"error": wrong}, 422)


async def add(user: User) -> None:
    try:
        await insert(user)
    except IntegrityError as error:
        if "uq_users_email" in str(error.orig):
            raise EmailTaken from error
        raise


def install(app: FastAPI) -> None:
    app.add_exception_handler(ShopError, handle_shop_error)
    app.add_exception_handler(HTTPException, handle_http)


def check(request: Request) -> None:
    if "authorization" not in request.headers:
        raise HTTPException(401)
