"""A page in a real browser as the client: what it is told to say it says, what it hears it tells."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.markers import CHROMIUM

_PAGE = """<!doctype html><script>
const peers = {}, control = new WebSocket(`ws://${location.host}/control`);
control.onmessage = (event) => {
  const {open, url, close, peer, text} = JSON.parse(event.data);
  if (open !== undefined) {
    const ws = peers[open] = new WebSocket(url);
    ws.onmessage = (message) => control.send(JSON.stringify({peer: open, text: message.data}));
  } else if (close !== undefined) peers[close].close();
  else peers[peer].send(text);
};
</script>"""
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",  # keeps it open
]


class Page:
    """The page, and the line to it."""

    def __init__(self) -> None:
        self._control: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()
        self._heard: dict[int, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self._numbers = itertools.count()

    async def open(self, url: str) -> int:
        """Connect to a gateway; the number of the connection."""
        number = next(self._numbers)
        await self._tell({"open": number, "url": url})
        return number

    async def close(self, number: int) -> None:
        await self._tell({"close": number})

    async def say(self, number: int, text: str) -> None:
        await self._tell({"peer": number, "text": text})

    async def hear(self, number: int) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return dict(json.loads(await self._heard[number].get()))

    async def _tell(self, command: dict[str, Any]) -> None:
        async with asyncio.timeout(30):
            control = await asyncio.shield(self._control)
        await control.send_json(command)

    async def serve(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        control = web.WebSocketResponse()
        await control.prepare(request)
        self._control.set_result(control)
        async for message in control:
            told = json.loads(message.data)
            self._heard[told["peer"]].put_nowait(told["text"])
        return control


@contextlib.asynccontextmanager
async def page_in_chromium(folder: Path) -> AsyncIterator[Page]:
    """A page of this machine, open in Chromium."""
    assert CHROMIUM
    page, app = Page(), web.Application()
    app.add_routes([web.get("/", page.serve), web.get("/control", page.listen)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    quiet = asyncio.subprocess.DEVNULL
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}", url, stdout=quiet, stderr=quiet
    )
    try:
        yield page
    finally:
        browser.kill()
        await browser.wait()
        await runner.cleanup()
