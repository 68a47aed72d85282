"""The mails of the built-in modules, and the templates that a project may override."""

from bedplate.module import Module
from bedplate.modules.emails.tasks import send_email

module = Module(name="emails", jobs=[send_email])
