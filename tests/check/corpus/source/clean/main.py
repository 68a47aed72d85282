from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query
from not_installed import get_current_user

from schemas import Item, ItemCreate, ItemPage, Items

app = FastAPI()
router = APIRouter(prefix="/items")
admin = APIRouter(prefix="/admin", dependencies=[Depends(get_current_user)])
CurrentUser = Annotated[str, Depends(get_current_user)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {}


@router.get("")
async def list_items(
    caller: CurrentUser, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> ItemPage:
    return ItemPage(limit)


@router.get("/prices")
async def prices() -> Item:
    return Item()


@router.get("/{item_id}")
async def get_item(item_id: UUID, user: str = Depends(get_current_user)) -> Item:
    return Item(item_id)


@router.post("", dependencies=[Depends(get_current_user)])
async def create_item(item: ItemCreate) -> Item:
    return Item(item)


Me = Annotated[str, Depends(get_current_user)]


async def get_items(caller: CurrentUser) -> Items:
    return Items(caller)


@router.get("/mine")
async def mine(me: Me) -> Item:
    return Item(me)


@router.get("/ours")
async def ours(items: Annotated[Items, Depends(get_items)]) -> Item:
    return Item(items)


@admin.delete("/{item_id}", status_code=204)
async def delete_item(item_id: UUID) -> None:
    assert item_id
