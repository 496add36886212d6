"""What the gateway, the alerts and a scrape of the metrics ask the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zlotick import __version__
from zlotick.alerts.rules import Clock
from zlotick.alerts.service import wanted
from zlotick.gateway.context import GatewayContext
from zlotick.model import ConnectionStatus, utc_text
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.history import QuestDBHistory
from zlotick.telemetry.metrics import Samples, connection_samples, journal_samples, provider_samples

if TYPE_CHECKING:  # the manager answers, and hands the questions on
    from zlotick.manager import RealTimeStreamManager


def gateway_context(service: RealTimeStreamManager) -> GatewayContext:
    """The questions; each is asked of the service at the moment it matters."""
    return GatewayContext(
        version=__version__,
        metrics=service.metrics,
        questdb_status=lambda: _status(service.questdb),
        pocketbase_status=lambda: _status(service.pocketbase),
        providers=service.chain.rows,
        symbols=lambda: frozenset(service.symbols),
        market_status=service.market_status,
        session_phase=service.session_phase,
        origin=lambda: service.origin,
        delay_seconds=lambda: service.source.delay_seconds if service.source else None,
        update_interval=lambda: service.update_interval,
        stale=service.cycle.stale,
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
        recent_alerts=service.recent_alerts if wanted(service.settings) else None,
    )


def alert_clock(service: RealTimeStreamManager) -> Clock | None:
    """Phase and staleness; None before the first cycle: restored quotes are stale until a source was asked."""
    if service.cycle.last_report is None:
        return None
    known, moment = service.cycle.last_values, utc_text(service.cycle.market_time())
    return Clock(moment, service.session_phase(), service.cycle.stale() & known.keys(), len(known))


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
        *journal,
        *service.cycle_metrics.samples(),
    ]


def _status(sink: QuestDBConnector | PocketbaseConnector | None) -> ConnectionStatus:
    return sink.monitor.status if sink else ConnectionStatus.DISCONNECTED
