"""A real gateway on a free port, with a context whose answers a test can change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import websockets

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway, GatewayContext
from zlotick.gateway.protocol.alerts import may_see
from zlotick.journal.base import JournalStats
from zlotick.model import (
    Alert,
    AlertsSeen,
    ConnectionStatus,
    Entry,
    Position,
    ProviderRow,
    StaleReason,
    Standing,
    UnusableRule,
)
from zlotick.telemetry.metrics import Metrics

SILENT = Standing(stale=True, reason=StaleReason.SILENT)
SYMBOLS = ("ABS", "ACG", "AGO", "AMB", "APR")


@dataclass
class Service:
    """Stands for the manager: what the context answers."""

    questdb: ConnectionStatus = ConnectionStatus.CONNECTED
    pocketbase: ConnectionStatus = ConnectionStatus.DISCONNECTED
    providers: list[ProviderRow] = field(
        default_factory=lambda: [ProviderRow("replay", ConnectionStatus.CONNECTED, symbols=5)]
    )
    symbols: frozenset[str] = frozenset(SYMBOLS)
    origin: str = "replayed"
    standings: dict[str, Standing] = field(default_factory=dict)
    next_cycle: str | None = None
    phase: str = "continuous"
    journal: JournalStats | Exception = field(
        default_factory=lambda: JournalStats(
            Position("e1", 7), 1, 7, 4096, {"questdb": 5}, {"questdb": 2}, {}, 0
        )
    )
    metrics: Metrics = field(default_factory=Metrics)
    entries: list[Entry] = field(default_factory=list)  # what the journal still has
    reads: int = 0
    market_time: datetime | None = None  # None: now
    home: Path | None = None
    pocketbase_url: str | None = None
    alerts: list[Alert] | None = None  # newest first; None: there is no engine
    unusable: list[UnusableRule] = field(default_factory=list)

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        self.reads += 1
        if isinstance(self.journal, Exception):
            raise self.journal
        await asyncio.sleep(0)
        return [entry for entry in self.entries if entry.position.offset > after][:limit]

    async def journal_stats(self) -> JournalStats:
        if isinstance(self.journal, Exception):
            raise self.journal
        return self.journal

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        return AlertsSeen([one for one in self.alerts or [] if may_see(user, one)][:limit], self.unusable)

    def context(self) -> GatewayContext:
        started = time.monotonic()
        return GatewayContext(
            version="9.9.9",
            metrics=self.metrics,
            questdb_status=lambda: self.questdb,
            pocketbase_status=lambda: self.pocketbase,
            providers=lambda: self.providers,
            symbols=lambda: self.symbols,
            market_status=lambda: "open",
            session_phase=lambda: self.phase,
            origin=lambda: self.origin,
            delay_seconds=lambda: None,
            update_interval=lambda: 30.0,
            standings=lambda: self.standings,
            next_cycle=lambda: self.next_cycle,
            journal_stats=self.journal_stats,
            read_journal=self.read_journal,
            market_time=lambda: self.market_time or datetime.now(UTC),
            uptime=lambda: time.monotonic() - started,
            home=self.home,
            recent_alerts=None if self.alerts is None else self.recent_alerts,
            pocketbase_url=lambda: self.pocketbase_url,
        )


@contextlib.asynccontextmanager
async def serving(service: Service | None = None, **settings: Any) -> AsyncIterator[Gateway]:
    known = {"host": "127.0.0.1", "port": 0, "shutdown_timeout": 1.0, "requests_burst": 1_000_000}
    gateway = Gateway(GatewayConfig(**{**known, **settings}), (service or Service()).context())
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


class Client:
    """A WebSocket client that speaks JSON and waits with a deadline."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, within: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            text = await self.socket.recv()
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        return message

    async def ask(self, **message: Any) -> dict[str, Any]:
        await self.say(**message)
        return await self.hear()

    async def subscribe(self, **wishes: Any) -> list[dict[str, Any]]:
        """Subscribe and return the snapshot's quotes."""
        assert (await self.ask(type="subscribe", **wishes))["type"] == "subscription_confirmed"
        snapshot = await self.hear()
        assert (snapshot["type"], snapshot["snapshot"]) == ("stock_updates", True)
        assert (await self.hear())["type"] == "snapshot_end"
        quotes: list[dict[str, Any]] = snapshot["data"]
        return quotes

    async def closed(self, within: float = 30.0) -> int | None:
        """Wait for the end and return the close code the server gave."""
        async with asyncio.timeout(within):
            await self.socket.wait_closed()
        return self.socket.close_code


@contextlib.asynccontextmanager
async def connected(gateway: Gateway, *, greeted: bool = True, **options: Any) -> AsyncIterator[Client]:
    async with websockets.connect(f"ws://127.0.0.1:{gateway.port}", **options) as socket:
        client = Client(socket)
        if greeted:
            assert (await client.hear())["type"] == "connection"
        yield client


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
