from uuid import UUID

from pydantic import BaseModel, Field


class UserCreate(BaseModel):
    name: str = Field(max_length=100)


class AdminUserUpdate(BaseModel):
    role: str = Field(max_length=20)


class UserUpdate(BaseModel):
    name: str = Field("", max_length=100)
    nickname: str | None = Field(None, max_length=100)


class UserResponse(BaseModel):
    id: UUID
    name: str
    role: str
