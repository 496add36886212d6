"""A real gateway on a free port, behind which is a service that a test can change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import websockets

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway, ServiceStatus
from zlotick.gateway.access.auth import Identity, Verifier
from zlotick.gateway.protocol.alerts import may_see
from zlotick.gateway.server import RunningGateway
from zlotick.journal.base import JournalStats
from zlotick.market.calendar import GPW, Calendar, Phase
from zlotick.market.queries import History
from zlotick.market.universe import Member
from zlotick.model import (
    Alert,
    AlertsSeen,
    ConnectionStatus,
    Entry,
    MarketStatus,
    Origin,
    Position,
    ProviderRow,
    StaleReason,
    Standing,
    StockUpdate,
    UnusableRule,
)
from zlotick.telemetry.metrics import Metrics

SILENT = Standing(stale=True, reason=StaleReason.SILENT)
SYMBOLS = ("ABS", "ACG", "AGO", "AMB", "APR")


@dataclass
class Service:
    """A zlotick.gateway.service.Service whose answers a test sets."""

    version: str = "9.9.9"

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
    home: Path = Path("no-home")
    pocketbase_url: str | None = None
    alerts: list[Alert] | None = None  # newest first; None: there is no engine
    unusable: list[UnusableRule] = field(default_factory=list)
    calendar: Calendar = GPW
    members: Sequence[Member] = ()
    delay: int | None = None
    node_troubles: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

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

    async def metrics_text(self) -> bytes:
        return await self.metrics.text()

    def current_standings(self) -> dict[str, Standing]:
        return self.standings

    def history(self) -> History | None:
        return None

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            questdb_status=self.questdb,
            pocketbase_status=self.pocketbase,
            providers=self.providers,
            symbols=self.symbols,
            market_status=MarketStatus.OPEN,
            market_time=self.market_time or datetime.now(UTC),
            session_phase=Phase(self.phase),
            origin=Origin(self.origin),
            delay_seconds=self.delay,
            update_interval=30.0,
            next_cycle=self.next_cycle,
            uptime=time.monotonic() - self.started,
            pocketbase_url=self.pocketbase_url,
            has_history=self.history() is not None,
            has_alerts=self.alerts is not None,
            node_troubles=self.node_troubles,
        )


Known = tuple[dict[str, StockUpdate], Position]
"""The last values before the start, and where they are in the journal."""


@contextlib.asynccontextmanager
async def serving(
    service: Service | None = None, known: Known | None = None, **settings: Any
) -> AsyncIterator[RunningGateway]:
    usual = {"host": "127.0.0.1", "port": 0, "shutdown_timeout": 1.0, "requests_burst": 1_000_000}
    gateway = Gateway(GatewayConfig(**{**usual, **settings}), service or Service())
    running = await gateway.start(*(known or ()))
    try:
        yield running
    finally:
        await running.stop()


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

    async def subscribe(self, **parameters: Any) -> list[dict[str, Any]]:
        """Subscribe and return the snapshot's quotes."""
        assert (await self.ask(type="subscribe", **parameters))["type"] == "subscription_confirmed"
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
async def connected(
    gateway: RunningGateway, *, greeted: bool = True, **options: Any
) -> AsyncIterator[Client]:
    async with websockets.connect(f"ws://127.0.0.1:{gateway.port}", **options) as socket:
        client = Client(socket)
        if greeted:
            assert (await client.hear())["type"] == "connection"
        yield client


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def noted(monkeypatch: pytest.MonkeyPatch, verifier: type[Verifier]) -> list[str]:
    """The tokens that verifiers of this class have been asked about and have answered, or could not."""
    asked: list[str] = []
    verify = verifier.verify

    async def noting(self: Verifier, token: str) -> Identity:
        try:
            return await verify(self, token)
        finally:
            asked.append(token)

    monkeypatch.setattr(verifier, "verify", noting)
    return asked
