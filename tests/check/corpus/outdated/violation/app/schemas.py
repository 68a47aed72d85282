from jose import jwt  # finds: TID251
from passlib.context import CryptContext  # finds: TID251
from pydantic import BaseModel, root_validator, validator

from ..settings import ALGORITHM  # finds: wrong-relative-import

context = CryptContext()


class User(BaseModel):
    name: str

    @validator("name")  # finds: pydantic-v1
    def check_name(cls, value: str) -> str:
        return value.strip()

    @root_validator  # finds: pydantic-v1
    def check(cls, values: dict[str, str]) -> dict[str, str]:
        return values

    class Config:  # finds: pydantic-v1
        orm_mode = True


def read(token: str, found: list[str] = []) -> str:  # finds: B006
    found.append(jwt.decode(token, ALGORITHM))
    return undefined  # finds: F821
