def total(prices):  # finds: ANN001, ANN201
    return sum(prices)


def largest(prices: list[int], *more, **named) -> int:  # finds: ANN002, ANN003
    return max(prices)


class Basket:
    def __init__(self, prices: list[int]):  # finds: ANN204
        self.prices = prices

    def first(self) -> int:
        return str(self.prices[0])  # finds: mypy:return-value

    def _last(self):  # finds: ANN202
        return self.prices[-1]


def cheapest(basket: Basket, default: int = None) -> int:  # finds: mypy:assignment
    return min(basket.prices, default=default)
