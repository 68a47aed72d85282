from collections.abc import Sequence

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    currency: str


settings = Settings()


def total(prices: Sequence[int]) -> int:
    return sum(prices)


def largest(prices: list[int], *more: int, **named: int) -> int:
    return max([*prices, *more, *named.values()])


class Basket:
    def __init__(self, prices: list[int]) -> None:
        self.prices = prices

    def first(self) -> int:
        return self.prices[0]


def cheapest(basket: Basket, default: int | None = None) -> int | None:
    return min(basket.prices, default=default)
