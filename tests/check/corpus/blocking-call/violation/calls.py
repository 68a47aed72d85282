import hashlib
import shutil
import smtplib
import sqlite3
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import requests
from pwdlib import PasswordHash

passwords = PasswordHash.recommended()


async def wait() -> None:
    time.sleep(1)  # finds: ASYNC251


async def fetch(url: str) -> bytes:
    return requests.get(url, timeout=5).content  # finds: ASYNC210


async def fetch_plainly() -> bytes:
    return bytes(urlopen("https://example.com").read())  # finds: ASYNC210


async def read(path: Path) -> str:
    with open(path) as file:  # finds: ASYNC230
        return file.read()


async def convert() -> None:
    subprocess.run(["/usr/bin/true"], check=True)  # finds: ASYNC221


async def count() -> int:
    connection = sqlite3.connect("/data/app.db")  # finds: blocking-call
    return int(connection.execute("SELECT 1").fetchone()[0])


async def send(text: str) -> None:
    with smtplib.SMTP("localhost") as server:  # finds: blocking-call
        server.sendmail("a@example.com", "b@example.com", text)


async def hash_password(password: str) -> str:
    return passwords.hash(password)  # finds: blocking-call


async def derive(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=2, r=8, p=1)  # finds: blocking-call


async def clear(folder: str) -> None:
    shutil.rmtree(folder)  # finds: blocking-call


def look_up(city: str) -> str:
    return requests.get(f"https://example.com/{city}", timeout=5).text


async def weather(city: str) -> str:
    return look_up(city)  # finds: blocking-call


class Rates:
    def load(self) -> str:
        return requests.get("https://example.com", timeout=5).text

    async def current(self) -> str:
        return self.load()  # finds: blocking-call


async def many(urls: list[str]) -> list[str]:
    with requests.Session() as session:  # finds: blocking-call
        return [session.get(url).text for url in urls]


async def text_of(path: Path) -> str:
    return path.read_text()  # finds: ASYNC240
