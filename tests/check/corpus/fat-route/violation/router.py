from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from .models import Order, OrderCreate, OrderResponse
from .security import CurrentUser, SessionDep

router = APIRouter()


@router.get("/orders/{order_id:int}")
async def get_order(caller: CurrentUser, session: SessionDep) -> OrderResponse:
    order = await session.get(Order, 1)  # finds: query-in-route
    return OrderResponse.model_validate(order)


@router.post("/orders")
async def create_order(  # finds: logic-in-route
    caller: CurrentUser, database: AsyncSession, data: OrderCreate
) -> OrderResponse:
    total = 0
    for line in data.lines:
        if line.amount > 10:
            total += line.amount * line.price * 9 // 10
        else:
            total += line.amount * line.price
    if total > caller.limit:
        total = caller.limit
    order = Order(total=total)
    database.add(order)  # finds: query-in-route
    await database.commit()  # finds: scattered-commit
    return OrderResponse.model_validate(order)


@router.delete("/orders")
async def delete_orders(caller: CurrentUser, db: SessionDep) -> OrderResponse:
    found = await db.scalars(select(Order))  # finds: query-in-route
    return OrderResponse.model_validate(found.first())
