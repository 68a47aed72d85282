"""The forms to sign in and to change your own password, by the services."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

from bedplate.caller import Caller
from bedplate.core.envelope import details_of
from bedplate.core.errors import (
    APIError,
    InvalidCredentials,
    ServiceUnavailable,
    ValidationFailed,
)
from bedplate.core.permissions import ENTER_ADMIN
from bedplate.django_site.admin.forms import add_errors
from bedplate.django_site.authentication import sign_in
from bedplate.django_site.services import call_service
from bedplate.modules.auth.recovery import RecoveryService
from bedplate.modules.auth.schemas import PasswordChange

_REFUSED = "Email or password is wrong, or the account may not use this site."


class SignInForm(AdminAuthenticationForm):
    """The sign-in form: email and password.

    A user without access to the site gets the same error for the right password as for
    a wrong one. Otherwise the form would confirm passwords of accounts without access.
    """

    username = forms.EmailField(
        label=gettext_lazy("Email"),
        max_length=255,
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if email and password:
            try:
                self.user_cache = sign_in(
                    email, password, ENTER_ADMIN, request=self.request
                )
            except InvalidCredentials as error:
                raise forms.ValidationError(_REFUSED) from error
            except ServiceUnavailable:
                raise  # the middleware answers 503 with Retry-After
            except APIError as error:
                raise forms.ValidationError(error.message) from error
        return self.cleaned_data


class PasswordForm(forms.Form):
    """The form to change your own password, which requires the current one."""

    required_css_class = "required"
    current_password = forms.CharField(
        label=gettext_lazy("Current password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new_password = forms.CharField(
        label=gettext_lazy("New password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, caller: Caller, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._caller = caller

    def clean(self) -> dict[str, Any]:
        if not self.errors:
            try:
                self._change(PasswordChange(**self.cleaned_data))
            except ValidationError as error:
                details = details_of(error.errors(include_input=False))
                add_errors(self, ValidationFailed(details=details))
            except APIError as error:
                add_errors(self, error)
        return self.cleaned_data

    def _change(self, data: PasswordChange) -> None:
        call_service(
            RecoveryService,
            lambda recovery: recovery.change_password(
                self._caller, data.current_password, data.new_password
            ),
        )
