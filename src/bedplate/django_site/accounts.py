"""The base of `User`'s model: `AbstractBaseUser` with our hashes and rules."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager

from bedplate.caller import Caller
from bedplate.core.permissions import ADMIN, ENTER_ADMIN, USER
from bedplate.core.security import (
    check_password,
    check_password_blocking,
    hash_password_blocking,
)
from bedplate.django_site.services import call_service
from bedplate.modules.users.schemas import UserCreate
from bedplate.modules.users.service import UserService

if TYPE_CHECKING:
    Manager = BaseUserManager[Any]
else:
    Manager = BaseUserManager


# The names that `AbstractBaseUser` and Django's commands use for our columns.
RENAMED = {"hashed_password": "password"}


class AccountManager(Manager):
    """Creates users through the service; used by Django's `createsuperuser` too.

    Raises:
        APIError: an error of the service, such as `EmailTaken`.
    """

    def create_user(
        self, email: str, password: str, *, name: str, role: str = USER
    ) -> Any:
        data = UserCreate(email=email, name=name, password=password, role=role)
        created = call_service(UserService, lambda users: users.create(data))
        return self.get(pk=created.id)

    def create_superuser(self, email: str, password: str, *, name: str) -> Any:
        return self.create_user(email, password, name=name, role=ADMIN)


class Account(AbstractBaseUser):
    """The base of the model made from `User`; its fields are the table's.

    Roles take the place of `PermissionsMixin`, whose tables we don't have.
    """

    last_login = None  # `AbstractBaseUser` has this column; our table doesn't

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]
    objects: ClassVar[Any] = AccountManager()

    email: str
    role: str
    caller: Caller | None = None
    """The caller for services, if this user sent the current request."""

    class Meta:
        abstract = True

    def check_password(self, raw_password: str | None) -> bool:
        stored = self.password
        return check_password_blocking(raw_password or "", stored, key=self.email).ok

    async def acheck_password(self, raw_password: str | None) -> bool:
        stored = self.password
        return (await check_password(raw_password or "", stored, key=self.email)).ok

    def set_password(self, raw_password: str | None) -> None:
        if raw_password is None:
            self.set_unusable_password()
        else:
            self.password = hash_password_blocking(raw_password, key=self.email)

    @property
    def is_staff(self) -> bool:
        """Return whether the user may enter the admin site."""
        may = self.caller.may(ENTER_ADMIN) if self.caller else self.role == ADMIN
        return bool(self.is_active) and may

    @property
    def is_superuser(self) -> bool:
        return bool(self.is_active) and self.role == ADMIN

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Return whether the user is an admin: only they have Django's permissions."""
        return self.is_superuser

    def has_perms(self, perm_list: Any, obj: Any = None) -> bool:
        return self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_superuser
