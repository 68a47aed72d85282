"""The built-in modules, lowest first. A user's module can do all that these do."""

from bedplate.modules.audit import module as audit
from bedplate.modules.auth import module as auth
from bedplate.modules.emails import module as emails
from bedplate.modules.jobs import module as jobs
from bedplate.modules.posts import module as posts
from bedplate.modules.users import module as users

CORE = (audit, emails, jobs, users, auth)
"""What an application is built on."""
BUILT_IN = (*CORE, posts)

__all__ = ["BUILT_IN", "CORE", "audit", "auth", "emails", "jobs", "posts", "users"]
