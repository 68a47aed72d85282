import jwt
from pwdlib import PasswordHash
from pydantic import BaseModel, ConfigDict, field_validator

from .settings import ALGORITHM

context = PasswordHash.recommended()


class User(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str

    @field_validator("name")
    @classmethod
    def check_name(cls, value: str) -> str:
        return value.strip()


class Settings:
    class Config:
        name = "not Pydantic's"


def read(token: str, found: list[str] | None = None) -> str:
    return str(jwt.decode(token, algorithms=[ALGORITHM]) or found)
