from fastapi import APIRouter

from .models import Order, OrderCreate, OrderResponse
from .security import CurrentUser, OrderServiceDep

router = APIRouter()


@router.get("/orders/{order_id:int}")
async def get_order(caller: CurrentUser, orders: OrderServiceDep) -> OrderResponse:
    return await orders.get(1)


@router.post("/orders", response_model=OrderResponse)
async def create_order(
    caller: CurrentUser, orders: OrderServiceDep, data: OrderCreate
) -> Order:
    order = await orders.create(data, caller)
    if order.is_large:
        await orders.announce(order)
    return order
