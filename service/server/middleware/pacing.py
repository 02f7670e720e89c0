"""Starts at most one GET in each turn of the event loop, so that many do not hold up the others.

What a GET tells (metrics, models, documents) is computed on the event loop, in 0.3 to 20 ms.
Otherwise one turn of the loop would answer all GETs that have arrived, and `/health/live` and
predictions would wait for hundreds of them.
"""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

_HEALTH = ("/health/", "/v2/health/", "/ping")  # beginnings of paths; these never wait


class Pacing:
    """ASGI middleware: starts GETs as they arrive, one in each turn of the event loop.

    Health checks and other methods are not delayed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._waiting = deque[asyncio.Future[None]]()
        self._is_giving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        if is_get and not scope["path"].startswith(_HEALTH):
            await self._own_turn()
        await self._app(scope, receive, send)

    async def _own_turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._is_giving:
            self._is_giving = True
            self._give(loop)
        await turn

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next one begin, and come back in the next turn of the event loop."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its task was cancelled
                turn.set_result(None)
                loop.call_soon(self._give, loop)
                return
        self._is_giving = False
