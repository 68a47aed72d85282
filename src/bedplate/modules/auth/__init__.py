"""Sign-in, and who a request's token belongs to."""

from bedplate.module import Module
from bedplate.modules.auth.models import UserSession
from bedplate.modules.auth.router import authenticate, router

module = Module(
    name="auth",
    router=router,
    models=[UserSession],
    requires=["users"],
    authenticate=authenticate,
)
