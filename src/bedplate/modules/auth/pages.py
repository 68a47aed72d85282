"""The pages of the links in emails: plain forms without scripts or external assets.

Opening a page changes nothing, since mail scanners open every link. Only its button
uses up the token.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parseaddr
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import Form, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from pydantic import ValidationError

from bedplate.api.dependencies import runtime_of
from bedplate.api.routing import Router
from bedplate.core.errors import APIError, Detail, ValidationFailed
from bedplate.modules.auth.dependencies import RequestDevice
from bedplate.modules.auth.keys import public_key_set, refresh_keys
from bedplate.modules.auth.links import PAGES, Purpose
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.users.schemas import PasswordSet

router = Router(include_in_schema=False)


class _Page(NamedTuple):
    """The texts of a purpose's page, and the action of its button."""

    title: str
    explanation: str
    button: str
    done: str
    act: Callable[[RecoveryService, str, str], Awaitable[UUID | None]]
    """Returns the user id if the client is to be remembered as the user's."""
    asks_password: bool = False


_PAGES = {
    Purpose.VERIFY_EMAIL: _Page(
        title="Verify your email address",
        explanation="Press the button to confirm that this address is yours.",
        button="Verify my address",
        done="Your address is verified. You can close this page.",
        act=lambda recovery, token, _: recovery.verify_email(token),
    ),
    Purpose.RESET_PASSWORD: _Page(
        title="Choose a new password",
        explanation="You will be signed out everywhere; sign in with the new password.",
        button="Set the new password",
        done="Your new password is set. Sign in with it.",
        act=lambda recovery, token, new: recovery.reset_password(token, new),
        asks_password=True,
    ),
    Purpose.CHANGE_EMAIL: _Page(
        title="Change your email address",
        explanation="Press the button to use this address for your account.",
        button="Change my address",
        done="Your account has its new address. Sign in with it from now on.",
        act=lambda recovery, token, _: recovery.confirm_email_change(token),
    ),
}

Token = Annotated[str, Query()]
PostedToken = Annotated[str, Form()]
PostedPassword = Annotated[str, Form(max_length=1024)]


@router.get(PAGES[Purpose.VERIFY_EMAIL])
async def show_verify_email(request: Request, token: Token = "") -> Response:
    return _form(request, Purpose.VERIFY_EMAIL, token)


@router.post(PAGES[Purpose.VERIFY_EMAIL])
async def verify_email(request: Request, token: PostedToken = "") -> Response:
    return await _submit(request, Purpose.VERIFY_EMAIL, token)


@router.get(PAGES[Purpose.RESET_PASSWORD])
async def show_reset_password(request: Request, token: Token = "") -> Response:
    return _form(request, Purpose.RESET_PASSWORD, token)


@router.post(PAGES[Purpose.RESET_PASSWORD])
async def reset_password(
    request: Request, token: PostedToken = "", new_password: PostedPassword = ""
) -> Response:
    return await _submit(request, Purpose.RESET_PASSWORD, token, new_password)


@router.get(PAGES[Purpose.CHANGE_EMAIL])
async def show_change_email(request: Request, token: Token = "") -> Response:
    return _form(request, Purpose.CHANGE_EMAIL, token)


@router.post(PAGES[Purpose.CHANGE_EMAIL])
async def change_email(request: Request, token: PostedToken = "") -> Response:
    return await _submit(request, Purpose.CHANGE_EMAIL, token)


@router.get("/.well-known/jwks.json")
async def get_public_keys(request: Request) -> JSONResponse:
    runtime = runtime_of(request)
    await refresh_keys(runtime)  # another process may sign with a new one
    tokens = runtime.tokens
    return JSONResponse(
        public_key_set(tokens.algorithm, tokens.keys),
        headers={"Cache-Control": "public, max-age=60"},
    )


def _form(
    request: Request,
    purpose: Purpose,
    token: str,
    *,
    problems: Sequence[str] = (),
    status: int = 200,
) -> Response:
    page = _PAGES[purpose]
    return _render(
        request,
        "confirm.html",
        status,
        title=page.title,
        explanation=page.explanation,
        button=page.button,
        asks_password=page.asks_password,
        token=token,
        problems=problems,
    )


async def _submit(
    request: Request, purpose: Purpose, token: str, password: str = ""
) -> Response:
    page, runtime = _PAGES[purpose], runtime_of(request)
    try:
        if page.asks_password:
            _check_length(password)
        async with runtime.database.unit_of_work() as session:
            user_id = await page.act(RecoveryService(session, runtime), token, password)
    except APIError as error:
        problems = [d.message for d in error.details or ()] or [error.message]
        status = error.status_code
        return _form(request, purpose, token, problems=problems, status=status)
    response = _render(
        request, "done.html", title=page.title, explanation=page.done, problems=()
    )
    if user_id is not None:
        RequestDevice(request).remember(user_id, response)
    return response


def _check_length(password: str) -> None:
    """Check the length, as the API's schema does before the service is called."""
    try:
        PasswordSet(password=password)
    except ValidationError:
        message = "A password has 8 to 128 characters"
        raise ValidationFailed(details=[Detail("new_password", message)]) from None


def _render(
    request: Request, template: str, status: int = 200, **values: Any
) -> Response:
    product, _ = parseaddr(runtime_of(request).settings.mail_from)
    style, policy = _style()
    page = _templates().get_template(template)
    html = page.render(product=product or "Bedplate", style=style, **values)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "X-Robots-Tag": "noindex",
    }
    return HTMLResponse(html, status, headers)


@cache
def _style() -> tuple[Markup, str]:
    """Return the style sheet, and the policy that allows nothing else."""
    style = files("bedplate.modules.auth").joinpath("templates/style.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return Markup(style), policy  # noqa: S704, our own file


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("bedplate.modules.auth"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
