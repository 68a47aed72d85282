"""The core modules, lowest first: what every application is built on."""

from bedplate.modules.audit import module as audit
from bedplate.modules.auth import module as auth
from bedplate.modules.emails import module as emails
from bedplate.modules.jobs import module as jobs
from bedplate.modules.users import module as users

CORE = (audit, emails, jobs, users, auth)
"""The modules that every application is built on, lowest first."""

__all__ = ["CORE", "audit", "auth", "emails", "jobs", "users"]
