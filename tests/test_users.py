from httpx import AsyncClient

from bedplate.modules.users.models import User


async def test_a_user_reads_its_own_account(as_user: AsyncClient, user: User) -> None:
    answer = await as_user.get("/users/me")

    assert answer.status_code == 200
    assert answer.json()["email"] == "user@example.com"
