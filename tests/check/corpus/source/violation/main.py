from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from not_installed import get_current_user

from schemas import Item, ItemCreate

app = FastAPI()
router = APIRouter(prefix="/items")
CurrentUser = Annotated[str, Depends(get_current_user)]


@router.get("", response_model=list[Item])
async def list_items(  # finds: bare-list
    caller: CurrentUser,
    limit: int = 20,  # finds: unbounded-input
) -> Any:
    return [limit]


@router.get("/{item_id}")
async def get_item(  # finds: open-to-strangers, no-response-model
    item_id: str,  # finds: unbounded-input
) -> Any:
    return item_id


@router.post("", response_model=Item)
async def create_item(item: ItemCreate) -> Item:  # finds: open-to-strangers
    return Item(item)
