import asyncio

from bedplate.jobs import JobRun, Queue, job
from bedplate.modules.emails.service import render

# A queue of its own, so that other jobs don't wait for a slow mail server.
MAIL = Queue("mail")
# With the usual delays, that gives a mail server five hours to come back.
MAIL_ATTEMPTS = 16


@job(queue=MAIL, attempts=MAIL_ATTEMPTS)
async def send_email(
    run: JobRun,
    template: str,
    to: str,
    context: dict[str, str],
    language: str | None = None,
) -> None:
    """Send a mail.

    The context is stored with the job: it must hold no token and no link with one.
    """
    mail = await asyncio.to_thread(  # it reads the templates from files
        render,
        run.runtime.settings,
        template,
        to=to,
        message_id=run.id,
        language=language,
        folders=run.runtime.mail_folders,
        **context,
    )
    await run.runtime.mailer.send(mail)
