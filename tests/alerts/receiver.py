"""A real HTTP server that takes notifications, and answers as a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web


class Received(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """``answers``: the statuses to give, one after another, the last one for ever; 0 hangs."""

    def __init__(self) -> None:
        self.answers = [200]
        self.received: list[Received] = []
        self.port = 0
        self._grown = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hunter2"

    async def take(self, request: web.Request) -> web.Response:
        self.received.append(Received(dict(request.headers), await request.read()))
        self._grown.set()
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await asyncio.sleep(3600)
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    async def until(self, count: int, within: float = 30) -> list[Received]:
        async with asyncio.timeout(within):
            while len(self.received) < count:
                self._grown.clear()
                await self._grown.wait()
        return self.received


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()
