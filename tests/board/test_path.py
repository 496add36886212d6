"""The board under a path of a proxy, as docs/proxy.md says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import WSMsgType, web
from playwright.async_api import Page, expect
from tests.board.test_board import QUOTES, Board, Changeable
from tests.factories import report
from tests.gateway.serving import serving

HOP_BY_HOP = {"connection", "content-encoding", "content-length", "transfer-encoding", "upgrade"}


@asynccontextmanager
async def proxy(port: int, path: str = "/zl/") -> AsyncIterator[int]:
    """Takes the path away and hands on the rest, as `proxy_pass http://...:8765/;` does. Its own port."""
    async with aiohttp.ClientSession(auto_decompress=False) as upstream:

        async def forward(request: web.Request) -> web.StreamResponse:
            url = f"http://127.0.0.1:{port}/{request.match_info['rest']}?{request.query_string}"
            headers = {
                name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP
            }
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await pipe(request, upstream, url)
            async with upstream.get(url, headers=headers, allow_redirects=False) as answer:
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower() not in HOP_BY_HOP - {"content-encoding"}
                }
                return web.Response(body=await answer.read(), status=answer.status, headers=kept)

        app = web.Application()
        app.router.add_get(path + "{rest:.*}", forward)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def pipe(request: web.Request, upstream: aiohttp.ClientSession, url: str) -> web.WebSocketResponse:
    browser = web.WebSocketResponse()
    await browser.prepare(request)
    headers = {"Origin": request.headers["Origin"], "Host": request.headers["Host"]}
    async with upstream.ws_connect(url, headers=headers) as gateway:
        await asyncio.wait(
            {asyncio.create_task(copy(browser, gateway)), asyncio.create_task(copy(gateway, browser))},
            return_when=asyncio.FIRST_COMPLETED,
        )
    return browser


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def copy(source: Socket, target: Socket) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await target.send_str(message.data)
    await target.close()


async def test_the_board_needs_no_host_of_its_own(page: Page) -> None:
    """Behind a proxy at /zl/ it was an empty page: it asked for /assets/..., /api/v1 and /ws outside of the path."""
    async with serving(Changeable()) as gateway, proxy(gateway.port) as port:
        gateway.publish(report(QUOTES, QUOTES))
        board = Board(page, f"http://127.0.0.1:{port}/zl/")
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        await board.open()
        await expect(board.cell("ABS", "last")).to_have_text("85.40")  # of the WebSocket
        await expect(board.row("ABS")).to_contain_text("ASSECO")  # of the HTTP half
        await board.row("ABS").click()
        await expect(page.locator(".plot")).to_be_visible()  # a script that is loaded later
        await page.keyboard.press("?")
        async with page.context.expect_page() as opened:
            await page.get_by_role("link", name="Licences").click(modifiers=["ControlOrMeta"])
        assert "Lightweight Charts" in await (await opened.value).locator("body").inner_text()
        assert set(sockets) == {f"ws://127.0.0.1:{port}/zl/ws"}
    assert [text for text in board.problems if "elsewhere" in text or "404" in text] == []
