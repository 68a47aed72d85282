"""Breached passwords for tests, from a list."""


class FakeBreachedPasswords:
    """Contains these passwords, and records which ones were checked."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = set(passwords)
        self.checked: list[str] = []

    async def contains(self, password: str) -> bool:
        self.checked.append(password)
        return password in self.passwords

    async def close(self) -> None:
        pass
