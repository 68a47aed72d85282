import hashlib
import pickle
import subprocess

from sqlalchemy import text
from sqlalchemy.orm import Session


def find(db: Session, name: str) -> list[str]:
    return list(db.scalars(text(f"SELECT name FROM users WHERE name = '{name}'")))  # finds: S608


def load(data: bytes) -> object:
    return pickle.loads(data)  # finds: S301


def digest(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()  # finds: S324


def run(command: str) -> None:
    subprocess.run(command, shell=True, check=True)  # finds: S602


def calculate(formula: str) -> object:
    return eval(formula)  # finds: S307


def quiet(data: bytes) -> None:
    try:
        load(data)
    except Exception:  # finds: S110
        pass
