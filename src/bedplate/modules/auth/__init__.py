"""Sign-in, sessions and recovery, and who a request's token belongs to."""

from bedplate.module import Module
from bedplate.modules.auth import admin, tasks
from bedplate.modules.auth.keys import load_keys
from bedplate.modules.auth.models import OneTimeToken, RefreshToken, SigningKey
from bedplate.modules.auth.pages import router as pages
from bedplate.modules.auth.router import authenticate, router

module = Module(
    name="auth",
    router=router,
    pages=pages,
    models=[RefreshToken, OneTimeToken, SigningKey],
    admin=[admin.user, admin.user_session],
    requires=["audit", "emails", "users"],
    jobs=[
        tasks.send_password_reset,
        tasks.send_verification,
        tasks.send_first_verification,
        tasks.send_email_change,
        tasks.send_new_sign_in,
        tasks.send_sign_in_limited,
        tasks.remove_expired,
    ],
    on_sign_up=[tasks.send_first_verification],
    on_start=load_keys,
    authenticate=authenticate,
)
