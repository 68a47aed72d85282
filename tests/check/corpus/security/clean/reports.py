import hashlib
import json
import subprocess

from sqlalchemy import text
from sqlalchemy.orm import Session


def find(db: Session, name: str) -> list[str]:
    query = text("SELECT name FROM users WHERE name = :name")
    return list(db.scalars(query, {"name": name}))


def load(data: bytes) -> object:
    return json.loads(data)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run(name: str) -> None:
    subprocess.run(["/usr/bin/convert", name], check=True)
