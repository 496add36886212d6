"""What the gateway, the alerts, a scrape of the metrics and the commands of other processes ask the service."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from zlotick.alerts.rules import Clock
from zlotick.alerts.service import wanted
from zlotick.errors import ZlotickError
from zlotick.gateway.context import GatewayContext
from zlotick.model import FRESH, AlertsSeen, ConnectionStatus, Standing, plain, utc_text
from zlotick.service.control import Command
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.history import QuestDBHistory
from zlotick.telemetry.metrics import (
    Samples,
    connection_samples,
    journal_samples,
    provider_samples,
    stale_samples,
)
from zlotick.version import __version__

if TYPE_CHECKING:  # the manager answers, and hands the questions on
    from zlotick.service.manager import RealTimeStreamManager


def gateway_context(service: RealTimeStreamManager) -> GatewayContext:
    """The questions; each is asked of the service at the moment it matters."""
    return GatewayContext(
        version=__version__,
        metrics=service.metrics,
        questdb_status=lambda: _status(service.questdb, service.settings.questdb.mode),
        pocketbase_status=lambda: _status(service.pocketbase, service.settings.pocketbase.mode),
        providers=service.chain.rows,
        symbols=lambda: frozenset(service.symbols),
        market_status=service.market_status,
        session_phase=service.session_phase,
        origin=lambda: service.origin,
        delay_seconds=lambda: _delay_seconds(service),
        update_interval=lambda: service.update_interval,
        standings=service.cycle.standings,
        next_cycle=lambda: utc_text(service.pace.next_cycle) if service.pace.next_cycle else None,
        journal_stats=service.journal.stats,
        read_journal=service.journal.read,
        uptime=lambda: service.uptime,
        calendar=lambda: service.calendar,
        market_time=service.cycle.market_time,
        members=lambda: service.members,
        home=service.settings.service.home,
        pocketbase_url=lambda: service.pocketbase.config.url if service.pocketbase else None,
        history=lambda: QuestDBHistory(service.questdb.execute_query) if service.questdb else None,
        alert_troubles=lambda: service.alerts.warnings() if service.alerts else [],
        troubles=service.troubles,
        store_reasons=lambda: _store_reasons(service),
        recent_alerts=partial(_recent_alerts, service) if wanted(service.settings) else None,
    )


def _delay_seconds(service: RealTimeStreamManager) -> int | None:
    """How far the first provider is behind; nothing is claimed before any provider has given a good answer."""
    answered = any(row.last_success for row in service.chain.rows())
    return service.source.delay_seconds if service.source and answered else None


def alert_clock(service: RealTimeStreamManager) -> Clock | None:
    """Phase and staleness; None before the first cycle: restored quotes are stale until a source was asked."""
    if service.cycle.last_report is None:
        return None
    return Clock(
        moment=utc_text(service.cycle.market_time()),
        phase=service.session_phase(),
        origin=service.origin,
        standings=service.cycle.standings(),
        quotes=service.cycle.last_values,
    )


def standings(service: RealTimeStreamManager) -> dict[str, Standing]:
    """The standing now of every stock that has a value, the fresh ones included."""
    return dict.fromkeys(service.cycle.last_values, FRESH) | service.cycle.standings()


async def samples(service: RealTimeStreamManager) -> Samples:
    """The numbers of the journal, its readers, the connections and the cycles."""
    stats = await service.journal.stats()
    statuses = {sink.name: sink.monitor.status for sink in (service.questdb, service.pocketbase) if sink}
    rows = service.chain.rows()
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
        *stale_samples(standings(service).values()),
        *journal,
        *service.cycle_metrics.samples(),
    ]


def control_commands(service: RealTimeStreamManager) -> dict[str, Command]:
    """What this user's other processes may ask, by the names of the control socket."""
    commands: dict[str, Command] = {
        "dead-letters": _dead_letters,
        "resend": _resend,
        "redeliver": _redeliver,
        "gateway-token": _gateway_token,
        "alert-rules": _alert_rules,
        "alert-history": _alert_history,
    }
    return {name: partial(command, service) for name, command in commands.items()}


async def _dead_letters(service: RealTimeStreamManager) -> list[dict[str, Any]]:
    """Rows that a store refused for good, oldest first."""
    return [plain(letter) for letter in await service.journal.dead_letters()]


async def _resend(service: RealTimeStreamManager) -> dict[str, dict[str, int]]:
    """Offer the refused rows to their stores again: how many went, how many are still refused."""
    results = {}
    for delivery in service.deliveries:
        sent, refused = await delivery.resend_dead_letters()
        results[delivery.sink.name] = {"sent": sent, "still_refused": refused}
    return results


async def _redeliver(service: RealTimeStreamManager, store: str, first: str) -> dict[str, int]:
    """Deliver what the journal keeps from an offset on to a store again: which offsets."""
    for delivery in service.deliveries:
        if delivery.sink.reader == store:
            again = await delivery.redeliver(int(first))
            return {"first": again.start, "entries": len(again)}
    raise ZlotickError(f"the running service does not use {store} ({store}.mode)")


async def _gateway_token(service: RealTimeStreamManager) -> str | None:
    """The token with which this machine's user passes the gateway; None where it asks for none."""
    return service.gateway.house_token


async def _alert_rules(service: RealTimeStreamManager) -> dict[str, Any] | None:
    """The alert rules in force, and what is wrong with them; None where alerts are off."""
    return await service.alerts.rules() if service.alerts else None


async def _alert_history(service: RealTimeStreamManager) -> list[dict[str, Any]] | None:
    """The newest alerts and what became of them; None where alerts are off."""
    return await service.alerts.history() if service.alerts else None


async def _recent_alerts(service: RealTimeStreamManager, user: str | None, limit: int) -> AlertsSeen:
    """What a user may see of alerts."""
    return await service.alerts.recent(user, limit) if service.alerts else AlertsSeen([])


def _store_reasons(service: RealTimeStreamManager) -> dict[str, str]:
    sinks = (service.questdb, service.pocketbase)
    return {sink.reader: sink.monitor.reason for sink in sinks if sink and sink.monitor.reason}


def _status(sink: QuestDBConnector | PocketbaseConnector | None, mode: str) -> ConnectionStatus:
    """Until its server has been found or started, a store is being connected to."""
    status = sink.monitor.status if sink else ConnectionStatus.DISCONNECTED
    starting = status is ConnectionStatus.DISCONNECTED and mode != "off"
    return ConnectionStatus.CONNECTING if starting else status
