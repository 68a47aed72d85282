"""An application that can be caught between its commit and its answer."""

import asyncio
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate import create_app
from bedplate.example import BUILT_IN


class HoldBack:
    """Holds back the response of a request with a header, for good."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hold_back(message: Message) -> None:
            if b"x-hold-back" in dict(scope.get("headers", ())):
                await asyncio.to_thread(Path("committed").touch)
                await asyncio.sleep(600)
            await send(message)

        await self.app(scope, receive, hold_back)


app = create_app(modules=BUILT_IN)
app.add_middleware(HoldBack)
