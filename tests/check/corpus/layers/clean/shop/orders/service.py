from shop.orders.repository import OrderRepository


class OrderService:
    orders = OrderRepository()
