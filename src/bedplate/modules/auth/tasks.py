"""Jobs that send the emails of sign-in and recovery.

A one-time token is created here, together with its email, so that it appears in no
job's arguments and no log. A retried job creates a new token, as long as the account's
`security_version` is still the one of the request: after a recovery, nothing that was
requested before is sent. A job without a version sends nothing.
"""

from typing import Any
from uuid import UUID

from bedplate.core.clock import utc_now
from bedplate.jobs import JobRun, job
from bedplate.modules.auth.links import Purpose, lifetime, link
from bedplate.modules.auth.repository import (
    OneTimeTokenRepository,
    delete_expired,
)
from bedplate.modules.emails.service import render
from bedplate.modules.emails.tasks import MAIL, MAIL_ATTEMPTS
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import UserRepository

BATCH = 1000


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_password_reset(
    run: JobRun, email: str, security_version: int | None = None
) -> None:
    """Send a link to choose a new password, if the address has an active account."""
    async with run.unit_of_work() as session:
        user = await UserRepository(session).get_by_email(email)
    if user is not None and user.security_version == security_version:
        minutes = run.runtime.settings.reset_minutes
        await _send_link(run, user, Purpose.RESET_PASSWORD, email, minutes=minutes)


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_verification(
    run: JobRun, email: str, security_version: int | None = None
) -> None:
    """Send a link to verify an address, if it has an unverified account."""
    async with run.unit_of_work() as session:
        user = await UserRepository(session).get_by_email(email)
    if user is None or user.email_verified:
        return
    if user.security_version == security_version:
        hours = run.runtime.settings.verify_hours
        await _send_link(run, user, Purpose.VERIFY_EMAIL, email, hours=hours)


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_first_verification(run: JobRun, email: str) -> None:
    """Send a new account's first link, if signing in requires a verified address."""
    if run.runtime.settings.require_verified_email:
        await send_verification(run, email=email, security_version=0)


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_email_change(
    run: JobRun, user_id: UUID, new_email: str, security_version: int | None = None
) -> None:
    """Send a link to the new address, or a notice if it belongs to another account."""
    async with run.unit_of_work() as session:
        users = UserRepository(session)
        user, owner = await users.get(user_id), await users.get_by_email(new_email)
    if user is None or user.security_version != security_version:
        return
    if owner is not None:
        await _send(run, "address_taken", owner.email, name=owner.greeted_as)
    else:
        hours = run.runtime.settings.verify_hours
        await _send_link(run, user, Purpose.CHANGE_EMAIL, new_email, hours=hours)


async def _send_link(
    run: JobRun, user: User, purpose: Purpose, to: str, **lasts: int
) -> None:
    settings = run.runtime.settings
    async with run.unit_of_work() as session:
        # Locked: of two jobs at once the second voids the token of the first, and a
        # recovery comes either before this comparison or after the token.
        current = await UserRepository(session).get(user.id, lock=True)
        if current is None or not current.is_active:
            return
        if current.security_version != user.security_version:
            return
        tokens = OneTimeTokenRepository(session)
        token = await tokens.mint(current, purpose, to, lifetime(settings, purpose))
    address = link(settings, purpose, token)
    # No name in an email to an unverified address: a stranger may have entered both.
    name = {} if purpose is not Purpose.RESET_PASSWORD else {"name": user.greeted_as}
    await _send(run, purpose, to, link=address, **name, **lasts)


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_new_sign_in(
    run: JobRun, user_id: UUID, device: str, address: str, at: str
) -> None:
    """Send a notice of a sign-in from a new client."""
    async with run.unit_of_work() as session:
        user = await UserRepository(session).get(user_id)
    if user is not None:
        context = {"device": device, "address": address, "at": at}
        await _send(run, "new_sign_in", user.email, name=user.greeted_as, **context)


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_sign_in_limited(run: JobRun, email: str) -> None:
    """Send a notice of many wrong passwords, if the address has an active account."""
    async with run.unit_of_work() as session:
        user = await UserRepository(session).get_by_email(email)
    if user is not None and user.is_active:
        await _send(run, "sign_in_limited", user.email, name=user.greeted_as)


async def _send(run: JobRun, template: str, to: str, **context: Any) -> None:
    runtime = run.runtime
    mail = render(
        runtime.settings,
        template,
        to=to,
        message_id=run.id,
        folders=runtime.mail_folders,
        **context,
    )
    await run.runtime.mailer.send(mail)


@job(cron="43 * * * *")
async def remove_expired(run: JobRun) -> None:
    """Delete expired rows in batches, so that no lock is held for long."""
    settings = run.runtime.settings
    more = True
    while more:
        async with run.unit_of_work() as session:
            more = await delete_expired(session, settings, utc_now(), limit=BATCH)
