"""A real browser at the door: what pages may do is the browser's word, so it is asked for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.factories import quote, report
from tests.gateway.serving import Service, serving
from tests.markers import CHROMIUM

from zlotick.gateway.access.tokens import TokenFile

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><script>
const tries = %s, told = [];
const tell = (text) => { told.push(text); if (told.length === tries.length) fetch('/told', {method: 'POST', body: JSON.stringify(told)}); };
for (const [url, protocols] of tries) {
  const ws = new WebSocket(url, protocols), heard = [];
  ws.onmessage = (event) => { heard.push(JSON.parse(event.data).type); if (heard.length === 2) { tell(ws.protocol + ' ' + heard); ws.close(); } };
  ws.onerror = () => tell('refused');
}
</script>"""

READER = """<!doctype html><script>
const tries = %s;
const read = async ([url, headers]) => {
  try {
    const answer = await fetch(url, {headers}), {count, error} = await answer.json();
    return `${answer.status} ${error ? error.code : count} ${answer.headers.get('ETag') !== null}`;
  } catch { return 'refused'; }
};
Promise.all(tries.map(read)).then((told) => fetch('/told', {method: 'POST', body: JSON.stringify(told)}));
</script>"""
"""It reads the HTTP resources."""


class OriginPolicy:
    """Another site, with one page, which tells what it could do."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, Any]] = []
        self.script = PAGE
        self.told: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self.port = 0

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=self.script % json.dumps(self.tries), content_type="text/html")

    async def hear(self, request: web.Request) -> web.Response:
        self.told.set_result(json.loads(await request.text()))
        return web.Response()


@contextlib.asynccontextmanager
async def pages() -> AsyncIterator[OriginPolicy]:
    site, app = OriginPolicy(), web.Application()
    app.add_routes([web.get("/", site.page), web.post("/told", site.hear)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()


async def opened(site: OriginPolicy, host: str, folder: Path) -> list[str]:
    """What the page told when the browser opened it under this name of this machine."""
    assert CHROMIUM
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--host-resolver-rules=MAP *.example 127.0.0.1",
        "--remote-debugging-port=0",  # keeps it open
        f"http://{host}:{site.port}/",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            return await site.told
    finally:
        browser.kill()
        await browser.wait()


async def test_a_page_of_this_machine_gets_in_by_subprotocol(tmp_path: Path) -> None:
    token = await asyncio.to_thread(TokenFile(tmp_path).create, "page", ("read",), None)
    async with serving(Service(home=tmp_path), auth="tokens") as gateway, pages() as site:
        url = f"ws://127.0.0.1:{gateway.port}/ws"
        site.tries = [
            (url, ["v1.json", f"zlotick.token.{token}"]),
            (url, ["v1.json", "zlotick.token.zt_wrong"]),
            (f"{url}?token={token}", ["v1.json"]),
        ]
        told = await opened(site, "localhost", tmp_path / "browser")
    assert sorted(told) == ["refused", "refused", "v1.json connection,authenticated"]


async def test_a_page_of_another_site_reads_nothing(tmp_path: Path) -> None:
    async with serving() as gateway, pages() as site:
        site.tries = [
            (f"ws://127.0.0.1:{gateway.port}/ws", []),
            (f"ws://localhost:{gateway.port}/", ["v1.json"]),
            (f"ws://evil.example:{gateway.port}/", []),  # its own name, pointed here
        ]
        assert await opened(site, "evil.example", tmp_path / "browser") == ["refused"] * 3
        assert gateway.access._refused == 3  # by us, not by some rule of the browser's own


@pytest.mark.parametrize(
    ("host", "told"), [("app.example", ["200 1 true", "401 401 false"]), ("evil.example", ["refused"] * 2)]
)
async def test_an_allowed_page_reads_the_resources_with_its_token_and_another_one_nothing(
    tmp_path: Path, host: str, told: list[str]
) -> None:
    token = await asyncio.to_thread(TokenFile(tmp_path).create, "page", ("read",), None)
    async with pages() as site:
        origins = [f"http://app.example:{site.port}"]
        async with serving(Service(home=tmp_path), auth="tokens", origins=origins) as gateway:
            gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
            url, site.script = f"http://127.0.0.1:{gateway.port}/api/v1/quotes", READER
            site.tries = [(url, {"Authorization": f"Bearer {token}"}), (url, {})]
            assert await opened(site, host, tmp_path / "browser") == told
