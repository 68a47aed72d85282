from .models import User
from .repository import Users


class EmailTaken(Exception):
    pass


async def register(users: Users, email: str) -> None:
    if await users.get_by_email(email):  # finds: check-then-insert
        raise EmailTaken
    users.add(User(email))


def register_too(users: Users, email: str) -> User:
    found = users.find_by_email(email)
    if found is not None:  # finds: check-then-insert
        raise EmailTaken
    return users.create(email=email)
