import asyncio

from bedplate.jobs import JobRun, job
from bedplate.modules.emails.service import render


@job
async def send_email(
    run: JobRun, template: str, to: str, context: dict[str, str], language: str = "en"
) -> None:
    """Send a mail whose context may lie in the database: no token, no link with one."""
    mail = await asyncio.to_thread(  # templates are files
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
