class OrderRepository:
    rows: tuple[int, ...] = ()
