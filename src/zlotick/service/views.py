"""What others ask of the running service: the gateway, the alerts, the metrics, and commands of other processes."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from zlotick.alerts.rules import Clock
from zlotick.alerts.service import wanted
from zlotick.errors import JournalError, Transient, ZlotickError
from zlotick.gateway.service import ServiceStatus
from zlotick.model import (
    FRESH,
    AlertsSeen,
    ConnectionStatus,
    MarketStatus,
    Origin,
    ProviderRow,
    Standing,
    plain,
    utc_text,
)
from zlotick.service.control import Command
from zlotick.service.parts import Parts, sinks_of
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.copies import Reads
from zlotick.stores.questdb.history import QuestDBHistory
from zlotick.telemetry import logs
from zlotick.telemetry.metrics import (
    Samples,
    connection_samples,
    journal_samples,
    provider_samples,
    stale_samples,
    surroundings_samples,
)
from zlotick.version import __version__


class GatewayView:
    """A :class:`zlotick.gateway.service.Service` in the gateway's own process."""

    def __init__(self, parts: Parts) -> None:
        self.version = __version__
        self.home = parts.settings.service.home
        self.calendar = parts.calendar
        self.members = parts.members
        self.metrics = parts.metrics
        self.metrics_text = parts.metrics.text
        self.journal_stats = parts.journal.stats
        self.read_journal = parts.journal.read
        self._parts = parts
        self._reads: Reads | None = None

    def current_standings(self) -> dict[str, Standing]:
        """Of the symbols that are not simply fresh."""
        return self._parts.cycle.standings()

    def status(self) -> ServiceStatus:
        """Everything that the gateway shows of the service, now."""
        parts, settings = self._parts, self._parts.settings
        market_time, rows = parts.cycle.market_time(), parts.chain.rows()
        return ServiceStatus(
            questdb_status=_status(parts.questdb, settings.questdb.mode),
            pocketbase_status=_status(parts.pocketbase, settings.pocketbase.mode),
            store_reasons=_store_reasons(parts),
            providers=rows,
            symbols=frozenset(parts.symbols),
            market_status=parts.calendar.market_status(market_time),
            market_time=market_time,
            session_phase=parts.calendar.phase(market_time),
            origin=_origin(parts),
            delay_seconds=_delay_seconds(parts, rows),
            update_interval=parts.update_interval,
            next_cycle=utc_text(due) if (due := parts.ticker.due) else None,
            uptime=time.monotonic() - parts.started_at,
            pocketbase_url=parts.pocketbase.config.url if parts.pocketbase else None,
            has_history=parts.questdb is not None,
            has_alerts=wanted(settings),
            alert_troubles=parts.alerts.warnings() if parts.alerts else [],
            troubles=[*parts.troubles.values(), *logs.troubles()],
        )

    def history(self) -> QuestDBHistory | None:
        """The quotes in QuestDB."""
        parts = self._parts
        if parts.questdb is None:
            return None
        self._reads = self._reads or Reads([parts.questdb, *parts.copies], self._lag)
        return QuestDBHistory(self._reads.fetch)

    async def _lag(self) -> dict[str, int]:
        try:
            return (await self.journal_stats()).lag
        except JournalError as error:
            raise Transient(str(error)) from error

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        """None yet while the alerts wait for their file."""
        alerts = self._parts.alerts
        return await alerts.recent(user, limit) if alerts else AlertsSeen([])


def _origin(parts: Parts) -> Origin:
    """What the quotes may be called; the first provider decides it, as it does the market's time."""
    return parts.providers[0].origin if parts.providers else Origin.DELAYED


def known_symbols(parts: Parts) -> frozenset[str]:
    """The universe, and what providers add that define their own."""
    return frozenset(parts.symbols).union(*(one.symbols() or () for one in parts.providers))


def _delay_seconds(parts: Parts, rows: Sequence[ProviderRow]) -> int | None:
    """How far the first provider is behind; nothing is claimed before any provider has given a good answer."""
    answered = any(row.last_success for row in rows)
    return parts.providers[0].delay_seconds if answered and parts.providers else None


