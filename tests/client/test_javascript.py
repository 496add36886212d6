"""The JavaScript client's own manners: the guide's usage, its listeners, a browser that sleeps, its types."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright
from tests.client.servers import Scripted, scripted
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, serving
from tests.gateway.test_guide import lines, node
from tests.markers import CHROMIUM

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "js"
IMPORT = f"import {{ RealtimeStreamClient }} from {json.dumps((CLIENT / 'src' / 'index.ts').as_uri())};\n"
QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}


async def run_node(script: str, folder: Path) -> asyncio.subprocess.Process:
    file = folder / "client.mjs"
    await asyncio.to_thread(file.write_text, IMPORT + script, "utf-8")
    return await asyncio.create_subprocess_exec(
        node(), str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def test_the_usage_that_the_guide_prints(tmp_path: Path) -> None:
    """The guide's example with this class in the place of its own."""
    guide = (ROOT / "tests" / "gateway" / "guide_client.js").read_text("utf-8")
    usage = guide[guide.index("// Usage example") :]
    async with serving() as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        url = f"ws://127.0.0.1:{gateway.port}"
        script = usage.replace("new RealtimeStreamClient()", f"new RealtimeStreamClient('{url}')")
        process = await run_node(script, tmp_path)
        try:
            said = await lines(process, "APR")
        finally:
            process.kill()
            await process.communicate()
    assert said[:3] == [
        "🔗 Connection status: connected",
        "📊 Received stock updates: 5 stocks",
        "ABS: 10 (5.26%)",
    ]


async def test_listeners_do_not_disturb_each_other_and_node_ends_when_it_is_disconnected(
    tmp_path: Path,
) -> None:
    script = """
        const client = new RealtimeStreamClient(URL);
        const leave = client.subscribe('connection', () => console.log('never'));
        leave();
        client.subscribe('connection', () => { throw new Error('mine'); });
        client.subscribe('connection', () => client.send({ type: 'subscribe', symbols: ['ABS'] }));
        client.subscribe('connection', () => client.requestStatus());
        client.subscribe('status', ({ subscribers }) => {
            console.log('status', subscribers, client.position.offset);
            client.disconnect();
            client.disconnect();
        });
        client.subscribe('state', ({ state }) => console.log(state));
        client.connect();
        client.connect();
    """
    async with serving() as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        process = await run_node(script.replace("URL", f"'ws://127.0.0.1:{gateway.port}'"), tmp_path)
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    said = output.decode().splitlines()
    assert [line for line in said if not line.startswith((" ", "Error: mine"))][:4] == [
        "connecting",
        "connected",
        "status 1 1",
        "closed",
    ]
    assert "Error: mine" in output.decode()
    assert "never" not in said


class Site:
    """Serves the client's sources to a browser, their types stripped by Node."""

    def __init__(self, folder: Path) -> None:
        script = """
            import { stripTypeScriptTypes } from "node:module";
            import { readFileSync, readdirSync, writeFileSync } from "node:fs";
            const [, , from, to] = process.argv;
            for (const name of readdirSync(from))
                writeFileSync(`${to}/${name}`, stripTypeScriptTypes(readFileSync(`${from}/${name}`, "utf8")));
        """
        strip = folder / "strip.mjs"
        strip.write_text(script, "utf-8")
        subprocess.run(
            [node(), "--no-warnings", str(strip), str(CLIENT / "src"), str(folder)], check=True, timeout=30
        )
        self._folder = folder

    async def serve(self, request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(text="<!doctype html><title>test</title>", content_type="text/html")
        source = await asyncio.to_thread((self._folder / request.path[1:]).read_text, "utf-8")
        return web.Response(text=source, content_type="text/javascript")


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    site, app = await asyncio.to_thread(Site, tmp_path), web.Application()
    app.router.add_get("/{path:.*}", site.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        yield page
        await browser.close()
    await runner.cleanup()


async def test_a_browser_that_wakes_finds_out_at_once(page: Page) -> None:
    """Its timers stood still and nobody said that the network is another: only the events of waking tell."""
    async with scripted() as server, asyncio.timeout(30):
        assert isinstance(server, Scripted)
        await page.evaluate(
            """async (url) => {
                const { RealtimeStreamClient } = await import("/index.ts");
                window.states = [];
                const backoff = { first: 1e6, cap: 1e6 };
                window.client = new RealtimeStreamClient(url, { patience: 300, backoff, jitter: () => 0 });
                client.subscribe("state", ({ state, reason }) => states.push(state + reason));
                client.connect();
            }""",
            server.url,
        )
        await server.step("connect", None)
        await server.step("read", {"type": "subscribe"})
        await page.context.set_offline(True)
        await page.context.set_offline(False)  # the browser says `online`
        await server.step("read", {"type": "ping"})
        assert await states(page, "waiting") == ["connecting", "connected", "waitingsilent"]
        # It would wait for a quarter of an hour, but somebody looks at it again.
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await server.step("connect", None)
        await server.step("read", {"type": "subscribe"})
        await page.evaluate("client.disconnect()")
        await server.step("gone", None)
        assert (await states(page, "closed"))[3:] == ["connecting", "connected", "closed"]


async def states(page: Page, until: str) -> list[str]:
    """What it went through, when it has come to this state."""
    await page.wait_for_function("(until) => states.at(-1).startsWith(until)", arg=until)
    known: list[str] = await page.evaluate("states")
    return known


def test_its_types_hold(tmp_path: Path) -> None:
    """With the compiler of the board, where that is installed."""
    compilers = [CLIENT / "node_modules", ROOT / "board" / "node_modules"]
    tsc = next((found for one in compilers if (found := one / "typescript" / "bin" / "tsc").exists()), None)
    if tsc is None:
        pytest.skip("no TypeScript here: run npm ci in clients/js")
    (tmp_path / "use.ts").write_text(
        IMPORT.replace("file://", "")
        + """
        const client = new RealtimeStreamClient();
        client.subscribe("candle", (candle) => candle.close.toFixed(2));
        // @ts-expect-error  no such event
        client.subscribe("candles", () => undefined);
        // @ts-expect-error  quotes have no such field
        client.subscribe("stock_updates", ({ data }) => data.map((quote) => quote.prise));
        """,
        "utf-8",
    )
    options = {
        "noEmit": True,
        "rootDir": "/",
        "rewriteRelativeImportExtensions": False,
        "allowImportingTsExtensions": True,
    }
    config = {"extends": str(CLIENT / "tsconfig.json"), "compilerOptions": options, "include": ["use.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), "utf-8")
    ran = subprocess.run(
        [node(), str(tsc), "-p", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
