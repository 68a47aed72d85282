from .service import OrderService  # finds: layer-skipped


class OrderRepository:
    service: OrderService
