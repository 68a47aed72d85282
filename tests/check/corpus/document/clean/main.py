from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, UploadFile
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, EmailStr, Field

scheme = OAuth2PasswordBearer(tokenUrl="token")


async def get_current_user(token: Annotated[str, Depends(scheme)]) -> str:
    return token


CurrentUser = Annotated[str, Depends(get_current_user)]
router = APIRouter(prefix="/admin", dependencies=[Depends(get_current_user)])
app = FastAPI()


class Comment(BaseModel):
    text: str = Field(max_length=500)
    answers: list["Comment"] = Field([], max_length=10)


class ItemCreate(BaseModel):
    email: EmailStr
    title: Annotated[str, Field(min_length=1, max_length=100)]
    tags: list[Annotated[str, Field(max_length=20)]] = Field([], max_length=10)
    kind: Literal["small", "large"] = "small"
    comment: Comment | None = None


class Item(BaseModel):
    id: UUID
    title: str


class ItemPage(BaseModel):
    items: list[Item]
    total: int


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/token")
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Item:
    raise NotImplementedError(form.username)


@app.get("/items")
async def list_items(
    caller: CurrentUser,
    page: Annotated[int, Query(ge=1)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ItemPage:
    return ItemPage(items=[], total=page * limit)


@app.get("/items/{item_id}")
async def get_item(caller: CurrentUser, item_id: UUID) -> Item:
    return Item(id=item_id, title=caller)


@app.post("/items", status_code=201)
async def create_item(caller: CurrentUser, item: ItemCreate) -> Item:
    raise NotImplementedError(item.title)


@app.delete("/items/{item_id}", status_code=204)
async def delete_item(caller: CurrentUser, item_id: UUID) -> None:
    assert item_id


@app.post("/files")
async def upload(caller: CurrentUser, file: UploadFile) -> Item:
    raise NotImplementedError(file.filename)


@router.get("/items/{item_id}")
async def audit(item_id: UUID) -> Item:
    return Item(id=item_id, title="")


app.include_router(router)