def alert_clock(parts: Parts) -> Clock | None:
    """Phase and staleness; None before the first cycle: restored quotes are stale until a provider was asked."""
    if parts.feed:
        return parts.feed.clock()
    if parts.cycle.last_report is None:
        return None
    return Clock(
        moment=utc_text(parts.cycle.market_time()),
        phase=parts.calendar.phase(parts.cycle.market_time()),
        origin=_origin(parts),
        standings=parts.cycle.standings(),
        quotes=parts.cycle.last_values,
    )


def standings(parts: Parts) -> dict[str, Standing]:
    """The standing of every stock that has a value, also of the fresh ones."""
    if parts.feed:
        return dict.fromkeys(parts.feed.quotes, FRESH) | dict(parts.feed.standings())
    return dict.fromkeys(parts.cycle.last_values, FRESH) | parts.cycle.standings()


async def samples(parts: Parts) -> Samples:
    """Samples of the journal, its readers, the connections and the cycles."""
    stats = await parts.journal.stats()
    statuses = {sink.name: sink.monitor.status for sink in sinks_of(parts)}
    rows = parts.chain.rows()
    statuses |= {row.name: row.status for row in rows}
    journal = journal_samples(
        offset=stats.position.offset,
        entries=stats.entries,
        size_bytes=stats.size_bytes,
        lag=stats.lag,
        dead_letters=stats.dead_letters,
    )
    return [
        *connection_samples(statuses),
        *provider_samples(rows),
        *stale_samples(standings(parts).values()),
        *journal,
        *parts.cycle_metrics.samples(),
        *surroundings_samples(
            market_open=parts.calendar.market_status(parts.cycle.market_time()) is MarketStatus.OPEN,
            free_bytes=(await asyncio.to_thread(shutil.disk_usage, parts.settings.service.home)).free,
        ),
    ]


def control_commands(parts: Parts) -> dict[str, Command]:
    """The commands of the control socket, by name."""
    commands: dict[str, Command] = {
        "dead-letters": _dead_letters,
        "resend": _resend,
        "redeliver": _redeliver,
        "gateway-token": _gateway_token,
        "alert-rules": _alert_rules,
        "alert-history": _alert_history,
    }
    return {name: partial(command, parts) for name, command in commands.items()}


async def _dead_letters(parts: Parts) -> list[dict[str, Any]]:
    """The dead letters, oldest first."""
    return [plain(letter) for letter in await parts.journal.dead_letters()]


async def _resend(parts: Parts) -> dict[str, dict[str, int]]:
    """Send the dead letters to their stores again: how many were taken, how many are still refused."""
    results = {}
    for delivery in parts.deliveries:
        sent, refused = await delivery.resend_dead_letters()
        results[delivery.sink.name] = {"sent": sent, "still_refused": refused}
    return results


async def _redeliver(parts: Parts, store: str, first: str) -> dict[str, int]:
    """Deliver the journal from an offset on to a store again; returns the range."""
    for delivery in parts.deliveries:
        if delivery.sink.reader == store:
            again = await delivery.redeliver(int(first))
            return {"first": again.start, "entries": len(again)}
    raise ZlotickError(f"the running service does not use {store} ({store.partition('@')[0]}.mode)")


async def _gateway_token(parts: Parts) -> str | None:
    """The gateway's token for this machine's user; None where none is required."""
    return parts.gateway.local_token if parts.gateway else None


async def _alert_rules(parts: Parts) -> dict[str, Any] | None:
    """The alert rules in force, and what is wrong with them; None where alerts are off."""
    return await parts.alerts.rules() if parts.alerts else None


async def _alert_history(parts: Parts) -> list[dict[str, Any]] | None:
    """The newest alerts and what became of them; None where alerts are off."""
    return await parts.alerts.history() if parts.alerts else None


def _store_reasons(parts: Parts) -> dict[str, str]:
    return {sink.reader: sink.monitor.reason for sink in sinks_of(parts) if sink.monitor.reason}


def _status(sink: QuestDBConnector | PocketbaseConnector | None, mode: str) -> ConnectionStatus:
    """A store whose server is still being found or started counts as connecting."""
    status = sink.monitor.status if sink else ConnectionStatus.DISCONNECTED
    starting = status is ConnectionStatus.DISCONNECTED and mode != "off"
    return ConnectionStatus.CONNECTING if starting else status
