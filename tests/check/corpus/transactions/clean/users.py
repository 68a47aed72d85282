from .models import User
from .repository import Users


class UserNotFound(Exception):
    pass


async def register(users: Users, email: str) -> User:
    return await users.add(User(email))


async def rename(users: Users, user_id: int, name: str) -> User:
    user = await users.get(user_id)
    if user is None:
        raise UserNotFound
    user.name = name
    return await users.save(user)


async def copy(users: Users, user_id: int) -> User:
    if not (user := await users.get(user_id)):
        raise UserNotFound
    return await users.add(User(user.email))
