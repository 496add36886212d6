"""A hundred clients while the worst pages are read: how late a cycle reaches them, against a quiet service.

Everything is in one process and one event loop, clients included, so both figures are high; their ratio counts. The
pages are as large as an answer may be, one after another without a pause; in life there is one in half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import time
from itertools import count
from typing import Any

import aiohttp
import structlog
import uvloop
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, serving
from tests.providers.web.hostile import HOSTILE
from tests.providers.web.test_gpw import UNIVERSE
from tests.providers.web.test_html_reader import Sender

from zlotick.config import GpwConfig
from zlotick.errors import Refusal
from zlotick.gateway.server import RunningGateway
from zlotick.providers.web.gpw import GpwProvider

CLIENTS, CYCLES, EVERY = 100, 200, 0.02
PAGE_BYTES = 2_000_000
TARGET_RATIO = 3.0
_OFFSETS = count(1)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    quiet, busy, pages = uvloop.run(_run())
    structlog.reset_defaults()
    print(f"{CLIENTS} clients, {CYCLES} cycles; from a cycle to each client's message:")
    for name, delays in (("quiet", quiet), ("hostile pages", busy)):
        p50, p99 = (1000 * statistics.quantiles(delays, n=100)[place - 1] for place in (50, 99))
        print(
            f"  {name:14} p50 {p50:6.1f} ms, p99 {p99:6.1f} ms, max {1000 * max(delays):6.1f} ms ({len(delays)})"
        )
    ratio = statistics.quantiles(busy, n=100)[98] / statistics.quantiles(quiet, n=100)[98]
    print(
        f"  p99 to the quiet one {ratio:.1f} (target {TARGET_RATIO:g}), {pages} pages were read during that"
    )


async def _run() -> tuple[list[float], list[float], int]:
    pages = [make(PAGE_BYTES).encode() for make in HOSTILE.values()]
    async with serving(max_sessions=CLIENTS) as gateway, aiohttp.ClientSession() as session:
        delays: list[float] = []
        clients = [asyncio.create_task(_listen(session, gateway.port, delays)) for _ in range(CLIENTS)]
        while gateway.session_count < CLIENTS:
            await asyncio.sleep(0.05)
        await _cycles(gateway)
        delays.clear()
        await _cycles(gateway)
        quiet, read = delays.copy(), [0]
        reading = asyncio.create_task(_read(pages, read))
        delays.clear()
        await _cycles(gateway)
        busy = delays.copy()
        for task in (reading, *clients):
            task.cancel()
        await asyncio.wait([reading, *clients])
    return quiet, busy, read[0]


async def _listen(session: aiohttp.ClientSession, port: int, delays: list[float]) -> None:
    async with session.ws_connect(f"ws://127.0.0.1:{port}/ws", max_msg_size=0) as socket:
        await socket.send_json({"type": "subscribe", "mode": "changes"})
        async for message in socket:
            heard: dict[str, Any] = message.json()
            if heard["type"] == "stock_updates" and not heard.get("snapshot"):
                delays.append(time.perf_counter() - heard["data"][0]["price"])


async def _cycles(gateway: RunningGateway) -> None:
    """The price is the moment at which the cycle was published."""
    for _ in range(CYCLES):
        quotes = {symbol: quote(symbol, time.perf_counter()) for symbol in SYMBOLS}
        gateway.publish(report(quotes, SYMBOLS, offset=next(_OFFSETS)))
        await asyncio.sleep(EVERY)
    await asyncio.sleep(1)  # the last ones come


async def _read(pages: list[bytes], read: list[int]) -> None:
    while True:
        for page in pages:
            with contextlib.suppress(Refusal):
                await GpwProvider(GpwConfig(timeout=60), UNIVERSE, Sender(page)).fetch_data()
            read[0] += 1
