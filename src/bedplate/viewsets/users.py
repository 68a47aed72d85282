from typing import Any

from bedplate.django_site.api.viewsets import (
    AllowAny,
    IsAdmin,
    ServiceViewSet,
    ViewSetRouter,
    action,
)
from bedplate.modules.users.errors import UserNotFound
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import LIST_USERS
from bedplate.modules.users.schemas import (
    ActivatedResponse,
    DeactivatedResponse,
    MeUpdate,
    UserCreate,
    UserResponse,
    UserUpdate,
)
from bedplate.modules.users.service import UserService


class UserViewSet(ServiceViewSet):
    model = User
    service = UserService
    lists = LIST_USERS
    response_schema = UserResponse
    body_schemas = {
        "create": UserCreate,
        "partial_update": UserUpdate,
        "update_me": MeUpdate,
    }
    permissions = {"list": [IsAdmin], "create": [AllowAny]}
    not_found = UserNotFound
    lookup_url_kwarg = "user_id"
    service_methods = {**ServiceViewSet.service_methods, "create": "register"}

    def get_queryset(self) -> Any:
        users = super().get_queryset()
        return users if self.caller.is_admin else users.filter(pk=self.caller.id)

    def list(self, request: Any, **_: Any) -> Any:
        """List all accounts."""
        self.call(lambda users: users.check_params(self.params))
        return super().list(request)

    def create(self, request: Any, **_: Any) -> Any:
        """Sign up, or create an account as an admin."""
        return self.create_by(
            lambda users: users.register(self.data, self.caller_or_none)
        )

    @action(detail=False, methods=["get"])
    def me(self, request: Any) -> Any:
        """Return your own account."""
        return self.respond(self.caller)

    @me.mapping.patch
    def update_me(self, request: Any) -> Any:
        """Change your own name."""
        me, changes = self.caller.id, self.data.changes()
        return self.respond(
            self.call(lambda users: users.change(me, changes, me, self.if_match))
        )

    @action(
        detail=True,
        methods=["post"],
        permission_classes=[IsAdmin],
        response_schema=ActivatedResponse,
    )
    def activate(self, request: Any, **_: Any) -> Any:
        """Allow an account to sign in again."""
        self.call(lambda users: users.activate(self.pk, self.caller.id, self.if_match))
        return self.respond(ActivatedResponse("activated"))

    @action(
        detail=True,
        methods=["post"],
        permission_classes=[IsAdmin],
        response_schema=DeactivatedResponse,
    )
    def deactivate(self, request: Any, **_: Any) -> Any:
        """Stop an account from signing in, and refuse its next request."""
        self.call(
            lambda users: users.deactivate(self.pk, self.caller.id, self.if_match)
        )
        return self.respond(DeactivatedResponse("deactivated"))


router = ViewSetRouter()
router.register("users", UserViewSet)
