"""What the service is made of: put together here, started by the manager, read by :mod:`zlotick.service.views`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from zlotick.alerts.rules import Clock
from zlotick.alerts.service import Alerts
from zlotick.config import Settings
from zlotick.embedded import EmbeddedServer
from zlotick.events import EventBus
from zlotick.gateway.service import Audience, Listening
from zlotick.journal import Journal
from zlotick.journal.factory import make_journal
from zlotick.market.calendar import Calendar, calendar_of
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.market.universe import Member
from zlotick.market.validation import Validator
from zlotick.model import Alert, ProviderRow, Standing, StockUpdate, utc_now
from zlotick.providers import StockDataProvider
from zlotick.providers.chain import ProviderChain
from zlotick.service.cycle import Cycle
from zlotick.service.ticker import Ticker
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import PocketbaseConnector, StandingsTask
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.sink import Sink
from zlotick.telemetry.metrics import CycleMetrics, Metrics


class Distribution(Sink, Protocol):
    """RabbitMQ: a sink that takes alerts, too."""

    async def publish_alert(self, alert: Alert) -> None:
        """Raises Transient or Fatal."""


class NodeFeed(Protocol):
    """What this node of several knows of the service."""

    quotes: dict[str, StockUpdate]  # in force

    def standings(self) -> Mapping[str, Standing]:
        """Of the symbols that are not simply fresh."""

    def clock(self) -> Clock | None:
        """Phase and staleness for the alert rules; None before the first news."""

    def since_last_cycle(self) -> float | None:
        """Seconds; None when no cycle was told of."""

    def scoreboard(self) -> Sequence[ProviderRow]:
        """The providers, as the holder of ``ingest`` told last."""

    def alerts_evaluated(self) -> int:
        """The offset up to which the holder of ``deliver`` asked the alert rules; 0 when it did not tell."""


@dataclass(kw_only=True)
class Parts:
    """Every part that others may ask. What is None, or empty, was not started (yet), or is off."""

    settings: Settings
    calendar: Calendar
    event_bus: EventBus
    providers: list[StockDataProvider]  # in the order of asking; users append to it at any time
    symbols: set[str]  # the universe, and what providers add that define their own
    journal: Journal
    chain: ProviderChain
    ticker: Ticker
    cycle: Cycle
    update_interval: float  # seconds from the start of a cycle to the start of the next
    metrics: Metrics = field(default_factory=Metrics)
    cycle_metrics: CycleMetrics = field(default_factory=CycleMetrics)
    members: Sequence[Member] = ()  # names and ISINs of the tickers
    gateway: Listening | None = None
    audience: Audience | None = None  # who is told of alerts
    feed: NodeFeed | None = None  # what the other nodes tell; None where there are none
    servers: list[EmbeddedServer] = field(default_factory=list)
    questdb: QuestDBConnector | None = None
    pocketbase: PocketbaseConnector | None = None
    copies: list[QuestDBConnector] = field(default_factory=list)  # further ones with the same rows
    rabbitmq: Distribution | None = None
    standings: StandingsTask | None = None  # keeps PocketBase's records true
    deliveries: list[Delivery] = field(default_factory=list)
    alerts: Alerts | None = None
    troubles: dict[str, str] = field(default_factory=dict)  # of the service itself, for people, by its part
    started_at: float = field(default_factory=time.monotonic)


def sinks_of(parts: Parts) -> list[Sink]:
    """The stores that are in use."""
    return [sink for sink in (parts.questdb, *parts.copies, parts.pocketbase, parts.rabbitmq) if sink]


def assemble(settings: Settings, clock: Callable[[], datetime] = utc_now) -> Parts:
    """The parts that every run has. Nothing runs yet, and no file is opened."""
    parts: Parts  # read later, by the chain, the ticker and the cycle
    calendar, bus, providers = calendar_of(settings.market), EventBus(), list[StockDataProvider]()
    schedule, symbols = Schedule(calendar), set[str]()
    jump_limit = settings.providers.jump_limit_percent
    journal = make_journal(settings)
    chain = ProviderChain(
        providers,
        timeout=settings.providers.timeout,
        schedule=schedule,
        bus=bus,
        has_quotes=lambda: bool(parts.cycle.last_values),
        clock=clock,
        page_check=PageCheck(jump_limit, calendar),
    )
    cycle = Cycle(
        chain,
        Validator(symbols, jump_limit, calendar=calendar),
        journal,
        bus,
        calendar=calendar,
        symbols=symbols,
        interval=lambda: parts.update_interval,
        clock=clock,
    )
    parts = Parts(
        settings=settings,
        calendar=calendar,
        event_bus=bus,
        providers=providers,
        symbols=symbols,
        journal=journal,
        chain=chain,
        ticker=Ticker(
            lambda: parts.update_interval,
            schedule,
            chain.session_only,
            first_request=chain.first_request,
            clock=clock,
        ),
        cycle=cycle,
        update_interval=settings.service.update_interval,
    )
    cycle.listen(parts.cycle_metrics.count)
    return parts
