"""From the command to the first quote at a client: ``demo`` with everything cached, and ``serve`` without databases.

The bare part beside it: starting Python and importing aiohttp.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import aiohttp

DEMO_TARGET, SERVE_TARGET = 10.0, 1.0
GATEWAY = 18765


def main() -> None:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import aiohttp"], check=True)
    bare = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        _run("demo", folder)  # provisions
        demo = _run("demo", folder)
    with tempfile.TemporaryDirectory() as folder:
        off = ["--questdb", "off", "--pocketbase", "off", "--set", 'providers.order=["replay"]']
        serve = min(_run("serve", folder, *off) for _ in range(3))
    print(f"demo, second start, to the first quote: {demo:.2f} s (target {DEMO_TARGET:g} s)")
    print(f"serve without databases: {serve:.2f} s (target {SERVE_TARGET:g} s)")
    print(f"  Python with aiohttp: {bare:.2f} s; ratios {demo / bare:.1f} and {serve / bare:.1f}")


def _run(command: str, folder: str, *options: str) -> float:
    ports = {"questdb.port": 18812, "questdb.http_port": 19000, "gateway.port": GATEWAY}
    sets = [f"{name}={port}" for name, port in ports.items()] + ["pocketbase.url=http://localhost:18090"]
    arguments = [word for one in [*sets, f"service.data_dir={folder}"] for word in ("--set", one)]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "zlotick", command, *options, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    try:
        asyncio.run(_first_quote())
        return time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def _first_quote() -> None:
    async with asyncio.timeout(120):
        while True:
            with suppress(aiohttp.ClientError, OSError):
                return await _connected()
            await asyncio.sleep(0.02)


async def _connected() -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://localhost:{GATEWAY}") as ws:
        await ws.send_json({"type": "subscribe"})
        while True:
            message = await ws.receive_json()
            if message["type"] == "stock_updates" and message["count"]:
                return
