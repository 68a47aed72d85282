from .errors import EmailTaken, UserNotFound
from .models import User


class UserService:
    def __init__(self, users: dict[str, User]) -> None:
        self.users = users

    def register(self, email: str) -> User:
        if email in self.users:
            raise EmailTaken
        return User(email)

    def get(self, email: str) -> User:
        try:
            return self.users[email]
        except KeyError as error:
            raise UserNotFound from error
