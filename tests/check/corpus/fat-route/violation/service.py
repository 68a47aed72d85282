from sqlalchemy.ext.asyncio import AsyncSession

from .models import Order


class OrderService:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def create(self, total: int) -> Order:
        order = Order(total=total)
        self.session.add(order)
        await self.session.commit()  # finds: scattered-commit
        return order
