"""Both sides of the border: what a gateway asks of the service, and what the service asks of a gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from zlotick.journal.base import JournalStats
from zlotick.market.calendar import Calendar, Phase
from zlotick.market.queries import History
from zlotick.market.universe import Member
from zlotick.model import (
    Alert,
    AlertsSeen,
    ConnectionStatus,
    CycleReport,
    Entry,
    MarketStatus,
    NodeRow,
    Origin,
    Position,
    ProviderRow,
    Standing,
    StockUpdate,
)
from zlotick.telemetry.metrics import Metrics


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is now. Every gateway gets this very struct, wherever it runs."""

    questdb_status: ConnectionStatus  # disconnected when off
    pocketbase_status: ConnectionStatus
    store_reasons: dict[str, str] = {}  # why a store is not connected, by its name
    providers: list[ProviderRow]  # the scoreboard, in the order of asking
    symbols: frozenset[str]  # tickers a client may ask for
    market_status: MarketStatus
    market_time: datetime  # a replay's quotes have the replayed one
    session_phase: Phase
    origin: Origin  # what the quotes may be called
    delay_seconds: int | None  # None: the provider does not tell, or none has answered yet
    update_interval: float  # seconds
    next_cycle: str | None  # when it is due; None before the first
    uptime: float  # seconds
    pocketbase_url: str | None = None  # None: there is no PocketBase
    has_history: bool = False  # quotes are stored, and can be asked for
    has_alerts: bool = False  # alert rules are evaluated
    alert_troubles: list[str] = []  # what is wrong with alerts, for people
    troubles: list[str] = []  # what else is wrong with the service, for people
    # Why this process does not follow the journal's end, for people; `/health/node` shows them without a token. Always
    # empty where the journal is in the service's own process.
    node_troubles: list[str] = []
    nodes: list[NodeRow] = []  # where several share the journal
    other_sessions: int = 0  # clients of the other gateway processes on this port


class Service(Protocol):
    """The service as its gateway sees it: in the same process, or at the other end of a worker's socket."""

    version: str
    home: Path  # the profile's folder: tokens.json is there
    calendar: Calendar
    members: Sequence[Member]  # what is known of the tickers: names, ISINs, as of when
    metrics: Metrics  # the gateway adds its own numbers

    def status(self) -> ServiceStatus:
        """How it is now. Cheap enough for each request, too costly for each session in each cycle."""

    def current_standings(self) -> Mapping[str, Standing]:
        """Of the symbols that are not simply fresh. Not in the status: it costs twice as much as all the rest."""

    def history(self) -> History | None:
        """The stored quotes; None when there is no such store."""

    async def metrics_text(self) -> bytes:
        """Prometheus text of the whole service. Raises Transient."""

    async def journal_stats(self) -> JournalStats:
        """Raises JournalError."""

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        """Entries after an offset, oldest first, at most so many; fewer when they are large. Raises JournalError."""

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        """What a user may see (None: all), newest first. Raises Transient, Fatal or JournalError."""


class Audience(Protocol):
    """Who is told what happens: a gateway, or all nodes. No method waits."""

    def publish(self, report: CycleReport) -> None:
        """Send one cycle to every session."""

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Send an event of the bus to the subscribers of its channel. Raises ValueError for other data."""

    def publish_alert(self, alert: Alert) -> None:
        """Send an alert to the sessions that asked for alerts and may see it."""


class Listening(Audience, Protocol):
    """A gateway that listens, as the service sees it: one in this process, or several worker processes."""

    port: int  # the real one, also when 0 asked for any

    @property
    def local_token(self) -> str | None:
        """Lets this machine's user in; None where no token is asked for."""

    @property
    def session_count(self) -> int:
        """How many clients are connected."""

    def begin_epoch(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        """The journal has another history from this position on, with these last values. Never waits.

        To be called once, before anything of the new epoch is published. Every session with quotes gets ``gap`` and a snapshot.
        """

    def reload_tls(self) -> None:
        """Use what the files of certificate and key hold now, for new connections. The log says how it went."""

    async def drain(self) -> None:
        """Let load balancers notice: ``/health/node`` answers 503 from now on; returns after ``gateway.drain_seconds``.

        Until then sessions go on, and new ones are accepted.
        """

    async def stop(self) -> None:
        """Accept no client, send ``shutdown`` to the sessions, then cut. Safe to call twice."""

    def kill(self) -> None:
        """End other processes at once."""
