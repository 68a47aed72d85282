"""An existing application, with Bedplate installed into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bookmarks import module as bookmarks
from fastapi import FastAPI

from bedplate import BUILT_IN, CurrentUser, install


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.greeting = "Hello"
    yield


app = FastAPI(title="Bookmarks", lifespan=lifespan)


@app.get("/hello")
async def say_hello(caller: CurrentUser) -> dict[str, str]:
    """Greet the caller. This route was here before."""
    return {"message": f"{app.state.greeting}, {caller.name}"}


install(app, modules=[*BUILT_IN, bookmarks])
