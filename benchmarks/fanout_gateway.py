"""The gateway's side of the fan-out benchmarks, in its own process: each byte ``c`` on stdin is a cycle, ``s`` asks
for a line of numbers. ``python -m benchmarks.fanout_gateway '{"changed": 6}'``
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway, ServiceStatus
from zlotick.gateway.fanout.quote_cache import Envelope, Fields, quote_writer
from zlotick.gateway.protocol.subscription import WIRE_FIELDS
from zlotick.journal.base import JournalStats
from zlotick.market.calendar import GPW, Phase
from zlotick.market.universe import Member
from zlotick.model import (
    FRESH,
    AlertsSeen,
    ConnectionStatus,
    CycleReport,
    Entry,
    MarketStatus,
    Origin,
    Position,
    Standing,
    StockUpdate,
    UpdateBatch,
    now_text,
    utc_now,
)
from zlotick.telemetry.metrics import Metrics, Sample

QUOTES = 80
SYMBOLS = [f"S{number:05}" for number in range(QUOTES)]
FIRST_OFFSET = 100_000  # so that every message has the same length
_OURS = ("previous_close", "exchange_time", "received_at", "delay_seconds")
GUIDE_FIELDS = tuple(name for name in WIRE_FIELDS if name not in _OURS)
"""What the guide shows of a quote, and ``stale``: 80 such quotes are 18 KB, as in the prototype's measures."""
MADE = 16
"""Sets of quotes that take turns: to make them is no work of the gateway's."""
TICK = 0.001


class Stage(msgspec.Struct, forbid_unknown_fields=True):
    """How a gateway begins, and what its market does."""

    changed: int = QUOTES  # quotes that change in every cycle
    before: int = 0  # cycles published before anybody is there
    watch: bool = False  # note how long the event loop is held by a cycle


class Numbers(msgspec.Struct):
    """What the gateway tells when asked."""

    journal_reads: int
    slow_consumers: int
    evicted: int
    held_ms: float  # by the median cycle


def command(stage: Stage | None = None) -> list[str]:
    """What starts it."""
    return [sys.executable, "-m", "benchmarks.fanout_gateway", msgspec.json.encode(stage or Stage()).decode()]


def message(count: int = QUOTES, fields: Fields | None = None) -> bytes:
    """What a client gets in a cycle, for so many quotes."""
    quotes = list(quotes_of(0).values())[:count]
    write = quote_writer(fields)
    fragments = [write(quote, FRESH) for quote in quotes]
    return Envelope(position=Position("bench", FIRST_OFFSET), market_status="open").around(fragments).payload


def quotes_of(offset: int) -> dict[str, StockUpdate]:
    """All quotes as they are at an offset: no two alike, so that deflate has what it has in life."""
    moment = now_text()
    return {symbol: _quote(symbol, number, offset, moment) for number, symbol in enumerate(SYMBOLS)}


def _quote(symbol: str, number: int, offset: int, moment: str) -> StockUpdate:
    """Prices between 20.00 and 99.99, volumes of six digits: every message has the same length, or nearly."""
    step = number * 7919 + offset * 31
    previous, price = 2013 + step * 13 % 7900, 2017 + step * 17 % 7900
    return StockUpdate(
        timestamp=moment,
        symbol=symbol,
        price=price / 100,
        change=(price - previous) / 100,
        change_percent=round((price - previous) * 100 / previous, 2),
        volume=100_000 + step * 37 % 900_000,
        high=(price + step % 53) / 100,
        low=(previous - step % 59) / 100,
        open=(previous + step % 61) / 100,
        market_status="open",
        data_source="simulator",
        previous_close=previous / 100,
        received_at=moment,
    )


