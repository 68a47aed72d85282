from .models import User


class UserService:
    def __init__(self, users: dict[str, User]) -> None:
        self.users = users

    def register(self, email: str) -> User:
        if email in self.users:
            raise ValueError("taken")  # finds: bare-error-in-service
        return User(email)

    def get(self, email: str) -> User:
        if email not in self.users:
            raise KeyError(email)  # finds: bare-error-in-service
        return self.users[email]


def rename(user: User, name: str) -> None:
    if not name:
        raise Exception("empty")  # finds: bare-error-in-service
    user.name = name
