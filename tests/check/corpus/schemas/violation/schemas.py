from typing import Optional

from pydantic import BaseModel, Field


class UserCreate(BaseModel):
    name: str = Field(max_length=100)
    role: str = Field("user", max_length=20)  # finds: privileged-field


class SignUp(BaseModel):
    is_admin: bool = False  # finds: privileged-field


class UserUpdate(BaseModel):
    name: Optional[str] = Field(None, max_length=100)  # finds: null-in-patch
    email: str | None = Field(None, max_length=255)  # finds: null-in-patch
    is_superuser: bool = False  # finds: privileged-field
    nickname: str | None = Field(None, max_length=100)


class UserResponse(BaseModel):
    id: str  # finds: id-as-text
    name: str