class Market:
    """Has cycles, all made before anything is measured, and counts how often the journal is asked."""

    def __init__(self, stage: Stage) -> None:
        self.offset = FIRST_OFFSET
        self.journal_reads = 0
        self._changed = SYMBOLS[: stage.changed]
        self._quotes = quotes_of(FIRST_OFFSET)
        self._coming = itertools.cycle([quotes_of(FIRST_OFFSET + number) for number in range(1, MADE + 1)])

    def cycle(self) -> CycleReport:
        self.offset += 1
        newer = next(self._coming)
        self._quotes = {**self._quotes, **{symbol: newer[symbol] for symbol in self._changed}}
        batch = UpdateBatch(now_text(), "open", [newer[symbol] for symbol in self._changed])
        position = Position("bench", self.offset)
        entry = Entry(position, batch)
        count = len(self._changed)
        return CycleReport(
            now_text(), 0.0, QUOTES, 0, count, "open", utc_now(), entry, position, self._quotes
        )

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        self.journal_reads += 1
        return []


class Idle:
    """The service behind the gateway: a market, and nothing else."""

    version = "bench"
    home = Path("no-home")
    calendar = GPW
    members: Sequence[Member] = ()

    def __init__(self, market: Market) -> None:
        self.metrics = Metrics()
        self.metrics_text = self.metrics.text
        self.read_journal = market.read_journal
        self._started = time.monotonic()

    def current_standings(self) -> Mapping[str, Standing]:
        return {}

    def history(self) -> None:
        return None

    async def journal_stats(self) -> JournalStats:
        return JournalStats(Position("bench", FIRST_OFFSET), 1, 0, 0, {}, {}, {}, 0)

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        return AlertsSeen([])

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            questdb_status=ConnectionStatus.DISCONNECTED,
            pocketbase_status=ConnectionStatus.DISCONNECTED,
            providers=[],
            symbols=frozenset(SYMBOLS),
            market_status=MarketStatus.OPEN,
            market_time=utc_now(),
            session_phase=Phase.CONTINUOUS,
            origin=Origin.SIMULATED,
            delay_seconds=None,
            update_interval=30.0,
            next_cycle=None,
            uptime=time.monotonic() - self._started,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Ticker:
    """Notices how late the event loop lets it tick: so long something else held the loop."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._held: list[float] = []
        self._due = asyncio.get_running_loop().time()
        self._tick()

    def cycle(self) -> None:
        """The next cycle begins."""
        self._held.append(self._worst)
        self._worst = 0.0

    def median_ms(self) -> float:
        return statistics.median(self._held[1:]) * 1000 if len(self._held) > 1 else 0.0

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._worst = max(self._worst, loop.time() - self._due)
        self._due = loop.time() + TICK
        loop.call_at(self._due, self._tick)


def _numbers(samples: Mapping[str, float], market: Market, ticker: Ticker | None) -> Numbers:
    return Numbers(
        market.journal_reads,
        int(samples["zlotick_gateway_sessions_late"]),
        int(samples["zlotick_gateway_sessions_evicted"]),
        ticker.median_ms() if ticker else 0.0,
    )


async def _serve(stage: Stage) -> None:
    config = GatewayConfig(
        host="127.0.0.1", port=free_port(), ping_interval=3600
    )  # the drains answer no pings
    market = Market(stage)
    service = Idle(market)
    gateway = await Gateway(config, service).start()
    for _ in range(stage.before):
        gateway.publish(market.cycle())
    ticker = Ticker() if stage.watch else None
    ended = asyncio.Event()

    async def tell() -> None:
        numbers = {one.name: one.value for one in await service.metrics.collect() if isinstance(one, Sample)}
        print(msgspec.json.encode(_numbers(numbers, market, ticker)).decode(), flush=True)

    telling: set[asyncio.Task[None]] = set()

    def asked() -> None:
        requests = os.read(0, 64)
        if not requests:
            ended.set()
        for request in requests:
            if request == ord("c"):
                if ticker:
                    ticker.cycle()
                gateway.publish(market.cycle())
            else:
                task = asyncio.create_task(tell())
                telling.add(task)
                task.add_done_callback(telling.discard)

    asyncio.get_running_loop().add_reader(0, asked)
    print(gateway.port, flush=True)
    await ended.wait()
    await gateway.stop()


if __name__ == "__main__":
    import uvloop

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    uvloop.run(_serve(msgspec.json.decode(sys.argv[1], type=Stage)))
