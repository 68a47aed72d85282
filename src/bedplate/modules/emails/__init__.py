"""Mails of the built-in modules, and their templates, which a project can override."""

from bedplate.module import Module
from bedplate.modules.emails.tasks import send_email

module = Module(name="emails", jobs=[send_email])
