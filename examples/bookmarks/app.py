"""An existing FastAPI application that installs Bedplate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bookmarks import module as bookmarks
from fastapi import FastAPI

from bedplate import CORE, CurrentUser, install


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.greeting = "Hello"
    yield


app = FastAPI(title="Bookmarks", lifespan=lifespan)


@app.get("/hello")
async def say_hello(caller: CurrentUser) -> dict[str, str]:
    """Greet the caller. The route existed before; only `caller` is new."""
    return {"message": f"{app.state.greeting}, {caller.name}"}


install(app, modules=[*CORE, bookmarks])
