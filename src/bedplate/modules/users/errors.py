from bedplate.core.errors import Conflict, NotFound, PermissionDenied


class UserNotFound(NotFound):
    message = "There is no such user"


class EmailTaken(Conflict, constraint="uq_users_email"):
    code = "EMAIL_TAKEN"
    message = "This email is already registered"


class LastAdmin(Conflict):
    code = "LAST_ADMIN"
    message = "The last active admin can't be demoted, deactivated or deleted"


class SignupClosed(PermissionDenied):
    code = "SIGNUP_CLOSED"
    message = "Sign-up is closed; an admin can create an account for you"
