from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, EmailStr

app = FastAPI()
Token = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))]


class ItemBase(BaseModel):
    title: str  # finds: unbounded-input


class ItemCreate(ItemBase):
    email: EmailStr
    tags: list[str] = []  # finds: unbounded-input
    notes: str | None = None  # finds: unbounded-input


class Item(BaseModel):
    id: int
    title: str


class ItemPage(BaseModel):
    items: list[Item]
    total: int


@app.post("/token")
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Item:
    return Item(id=1, title=form.username)


@app.get("/items")
async def list_items(  # finds: bare-list, open-to-strangers, unbounded-input, unbounded-input
    skip: int = 0, limit: int = 20
) -> list[Item]:
    return [Item(id=skip, title=str(limit))]


@app.get("/pages")
async def list_pages(token: Token) -> ItemPage:  # finds: unpaged-list
    return ItemPage(items=[], total=len(token))


@app.get("/items/{item_id}", response_model=Item)
async def get_item(token: Token, item_id: str) -> Item:  # finds: unbounded-input
    return Item(id=1, title=item_id + token)


@app.post("/items")
async def create_item(  # finds: no-response-model
    token: Token, item: ItemCreate
) -> dict[str, Any]:
    return {"item": item, "token": token}


@app.delete("/items/{item_id:int}")
async def delete_item(item_id: int) -> None:  # finds: open-to-strangers
    assert item_id


@app.post("/anything")
async def take_anything(
    token: Token,
    data: dict[str, Any],  # finds: unvalidated-body
) -> Item:
    return Item(id=len(data), title=token)


@app.post("/raw")
async def take_raw(token: Token, request: Request) -> Item:
    data = await request.json()  # finds: unvalidated-body
    return Item(id=len(data), title=token)


@app.post("/form")
async def take_form(token: Token, title: Annotated[str, Form()]) -> Item:  # finds: unbounded-input
    return Item(id=1, title=title + token)
