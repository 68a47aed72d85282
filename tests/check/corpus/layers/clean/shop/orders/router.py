from shop.orders.service import OrderService


def make() -> OrderService:
    return OrderService()
