"""Breached passwords for tests: those that a test lists."""


class FakeBreachedPasswords:
    """Knows these passwords, and keeps what it was asked."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = set(passwords)
        self.checked: list[str] = []

    async def contains(self, password: str) -> bool:
        self.checked.append(password)
        return password in self.passwords

    async def close(self) -> None:
        pass
