"""What the gateway must know to answer, given to it by the manager: it asks, it never reaches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from zlotick.journal.base import JournalStats
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.queries import History
from zlotick.market.universe import Member
from zlotick.model import AlertsSeen, ConnectionStatus, Entry, ProviderRow, Standing
from zlotick.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayContext:
    """Questions to the rest of the service; each is asked at the moment it matters."""

    version: str
    metrics: Metrics  # the gateway registers its own numbers and serves everybody's
    questdb_status: Callable[[], ConnectionStatus]  # disconnected when off
    pocketbase_status: Callable[[], ConnectionStatus]
    providers: Callable[[], Sequence[ProviderRow]]  # the scoreboard; its names are `data_providers`
    symbols: Callable[[], frozenset[str]]  # tickers a client may ask for
    market_status: Callable[[], str]
    session_phase: Callable[[], str]
    origin: Callable[[], str]  # the first provider's kind: a value of Origin
    delay_seconds: Callable[[], int | None]  # None: it does not tell, or no provider has answered yet
    update_interval: Callable[[], float]  # seconds
    standings: Callable[[], Mapping[str, Standing]]  # now, of the symbols that are not simply fresh
    next_cycle: Callable[[], str | None]  # when it is due; None before the first
    journal_stats: Callable[[], Awaitable[JournalStats]]
    read_journal: Callable[[int, int], Awaitable[list[Entry]]]  # after an offset, so many; fewer when large
    uptime: Callable[[], float]  # seconds
    calendar: Callable[[], Calendar] = lambda: GPW
    market_time: Callable[[], datetime] = lambda: datetime.now(UTC)  # a replay's quotes have the replayed one
    members: Callable[[], Sequence[Member]] = tuple  # what is known of the tickers: names, ISINs, as of when
    home: Path | None = None  # the profile's folder: tokens.json is there
    pocketbase_url: Callable[[], str | None] = lambda: None  # where PocketBase is; None: there is none
    history: Callable[[], History | None] = lambda: None  # the stored quotes; None: there is no such store
    recent_alerts: Callable[[str | None, int], Awaitable[AlertsSeen]] | None = None
    """What a user may see (None: everybody's), at most so many; None where no rule is evaluated."""
    alert_troubles: Callable[[], list[str]] = list  # what is wrong with alerts, for people
    troubles: Callable[[], list[str]] = list  # what else is wrong with the service, for people
    store_reasons: Callable[[], Mapping[str, str]] = dict  # why a store is not connected, by its name
    other_sessions: Callable[[], int] = lambda: 0  # of the other processes on this port
    house_token: str | None = field(default=None, repr=False)  # what the guard takes; None: it makes one
