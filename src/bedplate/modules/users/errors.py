from bedplate.core.errors import Conflict, NotFound, PermissionDenied


class UserNotFound(NotFound):
    message = "There is no such user"


class EmailTaken(Conflict, constraint="uq_users_email"):
    code = "EMAIL_TAKEN"
    message = "That email is already registered"


class LastAdmin(Conflict):
    code = "LAST_ADMIN"
    message = "The last active admin has to stay one"


class SignupClosed(PermissionDenied):
    code = "SIGNUP_CLOSED"
    message = "Accounts are made by an admin here"
