import asyncio
import time

import httpx
import requests
from pwdlib import PasswordHash
from starlette.concurrency import run_in_threadpool

passwords = PasswordHash.recommended()


async def wait() -> None:
    await asyncio.sleep(1)


async def fetch(url: str) -> bytes:
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).content


def look_up(city: str) -> str:
    time.sleep(0.1)
    return requests.get(f"https://example.com/{city}", timeout=5).text


async def weather(city: str) -> str:
    return await asyncio.to_thread(look_up, city)


async def hash_password(password: str) -> str:
    return await run_in_threadpool(passwords.hash, password)


def hash_now(password: str) -> str:
    return passwords.hash(password)


async def nested() -> float:
    def measure() -> float:
        time.sleep(0.1)
        return time.monotonic()

    return await asyncio.to_thread(measure)


def _run(seconds: int) -> None:
    time.sleep(seconds)
