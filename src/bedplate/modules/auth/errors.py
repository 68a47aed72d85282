from bedplate.core.errors import PermissionDenied


class AccountInactive(PermissionDenied):
    code = "ACCOUNT_INACTIVE"
    message = "This account was deactivated"


class EmailNotVerified(PermissionDenied):
    code = "EMAIL_NOT_VERIFIED"
    message = "Verify your email address first"


class InvalidPassword(PermissionDenied):
    code = "INVALID_PASSWORD"
    message = "The current password is wrong"
